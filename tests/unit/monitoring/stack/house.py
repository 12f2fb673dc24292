"""A stack over the in-memory engine: what its tests start from."""

import asyncio
from pathlib import Path

from orchestrator.engine.base import LABEL_INSTANCE
from orchestrator.engine.memory import MemoryEngine
from orchestrator.engine.memory_stores import MemoryVolumes
from orchestrator.engine.stack_images import PrometheusImageFailed
from orchestrator.model.container import ContainerState
from orchestrator.model.monitoring import MonitoringConfig
from orchestrator.monitoring.stack.parts import Part, Site, StackImages, parts
from orchestrator.monitoring.stack.plan import LABEL_PART
from orchestrator.monitoring.stack.stack import MonitoringStack
from orchestrator.monitoring.stack.supply import StackSupply
from tests.unit.conftest import FakeClock

LABELS = {LABEL_INSTANCE: "mine"}
NO_REGISTRY = "no registry answers"
ON = MonitoringConfig(stack=True)
SITE = Site(prefix="orchestrator-mine", relay_folder="/relay", seccomp_profile="{}")
ALL = StackImages(relay="base", prometheus="prom", grafana="graf")


def wanted(config: MonitoringConfig = ON, images: StackImages = ALL) -> dict[str, Part]:
    return {it.name: it for it in parts(config, images, SITE, relay="source", files="/files")}


class House:
    """`config` is what is wanted; `registry` says whether Grafana can be had."""

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        self.clock = clock
        self.config = ON
        self.registry = True
        self.packages = True
        self.free = asyncio.Event()
        """Unset while an image is being made."""
        self.free.set()
        self.pulls = self.makes = 0
        self.engine = MemoryEngine(clock=clock)
        self.volumes = MemoryVolumes()
        self.supply = StackSupply(
            relay=self._relay, prometheus=self._prometheus, pull=self._pull, clock=clock
        )
        self.stack = MonitoringStack(
            engine=self.engine,
            volumes=self.volumes,
            supply=self.supply,
            site=Site(
                prefix="orchestrator-mine",
                relay_folder=str(folder / "relay"),
                seccomp_profile="{}",
            ),
            labels=LABELS,
            instance="mine",
            folder=folder,
            wanted=lambda: self.config,
            clock=clock,
        )

    async def containers(self) -> dict[str, ContainerState]:
        """By part."""
        found = await self.engine.list(LABELS)
        return {container.label(LABEL_PART): container for container in found}

    async def ids(self) -> dict[str, str]:
        return {name: it.container_id for name, it in (await self.containers()).items()}

    def running(self) -> dict[str, bool]:
        return {part.name: part.running for part in self.stack.state().parts}

    def details(self) -> dict[str, str]:
        return {part.name: part.detail for part in self.stack.state().parts}

    async def _relay(self) -> str:
        return "base"

    async def _prometheus(self, reference: str) -> str:
        self.makes += 1
        await self.free.wait()
        if not self.packages:
            raise PrometheusImageFailed("no packages")
        return reference

    async def _pull(self, reference: str) -> tuple[str, str]:
        self.pulls += 1
        return (reference, "") if self.registry else ("", NO_REGISTRY)
