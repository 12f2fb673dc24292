"""A host, and a plugin whose every byte the test chooses, over real unix sockets."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from orchestrator.model.info import PluginCategory, PluginInfo, ToolInfo
from orchestrator.model.limits import ResourceLimits
from orchestrator.model.policy import CallPolicy
from orchestrator.sandbox.call import Call, CallFailure
from orchestrator.sandbox.deadlines import DeadlineWheel
from orchestrator.sandbox.observer import CallWatch
from orchestrator.sandbox.sandbox import PluginSandbox

SECONDS = 5.0
"""No wait of a test is longer."""


@dataclass(frozen=True)
class Request:
    """What the plugin was asked."""

    line: str
    headers: dict[str, str]
    body: bytes
    head: bytes


class Dialled:
    """One connection of the plugin."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        if not self.writer.is_closing():  # uvloop raises, asyncio does not
            self.writer.write(data)

    async def flush(self) -> None:
        async with asyncio.timeout(SECONDS):
            await self.writer.drain()

    async def head(self) -> bytes:
        async with asyncio.timeout(SECONDS):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def request(self) -> Request:
        """The next request, with its body whole."""
        head = await self.head()
        line, *rows = head.decode("latin-1").split("\r\n")[:-2]
        headers = {name.lower(): value for name, _, value in (row.partition(": ") for row in rows)}
        async with asyncio.timeout(SECONDS):
            if headers.get("transfer-encoding") == "chunked":
                body = await self._chunks()
            else:
                body = await self.reader.readexactly(int(headers["content-length"]))
        return Request(line, headers, body, head)

    async def _chunks(self) -> bytes:
        body = b""
        while size := int(await self.reader.readline(), 16):
            body += await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)
        return body

    def answer(self, body: bytes = b"{}", *, status: int = 200, headers: str = "") -> None:
        self.send(
            f"HTTP/1.1 {status} OK\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body
        )

    async def ended(self) -> bool:
        """Whether the host closes it, within a second."""
        try:
            async with asyncio.timeout(1):
                while await self.reader.read(65_536):
                    pass
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        return True

    @property
    def unread(self) -> bytes:
        """What the host sent and the test did not take yet."""
        return bytes(self.reader._buffer)  # type: ignore[attr-defined]

    def close(self) -> None:
        self.writer.close()


async def settle() -> None:
    """Time for what is in the sockets to be read."""
    await asyncio.sleep(0.03)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class Plugin:
    """Dials into one folder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.connections: list[Dialled] = []

    async def connect(self) -> Dialled:
        """A connection before its handshake."""
        reader, writer = await asyncio.open_unix_connection(str(self._path), limit=1 << 16)
        self.connections.append(Dialled(reader, writer))
        return self.connections[-1]

    async def shake(self, request: bytes) -> tuple[int, Dialled]:
        """The status that a handshake gets; 0 for none."""
        connection = await self.connect()
        connection.send(request)
        try:
            return int((await connection.head()).split()[1]), connection
        except (asyncio.IncompleteReadError, ConnectionError):
            return 0, connection

    async def try_lane(self, lane: str) -> tuple[int, Dialled]:
        return await self.shake(
            b"GET /v1/serve HTTP/1.1\r\nHost: orchestrator\r\nConnection: Upgrade\r\n"
            b"Upgrade: PTTH/1.0\r\nX-Lane: %b\r\n\r\n" % lane.encode()
        )

    async def dial(self, lane: str = "calls") -> Dialled:
        status, connection = await self.try_lane(lane)
        assert status == 101, f"the host refused the {lane} lane with {status}"
        return connection

    def close(self) -> None:
        for connection in self.connections:
            connection.close()


@dataclass
class Seen:
    """A sink that remembers."""

    status: int = 0
    content_type: str = ""
    length: int | None = -1
    body: bytearray = field(default_factory=bytearray)
    failure: CallFailure | None = None
    ended: bool = False
    pauses: int = 0
    flowing: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    endings: int = 0

    def __post_init__(self) -> None:
        self.flowing.set()

    def on_head(self, status: int, content_type: str, content_length: int | None) -> None:
        assert self.status == 0, "a second head"
        self.status, self.content_type, self.length = status, content_type, content_length

    def on_body(self, chunk: bytes) -> None:
        self.body += chunk

    def on_end(self) -> None:
        self.ended = True
        self._ending()

    def on_failure(self, failure: CallFailure) -> None:
        self.failure = failure
        self._ending()

    def on_request_flow(self, *, paused: bool) -> None:
        self.pauses += paused
        self.flowing.clear() if paused else self.flowing.set()

    async def outcome(self) -> Self:
        async with asyncio.timeout(SECONDS):
            await self.over.wait()
        return self

    @property
    def code(self) -> str:
        return self.failure.code if self.failure is not None else ""

    @property
    def why(self) -> CallFailure:
        assert self.failure is not None, "the call did not fail"
        return self.failure

    def _ending(self) -> None:
        self.endings += 1
        assert self.endings == 1, "two endings of one call"
        self.over.set()


class Watcher:
    """A CallObserver that remembers."""

    trace: Callable[[Call], Call] | None = None

    def __init__(self) -> None:
        self.ends: list[tuple[str, str, str]] = []
        """(plugin, tool, outcome) of each call."""
        self.times: list[tuple[float, float]] = []
        """(seconds, of them waited)."""

    def ended(
        self, plugin_id: str, call: Call, outcome: str, seconds: float, waited: float
    ) -> None:
        self.ends.append((plugin_id, call.tool, outcome))
        self.times.append((seconds, waited))


class House:
    """Makes sandboxes and their plugins, and takes all of them down."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wheel = DeadlineWheel(asyncio.get_running_loop())
        self.changes: list[str] = []
        self.watcher = Watcher()
        self._open: list[PluginSandbox | Plugin] = []

    async def sandbox(
        self,
        *,
        calls: int = 1,
        tools: tuple[ToolInfo, ...] = (),
        name: str = "echo",
        listens: bool = True,
        **policy: int,
    ) -> tuple[PluginSandbox, Plugin]:
        info = PluginInfo(
            plugin_id="echo",
            name="Echo",
            version="1.0.0",
            author="a",
            description="d",
            category=PluginCategory.ANALYTICS,
            entry_point="m:C",
            tools=tools,
            subscribes=("a.b",) if policy.pop("events", 0) else (),
        )
        sandbox = PluginSandbox(
            sandbox_id=f"{name}-1",
            info=info,
            limits=ResourceLimits(max_concurrent_requests=calls),
            calls=CallPolicy(**policy),
            wheel=self.wheel,
            watch=CallWatch(plugin_id="echo", observer=self.watcher, monotonic=time.monotonic),
            on_change=lambda it: self.changes.append(f"{it.state} {it.trouble}".strip()),
        )
        if listens:
            await sandbox.listen(self.folder / name)
        plugin = Plugin(self.folder / name / "plugin.sock")
        self._open += [sandbox, plugin]
        return sandbox, plugin

    async def ready(
        self, *, calls: int = 1, **more: Any
    ) -> tuple[PluginSandbox, Plugin, list[Dialled]]:
        """A sandbox that takes calls: its plugin, and the connections of the calls lane."""
        sandbox, plugin = await self.sandbox(calls=calls, **more)
        await plugin.dial("control")
        lines = [await plugin.dial() for _ in range(calls)]
        sandbox.mark_ready()
        return sandbox, plugin, lines

    def call(self, sandbox: PluginSandbox, body: bytes | None = b"{}", **more: Any) -> Seen:
        """A call on its way; with None for a body nothing of it was sent yet."""
        return self.begin(sandbox, body, **more)[0]

    def begin(
        self, sandbox: PluginSandbox, body: bytes | None = b"{}", **more: Any
    ) -> tuple[Seen, Any]:
        seen = Seen()
        plain = {
            "request_id": "r1",
            "deadline_seconds": SECONDS,
            "content_length": len(body) if body is not None else None,
        }
        exchange = sandbox.dispatch(Call(**plain | more), seen)  # type: ignore[arg-type]
        if body is not None:
            exchange.send(body)
            exchange.finish()
        return seen, exchange

    def close(self) -> None:
        for thing in self._open:
            thing.close(remove_folder=True) if isinstance(thing, PluginSandbox) else thing.close()
        self.wheel.close()
