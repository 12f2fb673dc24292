"""FleetHouse: a whole daemon over in-memory backends, with plugins that live in this process.

What a plugin does is said by its actor; its clock stands still until the test moves it.
"""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from orchestrator.daemon.build import Backends, Daemon, build
from orchestrator.daemon.settings import DaemonSettings
from orchestrator.engine.base import LABEL_PLUGIN
from orchestrator.engine.memory import MemoryEngine
from orchestrator.engine.memory_networks import MemoryNetworks
from orchestrator.engine.memory_stores import MemoryImages, MemoryVolumes
from orchestrator.engine.share_mounts import ShareMounts
from orchestrator.manager.statuses import statuses
from orchestrator.model.container import ContainerSpec, ContainerState
from orchestrator.model.events import PluginEvent
from orchestrator.model.status import PluginStatus, SubState

SECONDS: Final = 30.0
"""No wait of a test is longer."""


@dataclass
class Clock:
    """Both readings go on together, unless a test lets the first jump."""

    at: float = 1_000_000.0
    jumped: float = 0.0

    def now(self) -> float:
        return self.at + self.jumped

    def monotonic(self) -> float:
        return self.at


@dataclass
class Actor:
    """What one plugin does."""

    exits: int | None = None
    """It ends with this code as soon as it is started."""
    dials: bool = True
    refuses: str = ""
    """What it answers to `initialize` if it does not want to."""
    says: dict[str, Any] = field(default_factory=lambda: {"state": "ready"})
    """Its answer to `status`."""
    answers: bool = True
    """Whether it answers at all, once it is ready."""
    prints: tuple[str, ...] = ()
    gate: asyncio.Event | None = None
    """It dials in when this is set."""


class FleetHouse:
    """`plugin` writes one, `open` runs the daemon, `up` deploys what was written."""

    def __init__(self, folder: Path) -> None:
        self.settings = DaemonSettings(home=folder / "home")
        self.clock = Clock()
        self.engine = MemoryEngine(clock=self.clock, on_start=self._start)
        self.images, self.networks = MemoryImages(), MemoryNetworks()
        self.volumes = MemoryVolumes()
        self.manifests = folder / "manifests"
        self.manifests.mkdir()
        self.config = folder / "orchestrator.yaml"
        self.policy()
        self.environment: dict[str, str] = {}
        self.actors: dict[str, Actor] = {}
        self.told: list[PluginEvent] = []
        self.daemon: Daemon
        self._group: asyncio.TaskGroup
        self._plays: dict[str, asyncio.Task[None]] = {}

    # -- what a user writes ---------------------------------------------------------------------

    def policy(self, **fields: Any) -> None:
        """A rollout takes no longer than it must, unless the test says so."""
        policy = {"rollout": {"min_healthy_seconds": 0}, **fields}
        self.config.write_text(yaml.safe_dump({"policy": policy}))

    def plugin(self, plugin_id: str, *needs: str, actor: Actor | None = None, **info: Any) -> Actor:
        """Its image and its manifest; `info` goes over its metadata, but `spec`."""
        spec = info.pop("spec", {})
        about = {
            "plugin_id": plugin_id,
            "name": plugin_id,
            "version": "1.0.0",
            "author": "Somebody",
            "description": "Lives in a test.",
            "category": "documentation",
            "entry_point": "a:B",
            "dependencies": list(needs),
            "limits": {"max_concurrent_requests": 1, "max_memory_mb": 32},
            **info,
        }
        tag = f"{plugin_id}:{about['version']}"
        self.images.add(tag, files={"/plugin/plugin.yaml": yaml.safe_dump(about).encode()})
        (self.manifests / f"{plugin_id}.yaml").write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "orchestrator/v1",
                    "kind": "Plugin",
                    "metadata": {"name": plugin_id},
                    "spec": {"source": {"image": tag}, **spec},
                }
            )
        )
        self.actors[plugin_id] = actor or self.actors.get(plugin_id) or Actor()
        return self.actors[plugin_id]

    def drop(self, plugin_id: str) -> None:
        (self.manifests / f"{plugin_id}.yaml").unlink()

    # -- the daemon -----------------------------------------------------------------------------

    @asynccontextmanager
    async def open(self) -> AsyncIterator["FleetHouse"]:
        """A daemon; a second one after it is what a restart brings."""
        self.settings.folder.mkdir(parents=True, exist_ok=True)
        backends = Backends(
            engine=self.engine,
            probe=self.engine,
            images=self.images,
            volumes=self.volumes,
            disks=self.volumes,
            networks=self.networks,
            shares=ShareMounts(self.settings.share_mounts, address="memory://"),
        )
        async with (
            build(
                self.settings,
                backends,
                clock=self.clock,
                shut_down=lambda: None,
                environment=self.environment,
            ) as self.daemon,
            asyncio.TaskGroup() as self._group,
        ):
            self.daemon.bus.listen(self.told.append)
            running = await self.engine.list({})
            for state in running:
                if state.exit_code is None and state.started_at:
                    self._play(self.engine.spec(state.container_id), state)
            tasks = [
                self._group.create_task(self.daemon.manager.loop.run()),
                self._group.create_task(self.daemon.watch.run()),
            ]
            try:
                yield self
            finally:
                for task in [*tasks, *self._plays.values()]:
                    task.cancel()

    async def up(self) -> None:
        await self.daemon.manager.apply([self.manifests], self.config)

    async def until(self, check: Callable[[], Any]) -> Any:
        """The first true value of `check`."""
        try:
            async with asyncio.timeout(SECONDS):
                while not (value := check()):  # noqa: ASYNC110 - nobody tells of all of it
                    await asyncio.sleep(0.002)
        except TimeoutError:
            raise AssertionError(self.rows) from None
        return value

    async def settled(self, **sub_states: SubState) -> None:
        """Until these plugins are there."""
        await self.until(
            lambda: all(self.sub_state(name) is wanted for name, wanted in sub_states.items())
        )

    async def all_run(self) -> None:
        """Until all of it runs, and nothing of another revision."""
        await self.until(
            lambda: (
                self.rows
                and all(r.sub_state is SubState.RUNNING and r.settled for r in self.rows.values())
            )
        )

    async def quiet(self) -> None:
        """A pass later, with what follows from it."""
        for _ in range(2):
            self.daemon.manager.loop.wake()
            await asyncio.sleep(0.02)

    async def probe(self, plugin_id: str) -> None:
        """Ask the plugin how it does, as is done from time to time."""
        fleet = self.daemon.manager.fleet
        sandbox = await self.until(lambda: fleet.sandbox(plugin_id))
        await self.daemon.prober.probe(sandbox)

    def later(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.at += seconds
        self.daemon.manager.loop.wake()

    # -- what there is --------------------------------------------------------------------------

    @property
    def rows(self) -> dict[str, PluginStatus]:
        return {row.plugin_id: row for row in statuses(self.daemon.manager.fleet)}

    def sub_state(self, plugin_id: str) -> SubState | None:
        row = self.rows.get(plugin_id)
        return row.sub_state if row is not None else None

    def events(self, plugin_id: str, *names: str) -> list[str]:
        """Short names of what was told of a plugin; of all of it if none is named."""
        short = [event.type.rpartition(".")[2] for event in self.told if event.subject == plugin_id]
        return [name for name in short if name in names] if names else short

    def data(self, plugin_id: str, name: str) -> list[dict[str, Any]]:
        return [
            dict(event.data)
            for event in self.told
            if event.subject == plugin_id and event.type == f"orchestrator.plugin.{name}"
        ]

    def container(self, plugin_id: str) -> str:
        return self.rows[plugin_id].container_id

    async def containers(self, plugin_id: str) -> list[ContainerState]:
        return await self.engine.list({LABEL_PLUGIN: plugin_id})

    def die(self, plugin_id: str, *, exit_code: int = 1) -> None:
        """Its process ends."""
        container_id = self.container(plugin_id)
        self._hang_up(container_id)
        self.engine.die(container_id, exit_code=exit_code)

    def oom(self, plugin_id: str) -> None:
        container_id = self.container(plugin_id)
        self._hang_up(container_id)
        self.engine.oom(container_id)

    # -- how plugins live -----------------------------------------------------------------------

    def _start(self, spec: ContainerSpec, state: ContainerState) -> None:
        actor = self.actors[spec.plugin_id]
        for line in actor.prints:
            self.engine.log(state.container_id, line)
        if actor.exits is not None:
            # Not at once: it is seen to run first, as any program is.
            asyncio.get_running_loop().call_soon(
                lambda: self.engine.die(state.container_id, exit_code=actor.exits or 0)
            )
        else:
            self._play(spec, state)

    def _play(self, spec: ContainerSpec, state: ContainerState) -> None:
        self._hang_up(state.container_id)
        actor = self.actors[spec.plugin_id]
        task = self._group.create_task(self._life(actor, spec, state.container_id))
        self._plays[state.container_id] = task

    def _hang_up(self, container_id: str) -> None:
        if container_id in self._plays:
            self._plays.pop(container_id).cancel()

    async def _life(self, actor: Actor, spec: ContainerSpec, container_id: str) -> None:
        if actor.gate is not None:
            await actor.gate.wait()
        if not actor.dials:
            return
        [folder] = [m.source for m in spec.bind_mounts if m.target == "/run/orchestrator"]
        async with asyncio.TaskGroup() as lanes:
            for lane in ("control", "calls"):
                lanes.create_task(self._lane(actor, Path(folder), lane, container_id))

    async def _lane(self, actor: Actor, folder: Path, lane: str, container_id: str) -> None:
        """Dial, serve, and dial again, as long as the container runs."""
        while (found := await self.engine.inspect(container_id)) and found.exit_code is None:
            with contextlib.suppress(OSError, EOFError, IndexError):
                await _serve(actor, folder, lane)
            await asyncio.sleep(0.005)


async def _serve(actor: Actor, folder: Path, lane: str) -> None:
    # Addresses of sockets end at 107 bytes: through the folder's descriptor.
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        path = f"/proc/self/fd/{descriptor}/plugin.sock"
        reader, writer = await asyncio.open_unix_connection(path)
    finally:
        os.close(descriptor)
    try:
        writer.write(
            b"GET /v1/serve HTTP/1.1\r\nHost: orchestrator\r\nConnection: Upgrade\r\n"
            b"Upgrade: PTTH/1.0\r\nX-Lane: %b\r\n\r\n" % lane.encode()
        )
        if b" 101 " not in await reader.readuntil(b"\r\n\r\n"):
            return
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = head.partition("content-length: ")[2].partition("\r\n")[0]
            await reader.readexactly(int(length or 0))
            status, answer = _answer(actor, head.split()[1])
            if not actor.answers and "/initialize" not in head.split()[1]:
                await asyncio.Event().wait()
            body = json.dumps(answer).encode()
            writer.write(
                b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)
            )
    finally:
        writer.close()


def _answer(actor: Actor, path: str) -> tuple[int, dict[str, Any]]:
    if path == "/v1/initialize" and actor.refuses:
        return 422, {"detail": actor.refuses}
    return 200, actor.says if path == "/v1/status" else {}
