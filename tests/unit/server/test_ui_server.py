"""Where pages are listened for: on loopback, while there are any, at the port of the policy."""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.applications import Starlette

from orchestrator.model.permissions import SystemInfo, UserInterface
from orchestrator.server import loopback
from orchestrator.server.loopback import bind_loopback
from orchestrator.server.ui import GrantedPages, UiNotFound
from orchestrator.server.ui_server import UiUnavailable, ui_route
from tests.unit.sandbox.house import SECONDS, settle
from tests.unit.server.ui_house import UiHouse


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[UiHouse]:
    made = UiHouse(tmp_path)
    await made.open()
    yield made
    await made.stop()


def answers(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as sock:
        return sock.connect_ex((address, port)) == 0


def has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as sock:
        try:
            sock.bind(("::1", 0))
        except OSError:
            return False
    return True


def test_both_loopback_addresses_are_taken_and_no_other() -> None:
    sockets = bind_loopback(0)
    names = [sock.getsockname()[:2] for sock in sockets]
    for sock in sockets:
        sock.close()
    port = names[0][1]

    assert names == [("127.0.0.1", port), ("::1", port)][: 1 + has_ipv6()]


async def test_while_no_plugin_has_pages_nobody_listens(house: UiHouse) -> None:
    port = house.listener.port
    before = answers("127.0.0.1", port)
    house.wanted = None
    await house.listener.settle()
    await settle()

    assert before
    assert not answers("127.0.0.1", port)
    assert house.listener.port == 0


async def test_another_port_in_the_policy_moves_the_listener(house: UiHouse) -> None:
    old = house.listener.port
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        house.wanted = free.getsockname()[1]
    await house.listener.settle()
    await settle()
    answer, _ = await house.served()

    assert house.listener.port == house.wanted
    assert not answers("127.0.0.1", old)
    assert answer.status == 200


async def test_what_is_listened_on_already_is_left_alone(house: UiHouse) -> None:
    port = house.listener.port
    await house.listener.settle()

    assert house.listener.port == port


async def test_a_port_that_is_taken_is_told_and_tried_again(house: UiHouse) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        house.wanted = taken.getsockname()[1]
        with pytest.raises(UiUnavailable, match=rf"policy\.ui\.port: found {house.wanted} "):
            await house.listener.address("echo")
    address = await house.listener.address("echo")

    assert f":{house.wanted}/" in address
    assert house.listener.trouble == ""


async def test_the_loop_listens_until_it_is_cancelled(tmp_path: Path) -> None:
    house = UiHouse(tmp_path)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(house.listener.run())
        await settle()
        port = house.listener.port
        listening = answers("127.0.0.1", port)
        task.cancel()
    await house.stop()

    assert listening
    assert not answers("127.0.0.1", port)


async def test_a_connection_too_many_is_closed_unheard(
    house: UiHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loopback, "MAX_CONNECTIONS", 2)
    open_ones = [await asyncio.open_connection("127.0.0.1", house.listener.port) for _ in range(2)]
    reader, writer = await asyncio.open_connection("127.0.0.1", house.listener.port)
    async with asyncio.timeout(SECONDS):
        refused = await reader.read(1)
    for _, other in [*open_ones, (reader, writer)]:
        other.close()
    await settle()
    answer, _ = await house.served()

    assert refused == b""
    assert answer.status == 200


async def test_closing_ends_the_connections_that_browsers_keep(house: UiHouse) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", house.listener.port)
    await settle()
    house.listener.close()
    async with asyncio.timeout(SECONDS):
        rest = await reader.read(1)
    writer.close()

    assert rest == b""


async def test_the_daemon_tells_the_address_of_a_plugin_with_pages_only(house: UiHouse) -> None:
    app = Starlette(routes=[ui_route(house.listener)])
    told: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        told.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    scope = {"type": "http", "method": "GET", "path": "/v1/plugins/echo/ui", "headers": []}
    await app({**scope, "query_string": b""}, receive, send)

    assert told[0]["status"] == 200
    assert house.keys.key("echo").encode() in told[1]["body"]
    with pytest.raises(UiNotFound):
        await house.listener.address("notes")


@dataclass
class Fleet:
    """A manager and a router as far as pages ask them."""

    permissions: list[Any] = field(default_factory=list)

    def deployment(self, plugin_id: str) -> Any:
        return SimpleNamespace(grant=SimpleNamespace(permissions=tuple(self.permissions)))

    def route(self, plugin_id: str) -> Any:
        return f"sandbox of {plugin_id}"


def test_pages_need_the_permission_user_interface_now() -> None:
    fleet = Fleet([SystemInfo()])
    pages = GrantedPages(fleet, fleet)
    with pytest.raises(UiNotFound, match="not granted user_interface"):
        pages.page_sandbox("echo")
    fleet.permissions.append(UserInterface())

    assert pages.page_sandbox("echo") == "sandbox of echo"  # type: ignore[comparison-overlap]
