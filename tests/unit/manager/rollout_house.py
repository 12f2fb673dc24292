"""RolloutHouse: a daemon on in-memory backends with one plugin, whose time and health are played.

The loop does not run: the test says which revision's container is well, and asks for judgement.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from orchestrator.manager.deployment import Deployment
from orchestrator.manager.fleet import Report
from orchestrator.manager.restart import note_failure
from orchestrator.manager.revisions import Rollout
from orchestrator.manager.rollout import Rollouts
from orchestrator.manager.rollout_commands import RolloutCommands, Wish
from orchestrator.model.container import ContainerPhase
from orchestrator.model.events import PluginEvent
from tests.unit.manager.permission_house import PermissionHouse


@dataclass
class PlayedClock:
    """Stands still until a test moves it."""

    at: float = 1_000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


class RolloutHouse(PermissionHouse):
    """`good(1)` deploys version 1 and lets it be well."""

    def __init__(self, folder: Path, make: Any) -> None:
        super().__init__(folder)
        self.make = make
        self.played = PlayedClock()
        self.clock = self.played
        self.told: list[PluginEvent] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator["RolloutHouse"]:
        async with super().open():
            self.daemon.bus.listen(self.told.append)
            yield self

    @property
    def rollouts(self) -> Rollouts:
        return self.daemon.manager.rollouts

    @property
    def rollout(self) -> Rollout:
        return self.rollouts.of("notes")

    @property
    def commands(self) -> RolloutCommands:
        manager = self.daemon.manager
        return RolloutCommands(manager=manager, bus=self.daemon.bus, clerk=manager._clerk)

    @property
    def runs_version(self) -> str:
        """Of what is wanted in effect."""
        return self.deployment.inputs.info.version

    @property
    def states(self) -> list[tuple[int, str, str]]:
        return [(r.number, r.inputs.info.version, r.state) for r in self.rollout.revisions]

    @property
    def news(self) -> list[str]:
        """What was told of rollouts."""
        begin = "orchestrator.rollout."
        types = (event.type for event in self.told)
        return [name.removeprefix(begin) for name in types if name.startswith(begin)]

    async def wanted(self, version: int, **info: Any) -> None:
        """`up` of a version."""
        self.plugin(**{"version": f"{version}.0.0", "permissions": [], **info})
        await self.up()

    def other(self, name: str) -> None:
        """Another plugin, deployed by the next `up`."""
        info = self.make.info(plugin_id=name).model_dump(mode="json", exclude_none=True)
        files = {"/plugin/plugin.yaml": yaml.safe_dump(info).encode()}
        self.images.add(f"{name}:1", files=files)
        text = (self.manifests / "notes.yaml").read_text().replace("notes", name)
        (self.manifests / f"{name}.yaml").write_text(text)

    async def good(self, version: int, **info: Any) -> None:
        """`up` of a version that is well, until that is certain."""
        await self.wanted(version, **info)
        await self.pass_after(self.well())
        await self.pass_after(5.0)

    async def bad(self, version: int, **info: Any) -> None:
        """`up` of a version that fails until it is gone back from, if there is a way back."""
        await self.wanted(version, **info)
        for _ in range(3):
            self.fails()
            await self.pass_after(1.0)

    def well(self, deployment: Deployment | None = None) -> float:
        """The container of what is wanted in effect is there and ready; 0 seconds."""
        deployment = deployment or self.deployment
        fleet, name = self.daemon.manager.fleet, deployment.compiled.sandbox_id
        container = self.make.container(deployment, started_at=self.played.at)
        fleet.containers = {container.container_id: container}
        sandbox = self.daemon.manager.loop._steps._new_sandbox(deployment)
        sandbox.mark_ready()
        fleet.sandboxes[name] = sandbox
        fleet.well_since[name] = self.played.at
        return 0.0

    def ill(self) -> None:
        """It says so of itself."""
        fleet, name = self.daemon.manager.fleet, self.deployment.compiled.sandbox_id
        fleet.reports[name] = Report(state="error", detail="no index")
        fleet.well_since.pop(name, None)

    def ends(self) -> None:
        """Its container has ended."""
        fleet = self.daemon.manager.fleet
        for container in list(fleet.containers.values()):
            fleet.containers[container.container_id] = self.make.container(
                self.deployment, ContainerPhase.EXITED
            )
        fleet.sandboxes.pop(self.deployment.compiled.sandbox_id).close(remove_folder=False)

    def fails(self) -> None:
        """One more start of what is wanted in effect has failed."""
        fleet = self.daemon.manager.fleet
        name = self.deployment.compiled.sandbox_id
        history = note_failure(
            fleet.history(name), "exit_code_3", detail="it ended", at=self.played.at
        )
        fleet.remember(name, history)

    async def pass_after(self, seconds: float) -> float | None:
        """One pass of the loop, so much later."""
        self.played.at += seconds
        manager = self.daemon.manager
        return await self.rollouts.judge(self.played.at, manager.policy)

    def images_there(self) -> None:
        """What is wanted in effect need not be built."""
        self.daemon.manager.fleet.images.add(self.deployment.inputs.image)

    def wish(self, why: str = "") -> Wish:
        return Wish(plugin_id="notes", who="ada", why=why)
