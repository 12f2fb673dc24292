"""The code sandbox on a real engine: hostile code costs its own container, and nothing else."""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orchestrator.clock import SystemClock
from orchestrator.engine.base import LABEL_INSTANCE, Engine
from orchestrator.engine.code_image import CodeImages
from orchestrator.engine.docker import DockerEngine
from orchestrator.engine.docker_client import DockerClients
from orchestrator.engine.docker_images import DockerImages
from orchestrator.engine.memory_stores import MemoryVolumes
from orchestrator.engine.pausing import DockerPausing
from orchestrator.model.audit import AuditEntry
from orchestrator.model.container import ContainerPhase
from orchestrator.model.manifest import LimitsOverride
from orchestrator.model.permissions import FileSystemRead
from orchestrator.model.policy import CodePolicy, SecurityPolicy, Share
from orchestrator.policy.compile import Site
from orchestrator.policy.seccomp import seccomp_profile
from orchestrator.sandbox.code import CodeSandbox, Ground
from orchestrator.sandbox.code_box import BoxMaker
from orchestrator.sandbox.code_result import CodeEnd, CodeResult
from orchestrator.sandbox.deadlines import DeadlineWheel

pytestmark = pytest.mark.docker
CACHE = Path(tempfile.gettempdir()) / "orchestrator-test-code-cache"


@dataclass
class Bench:
    sandbox: CodeSandbox
    engine: Engine
    labels: dict[str, str]
    maker: BoxMaker
    policy: CodePolicy = field(default_factory=CodePolicy)

    async def run(self, code: str, context: Any = None, **more: Any) -> CodeResult:
        async with asyncio.timeout(60):
            return await self.sandbox.execute_plugin_code(code, context, **more)

    async def full(self) -> None:
        """The pool is full again, and everything used is gone."""
        size = self.policy.pool_size
        async with asyncio.timeout(60):
            while not (len(self.maker.boxes) == size == self._ready()):  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.05)
            containers = await self.engine.list(self.labels)
            assert len(containers) == size

    async def phases(self) -> list[ContainerPhase]:
        return [container.phase for container in await self.engine.list(self.labels)]

    def _ready(self) -> int:
        pools = self.sandbox.pools()
        return pools["python"].ready if pools else 0


class Silence:
    def record(self, entry: AuditEntry) -> None: ...


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A pool of one, so that the machine has air; an instance of its own."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("shared")
    security = SecurityPolicy(shares={"docs": Share(path=str(tmp_path / "docs"))})
    clients = DockerClients.connect()
    images = CodeImages(
        images=DockerImages(clients),
        cache=CACHE,
        policy=lambda: security.build,
        base_lock=asyncio.Lock(),
    )
    wheel = DeadlineWheel(asyncio.get_running_loop())
    labels = {LABEL_INSTANCE: f"test-code-{os.getpid()}-{tmp_path.name}"}
    engine = DockerEngine(clients)
    maker = BoxMaker(
        engine=engine,
        pausing=DockerPausing(clients),
        volumes=MemoryVolumes(),
        labels=labels,
        wheel=wheel,
    )
    made = Bench(None, engine, labels, maker, CodePolicy(pool_size=1))  # type: ignore[arg-type]

    def site(shares: tuple[str, ...]) -> Site:
        return Site(
            prefix=f"test-code-{os.getpid()}",
            sockets_root=str(tmp_path / "sockets"),
            secrets_root=str(tmp_path / "secrets"),
            shares={name: security.shares[name].path for name in shares},
            seccomp_profile=seccomp_profile(),
        )

    ground = Ground(
        policy=lambda: security.model_copy(update={"code": made.policy}),
        site=site,
        languages=images.ensure,
    )
    made.sandbox = CodeSandbox(maker=maker, ground=ground, auditor=Silence(), clock=SystemClock())
    async with asyncio.TaskGroup() as group:
        life = group.create_task(made.sandbox.run())
        async with asyncio.timeout(10):
            while made.sandbox._group is None:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
        yield made
        life.cancel()
    left = await engine.list(labels)
    for container in left:
        await engine.remove(container.container_id)
    wheel.close()
    await clients.aclose()

    assert left == []


async def test_code_runs_warm_and_the_next_finds_no_mark_of_it(bench: Bench) -> None:
    leave = (
        "import builtins, json, os, threading, time\n"
        "open('/tmp/mark', 'w').write('here')\n"
        "builtins.mark = 1\njson.dumps = None\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "if os.fork() == 0: time.sleep(60)\n"
        "1"
    )
    look = (
        "import builtins, json, os, threading\n"
        "[os.path.exists('/tmp/mark'), hasattr(builtins, 'mark'), json.dumps is None,"
        " threading.active_count(), sum(n.isdigit() for n in os.listdir('/proc'))]"
    )
    first = await bench.run(look)
    await bench.full()
    await bench.run(leave)
    # At once, while the used one may still be there, and from the pool again.
    cold = await bench.run(look)
    await bench.full()
    warm = await bench.run(look)

    assert first.result == cold.result == warm.result
    assert first.result is not None
    assert first.result[:4] == [False, False, False, 1]  # type: ignore[index]


async def test_what_waits_is_paused_and_still_answers(bench: Bench) -> None:
    bench.policy = CodePolicy(pool_size=1, awake=0)
    await bench.run("1")
    await bench.full()
    async with asyncio.timeout(30):
        while await bench.phases() != [ContainerPhase.PAUSED]:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.05)
    result = await bench.run("context + 1", 41)

    assert result.result == 42


FORK_BOMB = "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass"
DIAL_FLOOD = """
import socket
while True:
    s = socket.socket(socket.AF_UNIX)
    try:
        s.connect("/run/orchestrator/plugin.sock")
        s.sendall(b"GET /v1/serve HTTP/1.1\\r\\nHost: o\\r\\nConnection: Upgrade\\r\\n"
                  b"Upgrade: PTTH/1.0\\r\\nX-Lane: calls\\r\\n\\r\\n")
    except OSError: pass
"""
TAKE_OVER = """
import os, socket, time
os.kill(os.getppid(), 9)
def lane(name):
    while True:
        s = socket.socket(socket.AF_UNIX)
        try:
            s.connect("/run/orchestrator/plugin.sock")
            s.sendall(b"GET /v1/serve HTTP/1.1\\r\\nHost: o\\r\\nConnection: Upgrade\\r\\n"
                      b"Upgrade: PTTH/1.0\\r\\nX-Lane: " + name + b"\\r\\n\\r\\n")
            if b" 101" in s.recv(999): return s
        except OSError: pass
lane(b"control"); lane(b"calls")
time.sleep(60)
"""


STOP = "import os, time\nos.kill(os.getppid(), 19)\ntime.sleep(60)"
KILL_ALL = """
import os
for name in os.listdir("/proc"):
    if name.isdigit() and int(name) > 1 and int(name) != os.getpid():
        os.kill(int(name), 9)
"""
CLOSE = """
import os
for fd in range(256):
    try: os.close(fd)
    except OSError: pass
5
"""
LATE, LOST = CodeEnd.DEADLINE_EXCEEDED, CodeEnd.SANDBOX_LOST


@pytest.mark.parametrize(
    ("code", "reasons"),
    [
        pytest.param("while True: pass", {LATE}, id="loop"),
        pytest.param(FORK_BOMB, {LATE, CodeEnd.OOM_KILLED}, id="forks"),
        pytest.param(
            "x = []\nwhile True: x.append(bytearray(1 << 20))", {CodeEnd.OOM_KILLED}, id="memory"
        ),
        pytest.param("while True: print('x' * 65536)", {LATE}, id="output"),
        pytest.param("import os; os._exit(3)", {CodeEnd.EXITED}, id="exit"),
        pytest.param("import os; os.kill(os.getppid(), 9)", {LOST}, id="kill"),
        pytest.param(STOP, {LATE}, id="stop"),
        pytest.param(KILL_ALL, {LOST}, id="kill-all"),
        pytest.param(DIAL_FLOOD, {LATE, LOST}, id="dial"),
        pytest.param(TAKE_OVER, {LOST}, id="take-over"),
        pytest.param(CLOSE, {CodeEnd.EXITED}, id="close"),
    ],
)
async def test_hostile_code_ends_in_time_and_its_container_is_gone(
    bench: Bench, code: str, reasons: set[CodeEnd]
) -> None:
    await bench.run("1")
    await bench.full()
    started = time.monotonic()
    result = await bench.run(code, timeout_seconds=2.0)
    took = time.monotonic() - started
    await bench.full()
    after = await bench.run("'fine'")

    assert result.reason in reasons, result
    assert took < 30  # of the sixty seconds and more that it would go on
    assert len(result.stdout) <= 1 << 20
    assert after.result == "fine"


async def test_the_container_is_no_weaker_than_a_plugins(bench: Bench) -> None:
    result = await bench.run(
        "import os, socket\n"
        "status = dict(l.split(':', 1) for l in open('/proc/self/status'))\n"
        "def can(f):\n  try: f(); return True\n  except OSError: return False\n"
        "result = {'uid': os.getuid(), 'caps': int(status['CapBnd'], 16),\n"
        " 'no_new': status['NoNewPrivs'].strip(), 'seccomp': status['Seccomp'].strip(),\n"
        " 'net': sorted(n for _, n in socket.if_nameindex()) if can(socket.if_nameindex) else [],\n"
        " 'root': can(lambda: open('/x', 'w')), 'plugin': can(lambda: open('/plugin/x', 'w')),\n"
        " 'sockets': can(lambda: open('/run/orchestrator/x', 'w')),\n"
        " 'mnt': os.listdir('/mnt'), 'data': can(lambda: open('/data/x', 'w'))}"
    )

    assert result.result == {
        "uid": 65_532,
        "caps": 0,
        "no_new": "1",
        "seccomp": "2",
        "net": ["lo"],
        "root": False,
        "plugin": False,
        "sockets": False,
        "mnt": [],
        "data": False,
    }


async def test_a_share_is_there_when_it_is_granted_and_read_only(bench: Bench) -> None:
    result = await bench.run(
        "text = open('/mnt/docs/a.txt').read()\n"
        "try: open('/mnt/docs/b', 'w'); text += ' written'\nexcept OSError: pass\ntext",
        permissions=(FileSystemRead(shares=("docs",)),),
        limits=LimitsOverride(max_memory_mb=64),
    )

    assert result.result == "shared"
