"""LoopbackServer: it is served whole, or nobody listens."""

import asyncio
import socket

import pytest
from starlette.applications import Starlette

from orchestrator.server.loopback import LoopbackServer


def listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


async def test_the_application_knows_the_port_that_it_is_served_at() -> None:
    asked: list[int] = []

    def app_at(port: int) -> Starlette:
        asked.append(port)
        return Starlette()

    server = await LoopbackServer.open(0, app_at)
    listening = listens(server.port)
    server.close()
    await asyncio.sleep(0)

    assert asked == [server.port]
    assert listening
    assert not listens(server.port)


async def test_where_there_is_no_application_nobody_listens() -> None:
    asked: list[int] = []

    def app_at(port: int) -> Starlette:
        asked.append(port)
        raise OSError(24, "too many open files")

    with pytest.raises(OSError, match="too many open files"):
        await LoopbackServer.open(0, app_at)

    assert not listens(asked[0])


async def test_where_one_address_cannot_be_served_neither_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop, ports = asyncio.get_running_loop(), []
    create = loop.create_server

    async def second_fails(*arguments: object, sock: socket.socket) -> asyncio.Server:
        if ports:
            raise OSError(24, "too many open files")
        ports.append(sock.getsockname()[1])
        return await create(*arguments, sock=sock)  # type: ignore[call-overload,no-any-return]

    monkeypatch.setattr(loop, "create_server", second_fails)
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            ports.append(0)  # one address alone: let the first fail

    with pytest.raises(OSError, match="too many open files"):
        await LoopbackServer.open(0, lambda _port: Starlette())

    await asyncio.sleep(0)
    assert not listens(ports[0])
