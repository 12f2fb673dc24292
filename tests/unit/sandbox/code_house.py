"""A code sandbox over the in-memory engine; what its containers do is played here."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.engine.base import LABEL_INSTANCE, LABEL_ROLE
from orchestrator.engine.memory import MemoryEngine
from orchestrator.engine.memory_stores import MemoryVolumes
from orchestrator.engine.pausing import MemoryPausing
from orchestrator.manager.code_access import CodeAccess
from orchestrator.model.audit import AuditEntry
from orchestrator.model.container import ContainerPhase, ContainerSpec, ContainerState
from orchestrator.model.info import PluginCategory, PluginInfo
from orchestrator.model.limits import ResourceLimits
from orchestrator.model.policy import CodePolicy, SecurityPolicy
from orchestrator.policy.compile import Site
from orchestrator.sandbox.broker import Broker
from orchestrator.sandbox.code import CodeSandbox, Ground
from orchestrator.sandbox.code_box import BoxMaker
from orchestrator.sandbox.code_spec import BoxPlan
from orchestrator.sandbox.deadlines import DeadlineWheel
from tests.unit.sandbox.egress_house import World
from tests.unit.sandbox.host_house import Neighbourhood
from tests.unit.sandbox.house import Dialled, Plugin

INFO = PluginInfo(
    plugin_id="code-python",
    name="Runner",
    version="1.0.0",
    author="a",
    description="d",
    category=PluginCategory.WORKFLOW_AUTOMATION,
    entry_point="m:C",
    limits=ResourceLimits(max_memory_mb=256, max_cpu_percent=100, max_concurrent_requests=1),
)
LABELS = {LABEL_INSTANCE: "home"}
ROLE = {LABEL_ROLE: "code"}


def answer(reason: str = "ok", **fields: Any) -> bytes:
    """What a runner says."""
    plain = {"stdout": "", "stderr": "", "stdout_truncated": False, "stderr_truncated": False}
    return json.dumps({"reason": reason, **plain, **fields}).encode()


class FakeClock:
    def __init__(self) -> None:
        self.at = 1_000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


@asynccontextmanager
async def code_house() -> AsyncIterator["CodeHouse"]:
    """Not opened yet. Its folder's name is short, as unix sockets want it."""
    with tempfile.TemporaryDirectory(prefix="c") as folder:
        async with asyncio.TaskGroup() as group:
            house = CodeHouse(Path(folder), group)
            yield house
            await house.shut()
            house.tear_down()


@dataclass
class CodeHouse:
    """`code` of a run says what its container does; see `_play`."""

    folder: Path
    group: asyncio.TaskGroup
    policy: CodePolicy = field(default_factory=CodePolicy)
    security: SecurityPolicy = field(default_factory=SecurityPolicy)
    clock: FakeClock = field(default_factory=FakeClock)
    audit: list[AuditEntry] = field(default_factory=list)
    image: str = "sha256:1"
    dials: bool = True
    """Whether containers dial in at all."""
    language_error: Exception | None = None
    used: list[str] = field(default_factory=list)
    """Container of every job, in order."""
    images: list[str] = field(default_factory=list)
    """Of every container that was started."""
    shares: dict[str, str] = field(default_factory=dict)
    neighbours: Neighbourhood = field(default_factory=Neighbourhood)
    world: World = field(default_factory=World)

    def __post_init__(self) -> None:
        self.engine = MemoryEngine()
        self.engine.on_start = self._on_start
        self.volumes = MemoryVolumes()
        self.wheel = DeadlineWheel(asyncio.get_running_loop())
        self.access = CodeAccess(
            auditor=self,
            clock=self.clock,
            neighbours=self.neighbours,
            uplink=self.world,
            policy=self._policy,
        )
        self.maker = BoxMaker(
            engine=self.engine,
            pausing=MemoryPausing(self.engine),
            volumes=self.volumes,
            labels=LABELS,
            wheel=self.wheel,
            brokers=self._brokers,
        )
        self.sandbox = CodeSandbox(
            maker=self.maker,
            ground=Ground(
                policy=self._policy,
                site=self._site,
                languages=self._language,
            ),
            auditor=self,
            clock=self.clock,
        )
        self._plugins: list[Plugin] = []
        self._made: list[Broker] = []
        self._life: asyncio.Task[None] | None = None

    async def open(self) -> None:
        self._life = self.group.create_task(self.sandbox.run())
        await self.until(lambda: self.sandbox._group is not None)

    async def shut(self) -> None:
        """The daemon ends."""
        if self._life is not None:
            self._life.cancel()
            await asyncio.wait([self._life])

    def tear_down(self) -> None:
        for plugin in self._plugins:
            plugin.close()
        for broker in self._made:
            broker.close()  # a test that finds one open fails, and does not hang
        self.wheel.close()

    async def run(self, code: str = "1", context: Any = None, **more: Any) -> Any:
        async with asyncio.timeout(5):
            return await self.sandbox.execute_plugin_code(code, context, **more)

    async def until(self, check: Callable[[], Any]) -> None:
        """Wait for what happens in the background."""
        async with asyncio.timeout(5):
            while not check():  # noqa: ASYNC110 - nothing tells when it comes true
                await asyncio.sleep(0.01)

    async def full(self, count: int = 2) -> None:
        """Wait until the pool is as it should be, and everything used is gone."""
        await self.until(lambda: self.ready() == count and len(self.maker.boxes) == count)

    async def nudge(self) -> None:
        """Have the pool look, and give it time to act."""
        self.sandbox._pools["python"]._changed.set()
        await asyncio.sleep(0.2)

    def sockets(self) -> Path:
        """The folder of the one sandbox that there is."""
        [box] = self.maker.boxes.values()
        return Path(box.plan.compiled.sockets_folder)

    def ready(self) -> int:
        pools = self.sandbox.pools()
        return pools["python"].ready if pools else 0

    def phases(self) -> list[ContainerPhase]:
        """Of every container there is, oldest first."""
        return [c.state.phase for c in self.engine._containers.values()]

    def containers(self) -> list[str]:
        return list(self.engine._containers)

    def record(self, entry: AuditEntry) -> None:
        self.audit.append(entry)

    # -------------------------------------------------------------------------------------------

    def _brokers(self, plan: BoxPlan) -> Sequence[Broker]:
        made = self.access.brokers(plan)
        self._made.extend(made)
        return made

    def _policy(self) -> SecurityPolicy:
        return self.security.model_copy(update={"code": self.policy})

    def _site(self, shares: tuple[str, ...]) -> Site:
        return Site(
            prefix="orchestrator-home",
            sockets_root=str(self.folder),
            secrets_root=str(self.folder / "secrets"),
            shares={name: self.shares[name] for name in shares},
            seccomp_profile="{}",
        )

    async def _language(self, language: str) -> tuple[PluginInfo, str]:
        if self.language_error is not None:
            raise self.language_error
        return INFO, self.image

    def _on_start(self, spec: ContainerSpec, state: ContainerState) -> None:
        self.images.append(spec.image)
        if self.dials:
            [folder] = [m.source for m in spec.bind_mounts if m.target == "/run/orchestrator"]
            self.group.create_task(self._live(Path(folder), state.container_id))

    async def _live(self, folder: Path, container_id: str) -> None:
        """A runner from its dial-in to its end."""
        plugin = Plugin(folder / "plugin.sock")
        self._plugins.append(plugin)
        try:
            control = await plugin.dial("control")
            calls = await plugin.dial("calls")
            await control.request()
            control.answer()
            head = await calls.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            job = json.loads(await calls.reader.readexactly(length))
            self.used.append(container_id)
            await self._play(job["code"], calls, container_id)
            await calls.reader.read()
        except (asyncio.IncompleteReadError, OSError, AssertionError):
            pass  # its container was taken away meanwhile, the folder with it
        finally:
            plugin.close()

    async def _play(self, code: str, calls: Dialled, container_id: str) -> None:
        if code == "vanish":
            self.engine.die(container_id)
            calls.close()
        elif code == "eat":
            calls.answer(answer("killed", detail="signal 9"))
            await asyncio.sleep(0.05)  # the engine's word comes later
            self.engine.oom(container_id, fatal=False)
        elif code == "hang":
            pass
        elif code.startswith("raw:"):
            calls.answer(code.removeprefix("raw:").encode())
        elif code.startswith("wait:"):
            await asyncio.sleep(float(code.removeprefix("wait:")))
            calls.answer(answer(result_json="1"))
        else:
            calls.answer(answer(result_json=code))
