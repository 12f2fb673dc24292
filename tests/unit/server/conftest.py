"""A front with a client before it, a plugin behind it and uvicorn beside it, on real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from orchestrator.manager.manager import PluginNotFound
from orchestrator.sandbox.call import Call, CallFailure
from orchestrator.sandbox.listener import bind_unix
from orchestrator.sandbox.sandbox import PluginSandbox
from orchestrator.server.front import FrontProtocol
from orchestrator.server.gate import Gate
from tests.unit.sandbox.house import SECONDS, House


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The daemon's loop; the sandbox's own tests run on both."""
    return {"uvloop": uvloop.new_event_loop}


@dataclass
class Routes:
    """The router: what the test puts in."""

    sandboxes: dict[str, PluginSandbox | CallFailure] = field(default_factory=dict)
    max_request_bytes: int = 1 << 20
    refusals: list[tuple[str, str, str]] = field(default_factory=list)
    """(plugin, tool, code) of each."""
    dispatched: list[tuple[str, str, str]] = field(default_factory=list)
    """(plugin, tool, user) of each."""

    def route(self, plugin_id: str) -> PluginSandbox | CallFailure:
        if plugin_id not in self.sandboxes:
            raise PluginNotFound(f"found no plugin {plugin_id!r}")
        return self.sandboxes[plugin_id]

    def admitted(self, plugin_id: str) -> PluginSandbox | CallFailure:
        return self.route(plugin_id)

    def dispatching(self, plugin_id: str, call: Call, user: str) -> None:
        self.dispatched.append((plugin_id, call.tool, user))

    def refused(self, plugin_id: str, call: Call, failure: CallFailure) -> None:
        self.refusals.append((plugin_id, call.tool, failure.code))


@dataclass(frozen=True)
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        assert self.headers["content-type"] == "application/problem+json"
        parsed: dict[str, Any] = json.loads(self.body)
        return parsed


class Client:
    """One connection to the front; it is strict about what it reads."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        if not self.writer.is_closing():  # uvloop raises, asyncio does not
            self.writer.write(data)

    def execute(
        self, body: bytes = b"{}", *, plugin: str = "echo", headers: str = "", length: int = -1
    ) -> None:
        size = len(body) if length < 0 else length
        self.send(
            f"POST /v1/plugins/{plugin}/execute HTTP/1.1\r\nHost: o\r\n{headers}"
            f"Content-Length: {size}\r\n\r\n".encode("latin-1")
            + body
        )

    def get(self, path: str) -> None:
        self.send(f"GET {path} HTTP/1.1\r\nHost: o\r\n\r\n".encode())

    async def head(self) -> tuple[int, dict[str, str]]:
        async with asyncio.timeout(SECONDS):
            head = await self.reader.readuntil(b"\r\n\r\n")
        line, *rows = head.decode("latin-1").split("\r\n")[:-2]
        pairs = [row.partition(": ") for row in rows]
        headers = {name.lower(): value for name, _, value in pairs}
        assert len(headers) == len(pairs), f"a header twice: {head!r}"
        assert line.startswith("HTTP/1.1 "), f"no status line: {line!r}"
        return int(line.split()[1]), headers

    async def answer(self) -> Response:
        status, headers = await self.head()
        if status in {204, 304}:
            return Response(status, headers, b"")
        async with asyncio.timeout(SECONDS):
            if headers.get("transfer-encoding") == "chunked":
                return Response(status, headers, await self._chunks())
            return Response(
                status, headers, await self.reader.readexactly(int(headers["content-length"]))
            )

    async def ended(self) -> bool:
        """Whether the front closes it, within a second; what was sent before is lost."""
        try:
            async with asyncio.timeout(1):
                while await self.reader.read(65_536):
                    pass
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        return True

    def close(self) -> None:
        self.writer.close()

    async def _chunks(self) -> bytes:
        body = b""
        while size := int(await self.reader.readline(), 16):
            body += await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)
        return body


async def _status(request: Request) -> JSONResponse:
    return JSONResponse({"path": request.url.path})


async def _echo(request: Request) -> JSONResponse:
    return JSONResponse({"body": (await request.body()).decode(), "method": request.method})


def _uvicorn(gate: Gate) -> Callable[[], asyncio.Protocol]:
    app = Starlette(
        routes=[
            Route("/v1/status", _status, methods=["GET"]),
            Route("/v1/desired", _echo, methods=["PUT", "POST"]),
        ]
    )
    config = uvicorn.Config(
        gate.watch(app),
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
    )
    config.load()
    state = uvicorn.Server(config).server_state

    def protocol() -> asyncio.Protocol:
        return config.http_protocol_class(config=config, server_state=state, app_state={})  # type: ignore[call-arg]

    return protocol


class Front(House):
    """The house with its front door."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.routes = Routes()
        self.gate = Gate(self.routes)
        self.clients: list[Client] = []
        self.protocols: list[FrontProtocol] = []
        self._server: asyncio.AbstractServer

    async def listen(self) -> None:
        fallback = _uvicorn(self.gate)

        def protocol() -> FrontProtocol:
            self.protocols.append(FrontProtocol(self.gate, fallback, self.gate.busy))
            return self.protocols[-1]

        sock = bind_unix(self.folder / "api.sock", mode=0o600)
        self._server = await asyncio.get_running_loop().create_unix_server(protocol, sock=sock)

    async def ready(self, **more: Any) -> Any:
        made = await super().ready(**more)
        self.routes.sandboxes[more.get("name", "echo")] = made[0]
        return made

    async def client(self) -> Client:
        path = str(self.folder / "api.sock")
        reader, writer = await asyncio.open_unix_connection(path, limit=1 << 16)
        self.clients.append(Client(reader, writer))
        return self.clients[-1]

    def close(self) -> None:
        self._server.close()
        for client in self.clients:
            client.close()
        super().close()


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[Front]:
    front = Front(tmp_path)
    await front.listen()
    yield front
    front.close()
    await asyncio.sleep(0.005)
