"""PaperHouse: an orchestrator over the in-memory engine whose daemons can be killed anywhere.

A daemon is killed by holding it fast at a boundary: from there on nothing that it does reaches the
engine or the store, its tasks are thrown away, and the next daemon is built over what is there.
What it does to folders while its tasks are thrown away is more than a real `kill -9` would leave
it: tests/chaos/test_killed_daemon.py does that, with processes and containers.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from orchestrator.clock import SystemClock
from orchestrator.daemon.build import Backends, Daemon, build
from orchestrator.daemon.router import ManagerRouter
from orchestrator.daemon.run import _tasks as tasks_of
from orchestrator.daemon.settings import DaemonSettings
from orchestrator.engine.base import LABEL_PLUGIN, LABEL_ROLE, LABEL_SANDBOX
from orchestrator.engine.base_image import base_tag
from orchestrator.engine.guard_image import guard_recipe, guard_tag
from orchestrator.engine.memory import MemoryEngine
from orchestrator.engine.memory_networks import MemoryNetworks
from orchestrator.engine.memory_stores import MemoryImages, MemoryVolumes
from orchestrator.engine.memory_usage import MemoryUsages
from orchestrator.engine.pausing import MemoryPausing
from orchestrator.engine.repairs import MemoryRepairs
from orchestrator.engine.share_mounts import ShareMounts
from orchestrator.manager.network_guard import LABEL_GUARDS, ROLE_PAUSE
from orchestrator.manager.statuses import statuses
from orchestrator.model.container import ContainerPhase
from orchestrator.sandbox.call import Call, CallFailure, Reply
from orchestrator.sandbox.desk import invoke
from tests.chaos.boundaries import Boundaries, Killed, Wrapped
from tests.support.paper import Players

SECONDS: Final = 60.0
"""No wait of a test is longer, on however busy a machine."""


METADATA: Final = "/plugin/plugin.yaml"
NETWORK: Final = "network_access"


class TurnedClock(SystemClock):
    """The machine's clock, which somebody sets: the monotonic one goes on as ever."""

    def __init__(self) -> None:
        self.ahead_seconds = 0.0

    def now(self) -> float:
        return super().now() + self.ahead_seconds


class PaperHouse:
    """One state folder and one engine; daemons come and go."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings = DaemonSettings(home=folder / "home")
        self.settings.folder.mkdir(parents=True)
        self.clock = TurnedClock()
        self.engine = MemoryEngine(clock=self.clock)
        self.images, self.volumes = MemoryImages(), MemoryVolumes()
        self.networks = MemoryNetworks()
        self.images.add(base_tag())
        self.images.add(guard_tag(guard_recipe()))
        self.usages = MemoryUsages()
        self.players = Players(self.engine)
        self.config = folder / "orchestrator.yaml"
        # An update would wait two seconds, each time, to see that the new one stays well.
        self.config.write_text("policy: {rollout: {min_healthy_seconds: 0}}\n")
        self.manifests = folder / "manifests"
        self.manifests.mkdir()
        self.boundaries = Boundaries()
        self.boundaries.watch_store(monkeypatch)
        self.numbers = itertools.count(1)
        """For whatever is to be new each time."""
        self.answered = False
        """Whether what `die` was given came to its end: then it holds, whatever is killed."""
        self.daemon: Daemon

    # -- what a user writes ---------------------------------------------------------------------

    def plugin(self, plugin_id: str, *, image: str = "1", info: Any = None, **spec: Any) -> None:
        """An image with the plugin's metadata, and the manifest that deploys it."""
        reference = f"{plugin_id}:{image}"
        files = {METADATA: _about(plugin_id, info or {}).encode()}
        self.images.add(reference, files=files)
        self._manifest(plugin_id, {"source": {"image": reference}, **spec})

    def folder(self, plugin_id: str, *, info: Any = None, **spec: Any) -> None:
        """A folder with the plugin's metadata, of which an image is built, and its manifest."""
        folder = self.manifests.parent / plugin_id
        folder.mkdir(exist_ok=True)
        (folder / "plugin.yaml").write_text(_about(plugin_id, info or {}))
        self._manifest(plugin_id, {"source": {"build": str(folder)}, **spec})

    def _manifest(self, plugin_id: str, spec: Any) -> None:
        manifest = {"apiVersion": "orchestrator/v1", "kind": "Plugin", "spec": spec}
        text = yaml.safe_dump({**manifest, "metadata": {"name": plugin_id}})
        (self.manifests / f"{plugin_id}.yaml").write_text(text)

    def drop(self, plugin_id: str) -> None:
        (self.manifests / f"{plugin_id}.yaml").unlink()

    # -- daemons --------------------------------------------------------------------------------

    @asynccontextmanager
    async def daemon_runs(self) -> AsyncIterator[None]:
        """A daemon with its loop; ends in order, or is dead already when it does."""
        backends = Backends(
            engine=self._wrap(self.engine),
            probe=self.engine,
            images=self._wrap(self.images),
            volumes=self._wrap(self.volumes),
            disks=self.volumes,
            networks=self._wrap(self.networks),
            usages=self.usages,
            shares=ShareMounts(self.settings.share_mounts, address="memory://"),
            pausing=self._wrap(MemoryPausing(self.engine)),
            repairs=self._wrap(MemoryRepairs(self.engine)),
        )
        async with (
            build(self.settings, backends, clock=self.clock, shut_down=lambda: None) as self.daemon,
            asyncio.TaskGroup() as group,
        ):
            tasks = [group.create_task(run()) for run in tasks_of(self.daemon).values()]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()

    def _wrap(self, backend: Any) -> Any:
        return Wrapped(backend, self.boundaries)

    async def up(self) -> None:
        """`orchestrator up`, or `down` where no manifest is left."""
        if any(self.manifests.iterdir()):
            await self.daemon.manager.apply([self.manifests], self.config)
        else:
            await self.daemon.manager.down(with_volumes=False)

    async def die(
        self,
        act: Callable[[], Awaitable[Any]],
        *,
        at: int,
        before: bool,
        done: Callable[[], Awaitable[Any]] | None = None,
    ) -> bool:
        """Kill the daemon that `act` makes work at that boundary; False if it never got there.

        It has until `done` comes to its end: by default, until all is as the manifests say.
        """
        self.answered = False
        killed = self.boundaries.arm(at, before=before)
        try:
            async with self.daemon_runs():
                await self._act_until(act, done or self.converged, killed)
                self.boundaries.hold()
        except* Killed:
            pass
        self.boundaries.release()
        return killed.is_set()

    async def _act_until(
        self,
        act: Callable[[], Awaitable[Any]],
        done: Callable[[], Awaitable[Any]],
        killed: asyncio.Event,
    ) -> None:
        async with asyncio.timeout(SECONDS), asyncio.TaskGroup() as group:
            acting = group.create_task(self._act(act, done))
            died = group.create_task(killed.wait())
            await asyncio.wait({acting, died}, return_when=asyncio.FIRST_COMPLETED)
            acting.cancel()
            died.cancel()

    async def _act(
        self, act: Callable[[], Awaitable[Any]], done: Callable[[], Awaitable[Any]]
    ) -> None:
        await act()
        self.answered = True
        await done()

    # -- what there is --------------------------------------------------------------------------

    async def converged(self) -> None:
        """Until every plugin is as the manifests say, or for too long."""
        found: list[str] = ["nothing was looked at"]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SECONDS):
                while found:
                    await asyncio.sleep(0.005)  # it looks from outside, as a user would
                    found = await self.amiss()
        assert found == [], found

    async def amiss(self) -> list[str]:
        """What is not as the manifests say, in words; the oracle knows no digest and no plan."""
        manifests = [yaml.safe_load(path.read_text()) for path in self.manifests.glob("*.yaml")]
        wanted = {each["metadata"]["name"]: each["spec"] for each in manifests}
        containers = await self.engine.list({})
        found = [f"{c.name} is {c.phase}" for c in containers if c.phase != ContainerPhase.RUNNING]
        specs = [self.engine.spec(c.container_id) for c in containers if not c.label(LABEL_ROLE)]
        there = sorted([(spec.plugin_id, await self._held(spec.image)) for spec in specs])
        due = []
        for name, spec in sorted(wanted.items()):
            due += [(name, await self._asked(spec["source"]))] * spec.get("replicas", 1)
        if there != due:
            found.append(f"found {there}, expected {due}")
        found += await self._networks_amiss(wanted)
        rows = statuses(self.daemon.manager.fleet)
        found += [
            f"{row.plugin_id}: {row.status} {row.detail}"
            for row in rows
            if row.status != "active"
            or row.detail != _running(wanted.get(row.plugin_id, {}).get("replicas", 1))
            or row.plugin_id not in wanted
        ]
        if {row.plugin_id for row in rows} != wanted.keys():
            found.append(f"status tells of {[row.plugin_id for row in rows]}")
        return found

    async def _held(self, image: str) -> tuple[str, bytes | None]:
        """(image, its metadata): of one that was built its name is nobody's but the product's."""
        name = "" if image.startswith("orchestrator/") else image
        return name, await self.images.read_file(image, METADATA, max_bytes=1 << 20)

    async def _asked(self, source: dict[str, str]) -> tuple[str, bytes | None]:
        """The same as the user's files have it."""
        if "build" in source:
            return "", (Path(source["build"]) / "plugin.yaml").read_bytes()
        return await self._held(await self.images.find(source["image"]) or "")

    async def _networks_amiss(self, wanted: dict[str, Any]) -> list[str]:
        """One network and one pause for each plugin that is granted one, and no helper."""
        due = sorted(n for n, spec in wanted.items() if NETWORK in spec.get("permissions", ()))
        roles = [(c.label(LABEL_ROLE), c.label(LABEL_GUARDS)) for c in await self.engine.list({})]
        there = sorted(role for role in roles if role[0])
        networks = [network.label(LABEL_GUARDS) for network in await self.networks.list({})]
        amiss = [] if there == [(ROLE_PAUSE, name) for name in due] else [f"guards {there}"]
        return amiss + ([] if sorted(networks) == due else [f"networks {networks}"])

    async def leaks(self) -> list[str]:
        """What is left of containers that are no more; the house has converged."""
        containers = await self.engine.list({})
        sandboxes = {c.label(LABEL_SANDBOX) for c in containers}
        roots = {
            "sockets": self.settings.sockets_root,
            "secrets": self.settings.secrets_root,
        }
        return [
            *(
                f"{kind} of {path.name}"
                for kind, root in roots.items()
                for path in (root.iterdir() if root.exists() else ())
                if path.name not in sandboxes
            ),
            *(f"sandbox {name}" for name in self.daemon.manager.fleet.sandboxes.keys() - sandboxes),
        ]

    def container(self, plugin_id: str) -> str:
        """The id of the plugin's only container."""
        fleet = self.daemon.manager.fleet
        [found] = [
            container.container_id
            for container in fleet.containers.values()
            if container.label(LABEL_PLUGIN) == plugin_id
        ]
        return found

    async def call(
        self, plugin_id: str, body: bytes = b"{}", *, deadline_seconds: float = SECONDS
    ) -> Reply | CallFailure:
        target = ManagerRouter(self.daemon.manager).route(plugin_id)
        if isinstance(target, CallFailure):
            return target
        call = Call(request_id="chaos", deadline_seconds=deadline_seconds, content_length=len(body))
        return await invoke(target, call, body)


@asynccontextmanager
async def paper_house(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PaperHouse]:
    house = PaperHouse(folder, monkeypatch)
    async with house.players.playing():
        yield house


def _running(replicas: int) -> str:
    return "running" if replicas == 1 else f"running, {replicas} replicas"


def _about(plugin_id: str, info: Any) -> str:
    """A plugin's metadata."""
    plain = {
        "plugin_id": plugin_id,
        "name": plugin_id,
        "version": "1.0.0",
        "author": "Somebody",
        "description": "Made for one test.",
        "category": "integration",
        "entry_point": "/plugin/none",
    }
    return yaml.safe_dump({**plain, **info})
