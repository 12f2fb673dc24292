"""UiListener: where browsers find the plugins' pages, on loopback and only while there are any.

Both loopback addresses are taken where the machine has both: browsers try `::1` first, and another
user of the machine who listened there would be sent the operator's key.
"""

import asyncio
import errno
import socket
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from uvicorn.server import ServerState

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.server.ui import Pages, UiApp, UiKeys

LOOK_SECONDS: Final = 1.0
MAX_CONNECTIONS: Final = 128
"""At one time, of all browsers; more are closed unheard."""
_NO_SUCH_ADDRESS: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
_TRIES: Final = 8


class UiUnavailable(OrchestratorError):
    """Nobody listens for browsers: the port is taken, or no plugin has pages."""

    kind, code = Kind.UNAVAILABLE, "ui_unavailable"


class UiListener:
    """`wanted` says which port should be listened on now; 0 takes any free one, None none.

    All of it runs in the daemon's loop.
    """

    def __init__(self, *, pages: Pages, keys: UiKeys, wanted: Callable[[], int | None]) -> None:
        self._pages = pages
        self._keys = keys
        self._wanted = wanted
        self._asked: int | None = None
        """The port asked for, while it is listened on."""
        self._app: UiApp | None = None
        self._servers: list[asyncio.AbstractServer] = []
        self._state: ServerState | None = None
        self._one = asyncio.Lock()
        self.port = 0
        """Where it listens; 0 while it does not."""
        self.trouble = ""
        """Why it does not listen though it should."""

    async def run(self) -> None:
        """Until it is cancelled; then nobody listens any more."""
        try:
            while True:
                await self.settle()
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            self.close()

    async def settle(self) -> None:
        """Listen as is wanted now; what stands in the way is in `trouble`."""
        async with self._one:
            wanted = self._wanted()
            if wanted is not None and wanted == self._asked:
                return
            self.close()
            if wanted is None:
                return
            try:
                await self._open(wanted)
            except OSError as error:
                self.close()
                self.trouble = (
                    f"policy.ui.port: found {wanted} ({error.strerror or error}), "
                    "expected a free port of this machine"
                )

    async def address(self, plugin_id: str) -> str:
        """Where the plugin's pages are, with their key.

        Raises UiUnavailable, UiNotFound, PluginNotFound.
        """
        self._pages.page_sandbox(plugin_id)  # first: a wrong name is no trouble of ours
        await self.settle()
        if self._app is None:
            raise UiUnavailable(self.trouble or "no plugin has pages now")
        return self._app.address(plugin_id)

    def close(self) -> None:
        """Nobody listens, and every browser's connection ends."""
        for server in self._servers:
            server.close()
        for connection in [*self._state.connections] if self._state is not None else ():
            connection.shutdown()
        self._servers, self._state, self._app = [], None, None
        self._asked, self.port, self.trouble = None, 0, ""

    async def _open(self, wanted: int) -> None:
        with ExitStack() as stack:
            sockets = bind_loopback(wanted)
            for sock in sockets:
                stack.callback(sock.close)
            self.port = sockets[0].getsockname()[1]
            self._app = UiApp(pages=self._pages, keys=self._keys, port=self.port)
            factory, self._state = _protocols(self._app)
            loop = asyncio.get_running_loop()
            for sock in sockets:
                self._servers.append(await loop.create_server(factory, sock=sock))
            stack.pop_all()  # the servers own them now
        self._asked = wanted


def ui_route(listener: UiListener) -> Route:
    """`GET /v1/plugins/{id}/ui` of the daemon's own API: the address, for the operator."""

    async def address(request: Request) -> Response:
        return JSONResponse({"url": await listener.address(request.path_params["plugin_id"])})

    return Route("/v1/plugins/{plugin_id}/ui", address, methods=["GET"])


def bind_loopback(port: int) -> list[socket.socket]:
    """127.0.0.1 and ::1 at one port. Raises OSError."""
    for attempt in range(1, _TRIES + 1):
        first = _bound(socket.AF_INET, "127.0.0.1", port)
        try:
            return [first, _bound(socket.AF_INET6, "::1", first.getsockname()[1])]
        except OSError as error:
            if error.errno in _NO_SUCH_ADDRESS:
                return [first]
            first.close()
            # Any free port: another may be free on both.
            if port or attempt == _TRIES:
                raise
    raise AssertionError  # the last try returned or raised


def _bound(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address, port))
        sock.listen(128)
        sock.setblocking(False)  # noqa: FBT003 - the socket API's own
    except BaseException:
        sock.close()
        raise
    return sock


def _protocols(app: UiApp) -> tuple[Callable[[], asyncio.Protocol], ServerState]:
    """What answers a browser's connection, and what knows all of them."""
    config = uvicorn.Config(
        app.app(),
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
    )
    config.load()
    state = uvicorn.Server(config).server_state

    def protocol() -> asyncio.Protocol:
        if len(state.connections) >= MAX_CONNECTIONS:
            return _Refused()
        return config.http_protocol_class(config=config, server_state=state, app_state={})  # type: ignore[call-arg]

    return protocol, state


class _Refused(asyncio.Protocol):
    """A connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
