"""Sampler: every ten seconds, what each plugin uses of the machine beside what it may use.

Where the engine is on this machine that is a few small files of the kernel's for each container,
about 0.1 ms, elsewhere the newest line of a stream; it lets the loop go on after each. One plugin
of which nothing can be known disturbs no other.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeVar

from orchestrator.clock import Clock
from orchestrator.engine.base import LABEL_PLUGIN
from orchestrator.engine.usage import Usage, Usages
from orchestrator.errors import OrchestratorError
from orchestrator.manager.deployment import Deployment
from orchestrator.manager.fleet import Fleet
from orchestrator.manager.meters import Meters
from orchestrator.model.container import ContainerPhase, ContainerState
from orchestrator.monitoring.ratchet import Ratchet
from orchestrator.monitoring.samples import Sample

SAMPLE_SECONDS: Final = 10.0
READ_SECONDS: Final = 5.0
"""Longest wait for one container; an engine far away may be slow."""
PARALLEL: Final = 8
DATA: Final = "/data"
_ALIVE: Final = frozenset({ContainerPhase.RUNNING, ContainerPhase.PAUSED})
_LOG = logging.getLogger("orchestrator.monitoring")
_TOTALS: Final = (
    "cpu_seconds",
    "throttled_seconds",
    "throttled_periods",
    "periods",
    "oom_kills",
)
NETWORK_TOTALS: Final = ("sent_bytes", "received_bytes", "refused_packets")
"""Of a network behind the guard, in its own words."""
_NETWORK: Final = "network"
Number = TypeVar("Number", int, float)
SampleListener = Callable[[Mapping[str, Sample]], None]


class Sampler:
    """`latest` has a sample of every plugin that runs, summed over its containers."""

    def __init__(
        self, *, fleet: Fleet, meters: Meters, usages: Usages | None, clock: Clock
    ) -> None:
        self.latest: Mapping[str, Sample] = {}
        self.totals = Ratchet()
        """What containers counted, over the plugin's whole life in this daemon."""
        self._since = clock.now()
        self._fleet = fleet
        self._meters = meters
        self._usages = usages
        self._clock = clock
        self._listeners: list[SampleListener] = []
        self._mute: set[str] = set()
        """Plugins of which nothing could be known the last time: told once."""

    def listen(self, listener: SampleListener) -> None:
        """Be told of all samples of each turn; must be quick and must not raise."""
        self._listeners.append(listener)

    async def run(self) -> None:
        """For ever, until cancelled."""
        while True:
            await self.sample()
            await asyncio.sleep(SAMPLE_SECONDS)

    async def sample(self) -> Mapping[str, Sample]:
        """One turn: look at every plugin, then tell."""
        containers = self._alive()
        limit = asyncio.Semaphore(PARALLEL)

        async def look(name: str, deployment: Deployment) -> tuple[str, Sample]:
            async with limit:
                return name, await self._look(deployment, containers.get(name, []))

        deployments = list(self._fleet.deployments.items())
        pairs = await asyncio.gather(*(look(*each) for each in deployments))
        self.latest = dict(pairs)
        self._count_networks(containers)
        runs = {(name, _run(each)) for name, found in containers.items() for each in found}
        networks = {(name, _NETWORK) for name in self._fleet.networks}
        self.totals.prune(self._fleet.deployments.keys(), runs | networks)
        for listener in self._listeners:
            listener(self.latest)
        return self.latest

    # -------------------------------------------------------------------------------------------

    def _alive(self) -> dict[str, list[ContainerState]]:
        found: dict[str, list[ContainerState]] = {}
        for container in self._fleet.containers.values():
            if container.phase in _ALIVE:
                found.setdefault(container.label(LABEL_PLUGIN), []).append(container)
        return found

    async def _look(self, deployment: Deployment, containers: list[ContainerState]) -> Sample:
        plugin_id = deployment.plugin_id
        usages = [await self._read(deployment, each) for each in containers]
        known = [usage for usage in usages if usage is not None]
        for container, usage in zip(containers, usages, strict=True):
            if usage is not None:
                self._count(plugin_id, container, usage)
        limits, count = deployment.grant.limits, len(containers)
        meter = self._meters.meter(plugin_id)
        disk = _disk_bytes(known, limits.max_disk_mb << 20)
        return Sample(
            at=self._clock.now(),
            containers=count,
            memory_bytes=_sum(usage.memory_bytes for usage in known),
            memory_limit_bytes=(limits.max_memory_mb << 20) * count or None,
            cpu_seconds_total=self.totals.sum(plugin_id, "cpu_seconds"),
            cpu_limit_percent=limits.max_cpu_percent * count or None,
            throttled_seconds_total=self.totals.sum(plugin_id, "throttled_seconds"),
            throttled_periods_total=self._whole(plugin_id, "throttled_periods"),
            periods_total=self._whole(plugin_id, "periods"),
            pids=_sum(usage.pids for usage in known),
            pids_limit=deployment.compiled.spec.pids_limit * count or None,
            oom_kills_total=self._whole(plugin_id, "oom_kills"),
            disk_bytes=disk,
            disk_limit_bytes=limits.max_disk_mb << 20 if has_disk(deployment) else None,
            network_bytes=meter.used() if meter is not None else None,
            network_limit_bytes=meter.limit_bytes if meter is not None else None,
        )

    async def _read(self, deployment: Deployment, container: ContainerState) -> Usage | None:
        if self._usages is None:
            return None
        plugin_id = deployment.plugin_id
        try:
            async with asyncio.timeout(READ_SECONDS):
                disk = DATA if has_disk(deployment) else ""
                usage = await self._usages.read(container, disk=disk)
        except (OrchestratorError, OSError, ValueError) as error:  # a TimeoutError is an OSError
            if plugin_id not in self._mute:
                self._mute.add(plugin_id)
                _LOG.warning(
                    "nothing is known of what it uses: %s",
                    str(error) or "no answer in time",
                    extra={"plugin": plugin_id},
                )
            return None
        self._mute.discard(plugin_id)
        await asyncio.sleep(0)  # others' calls come first
        return usage

    def _count(self, plugin_id: str, container: ContainerState, usage: Usage) -> None:
        for what in _TOTALS:
            value = getattr(usage, what)
            if value is not None:
                older = self._is_older(container)
                self.totals.feed(plugin_id, _run(container), what, value, is_older=older)

    def _is_older(self, container: ContainerState) -> bool:
        """Whether an earlier daemon started it."""
        return container.started_at < self._since

    def _count_networks(self, containers: Mapping[str, list[ContainerState]]) -> None:
        """What the packet filters counted, which begin anew with their pauses."""
        for plugin_id, counters in self._fleet.networks.items():
            older = any(map(self._is_older, containers.get(plugin_id, ())))
            for what in NETWORK_TOTALS:
                value = counters.get(what)
                if isinstance(value, int):
                    self.totals.feed(plugin_id, _NETWORK, what, value, is_older=older)

    def _whole(self, plugin_id: str, what: str) -> int | None:
        found = self.totals.sum(plugin_id, what)
        return None if found is None else int(found)


def has_disk(deployment: Deployment) -> bool:
    """Whether the plugin has a volume at /data."""
    return any(mount.target == DATA for mount in deployment.compiled.spec.volume_mounts)


def _disk_bytes(usages: Iterable[Usage], limit_bytes: int) -> int | None:
    """Of the plugin's own disk: what is larger than that is not it."""
    for usage in usages:
        if usage.disk_bytes is not None and (usage.disk_size_bytes or 0) <= limit_bytes:
            return usage.disk_bytes
    return None


def _run(container: ContainerState) -> str:
    return f"{container.container_id}@{container.started_at:.6f}"


def _sum(values: Iterable[Number | None]) -> Number | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
