"""Loopback: how an ASGI application is served on this machine's own addresses.

Both loopback addresses are taken where the machine has both: clients try `::1` first, and another
user of the machine who listened there would be sent what is meant for us.
"""

import asyncio
import errno
import socket
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final, Self

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

MAX_CONNECTIONS: Final = 128
"""At one time, of all clients of one application; more are closed unheard."""
HEAD_SECONDS: Final = 10.0
"""Longest wait for a request's head, or for the end of a body that was answered before; twice that
on a connection that was used before."""
MAX_HEAD_BYTES: Final = 1 << 20
"""Of a head, and of what came with its last byte."""
_NO_SUCH_ADDRESS: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
_TRIES: Final = 8


class LoopbackServer:
    """An application that is served on loopback until `close`."""

    def __init__(self, port: int, servers: list[asyncio.Server], state: ServerState) -> None:
        self.port = port
        self._servers = servers
        self._state = state

    @classmethod
    async def open(cls, port: int, app_at: Callable[[int], ASGIApp]) -> Self:
        """Serve what `app_at` makes for the port that was got; 0 takes any. Raises OSError."""
        loop = asyncio.get_running_loop()
        with ExitStack() as undo:
            sockets = bind_loopback(port)
            for sock in sockets:
                undo.callback(sock.close)
            got = sockets[0].getsockname()[1]
            factory, state = _protocols(app_at(got))
            servers = []
            for sock in sockets:
                server = await loop.create_server(factory, sock=sock)
                undo.callback(server.close)
                servers.append(server)
            undo.pop_all()  # the servers own the sockets now
        return cls(got, servers, state)

    def close(self) -> None:
        """Nobody listens, and every connection ends."""
        for server in self._servers:
            server.close()
        for connection in [*self._state.connections]:
            connection.shutdown()


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


def _protocols(app: ASGIApp) -> tuple[Callable[[], asyncio.Protocol], ServerState]:
    """What answers a connection, and what knows all of them."""
    config = uvicorn.Config(
        app,
        http=_Patient,
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
        return _Patient(config=config, server_state=state, app_state={})

    return protocol, state


class _Patient(HttpToolsProtocol):
    """For a while, and no longer: who says nothing keeps nobody else out."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_bytes = 0
        self._seen: object = None
        """What was answered last when nothing was asked; itself while something is."""
        self._timer = self.loop.call_later(HEAD_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._head_bytes = self._head_bytes + len(data) if self._waits else 0
        if self._head_bytes > MAX_HEAD_BYTES:
            self.transport.close()
        else:
            super().data_received(data)

    @property
    def _waits(self) -> bool:
        return bool(getattr(self.cycle, "response_complete", True))  # None before the first

    def _look(self) -> None:
        if self._waits and self.cycle is self._seen:
            self.transport.close()
            return
        self._seen = self.cycle if self._waits else self
        self._timer = self.loop.call_later(HEAD_SECONDS, self._look)


class _Refused(asyncio.Protocol):
    """A connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
