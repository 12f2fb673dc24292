"""GitHouse: a whole daemon over in-memory backends that follows a real git repository."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from orchestrator.engine.base import LABEL_VERSION
from orchestrator.gitops.commands import GitOpsCommands, Wish
from orchestrator.gitops.state import SyncRecord
from orchestrator.gitops.sync import GitOps
from orchestrator.model.container import ContainerSpec, ContainerState
from orchestrator.model.gitops import GitOpsStatus, PluginSync, SyncState
from tests.support.git import Repo
from tests.unit.manager.fleet_house import FleetHouse

POLL_SECONDS = 60.0
ADA = Wish(who="ada", why="a test")


class GitHouse(FleetHouse):
    """`plugin` writes into the repository's work tree; `push` commits and lets it be seen."""

    def __init__(self, folder: Path, repo: Repo | None = None) -> None:
        super().__init__(folder)
        self.repo = repo or Repo(folder / "remote")
        self.manifests = self.repo.folder / "manifests"
        self.manifests.mkdir(exist_ok=True)
        self.url = self.repo.url
        self.broken: set[tuple[str, str]] = set()
        """(plugin, version) that end as soon as they are started."""

    def _start(self, spec: ContainerSpec, state: ContainerState) -> None:
        if (spec.plugin_id, state.label(LABEL_VERSION)) in self.broken:
            loop = asyncio.get_running_loop()
            loop.call_soon(lambda: self.engine.die(state.container_id, exit_code=3))
        else:
            super()._start(spec, state)

    def git(self, **fields: Any) -> None:
        """Write orchestrator.yaml's `git`."""
        known = yaml.safe_load(self.config.read_text())
        known["git"] = {"url": self.url, "poll_seconds": POLL_SECONDS, **fields}
        self.config.write_text(yaml.safe_dump(known))

    @asynccontextmanager
    async def follows(self, **fields: Any) -> AsyncIterator["GitHouse"]:
        """A daemon that is told to follow the repository."""
        self.git(**fields)
        async with self.goes_on():
            await self.commands.follow(ADA, self.config, {})
            yield self

    @asynccontextmanager
    async def goes_on(self) -> AsyncIterator["GitHouse"]:
        """A daemon that is told nothing: it knows what it did before."""
        async with self.open():
            task = self._group.create_task(self.gitops.run())
            try:
                yield self
            finally:
                task.cancel()

    def push(self, subject: str = "Change") -> str:
        """The new commit; the daemon sees it now."""
        sha = self.repo.commit(subject=subject)
        self.look()
        return sha

    async def by_hand(self, plugin_id: str, **info: Any) -> None:
        """Somebody types `orchestrator up` of files of their own."""
        theirs, ours = self.repo.folder.parent / "by-hand", self.manifests
        theirs.mkdir(exist_ok=True)
        self.manifests = theirs
        self.plugin(plugin_id, **info)
        await self.up()
        self.manifests = ours

    async def bad_update(self) -> str:
        """`bad` cannot start any more, and `good` changed with it; its commit."""
        self.plugin("good", version="1.1.0")
        self.plugin("bad", version="1.1.0")
        self.broken.add(("bad", "1.1.0"))
        sha = self.push("Bad")
        await self.time_passes(lambda: sha in self.record.quarantine and not self.record.run)
        return sha

    def look(self) -> None:
        """It is time to look at the remote."""
        self.later(POLL_SECONDS * 2)
        self.gitops.wake()

    async def time_passes(self, check: Callable[[], Any]) -> None:
        """Half a second at a time, until `check`."""

        def soon() -> Any:
            self.later(0.5)
            return check()

        await self.until(soon)

    async def synced(self, sha: str) -> None:
        """Until that commit was taken up, and nothing is left to do."""
        await self.until(lambda: self.status.synced == sha and self.record.run is None)

    async def states(self, **states: str) -> None:
        """Until these plugins stand so."""
        await self.until(
            lambda: all(name in self.plugins and self.plugins[name].state == state
                        for name, state in states.items())
        )  # fmt: skip

    async def whole(self, state: SyncState) -> None:
        await self.until(lambda: self.status.state is state)

    async def rests(self) -> None:
        """Until what was looked at is decided, and nothing follows from it."""
        for _ in range(4):
            self.gitops.wake()
            await asyncio.sleep(0.1)

    def version(self, plugin_id: str) -> str:
        """Of what runs, or is to."""
        return self.daemon.manager.fleet.deployments[plugin_id].inputs.info.version

    @property
    def gitops(self) -> GitOps:
        return self.daemon.git.gitops

    @property
    def commands(self) -> GitOpsCommands:
        return self.daemon.git.api.commands

    @property
    def record(self) -> SyncRecord:
        return self.gitops.book.record

    @property
    def status(self) -> GitOpsStatus:
        status = self.commands.status()
        assert status is not None
        return status

    @property
    def plugins(self) -> dict[str, PluginSync]:
        return {row.plugin_id: row for row in self.status.plugins}

    def heard(self) -> list[str]:
        """Short names of what was told of the repository."""
        prefix = "orchestrator.gitops."
        return [e.type.removeprefix(prefix) for e in self.told if e.type.startswith(prefix)]
