"""The handshake: three lanes, each as wide as it is declared, and nothing else gets in."""

import asyncio
import contextlib

import pytest

from orchestrator.sandbox import sandbox as module
from orchestrator.sandbox.sandbox import SandboxState
from tests.unit.sandbox.house import House

UPGRADE = b"GET /v1/serve HTTP/1.1\r\nHost: o\r\nConnection: Upgrade\r\nUpgrade: PTTH/1.0\r\n"


async def test_a_plugin_on_all_its_lanes_is_connected(house: House) -> None:
    sandbox, plugin = await house.sandbox(calls=2, events=1)
    for lane in ("control", "calls", "events"):
        await plugin.dial(lane)
    before = sandbox.is_connected, sandbox.lanes_in_words()
    await plugin.dial("calls")

    assert before == (False, "control 1/1, calls 1/2, events 1/1")
    assert sandbox.is_connected
    assert await sandbox.connected()
    assert house.changes == ["starting"]


async def test_before_the_control_lane_there_is_no_other(house: House) -> None:
    _, plugin = await house.sandbox()

    assert (await plugin.try_lane("calls"))[0] == 503
    assert (await plugin.try_lane("control"))[0] == 101
    assert (await plugin.try_lane("calls"))[0] == 101


@pytest.mark.parametrize("lane", ["control", "calls", "events"])
async def test_a_full_lane_refuses_one_more(house: House, lane: str) -> None:
    sandbox, plugin = await house.sandbox()
    await plugin.dial("control")
    await plugin.dial("calls")  # the plugin subscribes to nothing: its events lane is full at none
    status, refused = await plugin.try_lane(lane)

    assert status == 409
    assert await refused.ended()
    assert sandbox.lanes_in_words() == "control 1/1, calls 1/1, events 0/0"


async def test_a_connection_that_ended_makes_room(house: House) -> None:
    sandbox, plugin = await house.sandbox()
    await plugin.dial("control")
    (await plugin.dial()).close()
    await asyncio.sleep(0.02)

    assert sandbox.lanes_in_words().startswith("control 1/1, calls 0/1")
    await plugin.dial()


LANE = b"X-Lane: control\r\n"
NO_HANDSHAKES = {
    "unknown lane": UPGRADE + b"X-Lane: other\r\n\r\n",
    "no lane": UPGRADE + b"\r\n",
    "a NUL": UPGRADE + b"X-Lane: control\x00\r\n\r\n",
    "not ASCII": UPGRADE + b"X-Lane: \xff\xfe\r\n\r\n",
    "POST": UPGRADE.replace(b"GET", b"POST") + LANE + b"\r\n",
    "another protocol": UPGRADE.replace(b"PTTH/1.0", b"websocket") + LANE + b"\r\n",
    "a body": UPGRADE + b"Content-Length: 2\r\n" + LANE + b"\r\nhi",
    "bytes behind it": UPGRADE + LANE + b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "no upgrade": b"GET /v1/serve HTTP/1.1\r\nHost: o\r\n" + LANE + b"\r\n",
    "an answer": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "garbage": b"\x16\x03\x01\x02\x00garbage\r\n\r\n",
    "no end of garbage": b"X" * 100_000,
    "no end of a header": UPGRADE + b"X-Long: " + b"a" * 100_000,
}


@pytest.mark.parametrize("request_bytes", NO_HANDSHAKES.values(), ids=NO_HANDSHAKES)
async def test_what_is_no_handshake_is_refused(house: House, request_bytes: bytes) -> None:
    sandbox, plugin = await house.sandbox()
    status, connection = await plugin.shake(request_bytes)

    assert status == 400
    assert await connection.ended()
    assert sandbox.lanes_in_words().startswith("control 0/1")


async def test_a_handshake_of_too_many_headers_takes_no_lane(house: House) -> None:
    sandbox, plugin = await house.sandbox()
    many = b"".join(b"X-%d: 1\r\n" % number for number in range(200))
    status, connection = await plugin.shake(UPGRADE + many + b"X-Lane: control\r\n\r\n")

    assert status == 0
    assert await connection.ended()
    assert sandbox.lanes_in_words().startswith("control 0/1")
    assert house.changes == []  # not even for a moment


async def test_a_handshake_may_come_in_any_pieces(house: House) -> None:
    _, plugin = await house.sandbox()
    connection = await plugin.connect()
    for byte in UPGRADE + b"X-Lane: control\r\n\r\n":
        connection.send(bytes([byte]))
        await asyncio.sleep(0)

    assert (await connection.head()).startswith(b"HTTP/1.1 101 ")


async def test_bytes_that_follow_the_handshake_cost_the_connection(house: House) -> None:
    sandbox, plugin = await house.sandbox()
    await plugin.dial("control")
    connection = await plugin.dial()
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    assert await connection.ended()
    assert sandbox.lanes_in_words().startswith("control 1/1, calls 0/1")


async def test_a_handshake_that_drips_is_closed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HANDSHAKE_SECONDS", 0.1)
    _, plugin = await house.sandbox()
    silent, slow = await plugin.connect(), await plugin.connect()
    start = asyncio.get_running_loop().time()
    with contextlib.suppress(ConnectionError):
        for byte in UPGRADE:
            slow.send(bytes([byte]))
            await slow.flush()
            await asyncio.sleep(0.01)

    assert await silent.ended()
    assert await slow.ended()
    assert asyncio.get_running_loop().time() - start < 1.5


async def test_a_finished_handshake_has_no_deadline(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HANDSHAKE_SECONDS", 0.05)
    sandbox, plugin = await house.sandbox()
    await plugin.dial("control")
    await plugin.dial()
    await asyncio.sleep(0.12)

    assert sandbox.is_connected


async def test_half_open_connections_are_few(house: House) -> None:
    sandbox, plugin = await house.sandbox(calls=2)
    for _ in range(40):
        await plugin.connect()
    await asyncio.sleep(0.05)
    open_ones = [one for one in plugin.connections if not one.reader.at_eof()]

    assert len(open_ones) == module.HALF_OPEN + 3
    assert sandbox.state is SandboxState.STARTING


async def test_a_flood_of_dials_makes_it_stuck(house: House) -> None:
    sandbox, plugin, _ = await house.ready()
    for _ in range(module.FLOOD_DIALS + 1):
        (await plugin.connect()).close()
    await asyncio.sleep(0.05)

    assert sandbox.state is SandboxState.STUCK
    assert "dialled more than 500 times within 2 s" in sandbox.trouble
    assert house.changes[-1].startswith("stuck it dialled")
    status, _ = await plugin.try_lane("control")
    assert status == 0


async def test_dials_are_forgotten_in_time(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FLOOD_SECONDS", 0.02)
    monkeypatch.setattr(module, "FLOOD_DIALS", 10)
    sandbox, plugin, _ = await house.ready(calls=2)
    for _ in range(4):
        await asyncio.sleep(0.08)
        for _ in range(5):
            (await plugin.connect()).close()

    assert sandbox.state is SandboxState.READY
