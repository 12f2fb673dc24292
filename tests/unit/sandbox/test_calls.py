"""A call's way through a sandbox: framing, streams with back-pressure, the queue, its slots."""

import asyncio

import pytest

from orchestrator.sandbox.call import Call, CallFailure, Reply
from tests.unit.sandbox.house import House, settle

MEBIBYTE = 1 << 20


async def test_an_answer_comes_back_as_the_plugin_gave_it(house: House) -> None:
    sandbox, _, [line] = await house.ready()
    seen = house.call(sandbox, b'{"a":1}', tool="", caller="operator", traceparent="00-1-2-01")
    request = await line.request()
    line.answer(request.body, status=418, headers="Content-Type: text/x\r\nSet-Cookie: a=b\r\n")
    await seen.outcome()

    assert request.head == (
        b"POST /v1/execute HTTP/1.1\r\nHost: plugin\r\nX-Request-Id: r1\r\nX-Deadline-Ms: 5000\r\n"
        b"X-Caller: operator\r\ntraceparent: 00-1-2-01\r\nContent-Length: 7\r\n"
        b"Content-Type: application/json\r\n\r\n"
    )
    assert (seen.status, seen.content_type, seen.length) == (418, "text/x", 7)
    assert (bytes(seen.body), seen.ended, seen.failure) == (b'{"a":1}', True, None)


async def test_one_connection_takes_one_call_after_the_other(house: House) -> None:
    sandbox, _, [line] = await house.ready()
    for number in range(20):
        seen = house.call(sandbox, b"%d" % number)
        line.answer((await line.request()).body)
        await seen.outcome()

        assert bytes(seen.body) == b"%d" % number
    assert sandbox.in_flight == 0


async def test_an_answer_may_come_in_any_pieces(house: House) -> None:
    sandbox, _, [line] = await house.ready()
    seen = house.call(sandbox)
    await line.request()
    for (
        byte
    ) in b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nhi\r\n1;x=y\r\n!\r\n0\r\n\r\n":
        line.send(bytes([byte]))
        await asyncio.sleep(0)
    await seen.outcome()

    assert (seen.status, seen.length, bytes(seen.body), seen.ended) == (200, None, b"hi!", True)


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_a_body_needs_no_framing(house: House, status: int) -> None:
    sandbox, _, [line] = await house.ready()
    for framing in (b"", b"Content-Length: 0\r\n"):
        seen = house.call(sandbox)
        await line.request()
        line.send(b"HTTP/1.1 %d X\r\n%b\r\n" % (status, framing))
        await seen.outcome()

        assert (seen.status, seen.length, seen.ended) == (status, 0, True)


async def test_a_body_of_unknown_length_goes_out_in_chunks(house: House) -> None:
    sandbox, _, [line] = await house.ready()
    seen, exchange = house.begin(sandbox, None)
    for piece in (b"one", b"", b"two"):
        exchange.send(piece)
    exchange.finish()
    exchange.finish()
    exchange.send(b"POST /v1/execute HTTP/1.1\r\n\r\n")
    request = await line.request()
    line.answer()
    await seen.outcome()

    assert request.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in request.headers
    assert request.body == b"onetwo"
    await settle()
    house.call(sandbox)
    assert (await line.request()).line == "POST /v1/execute HTTP/1.1"


async def test_bytes_after_the_end_of_a_request_never_reach_the_plugin(house: House) -> None:
    sandbox, _, [line] = await house.ready()
    _, exchange = house.begin(sandbox, b"{}")
    exchange.send(b"POST /smuggled HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
    await line.request()
    await settle()

    assert line.unread == b""


async def test_an_answer_before_the_request_is_complete_waits_for_it(house: House) -> None:
    sandbox, _, [line] = await house.ready()
    seen, exchange = house.begin(sandbox, None)
    exchange.send(b"half")
    await line.head()
    line.answer(b"early")
    await settle()

    assert bytes(seen.body) == b"early"
    assert not seen.ended
    exchange.finish()
    assert (await seen.outcome()).ended


async def test_32_mib_both_ways_take_little_memory(house: House) -> None:
    """Caller and host hold at most what their socket buffers do, however slow the plugin is."""
    sandbox, _, [line] = await house.ready(max_response_mb=64)
    total, sent, received, ahead = 32 * MEBIBYTE, 0, 0, 0
    seen, exchange = house.begin(sandbox, b"", content_length=total, deadline_seconds=30.0)
    exchange._request_done = False

    async def caller() -> None:
        nonlocal sent, ahead
        while sent < total:
            await seen.flowing.wait()
            exchange.send(bytes(65_536))
            sent += 65_536
            ahead = max(ahead, sent - received)
            await asyncio.sleep(0)
        exchange.finish()

    async def plugin() -> None:
        nonlocal received
        await line.head()
        line.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        while received < total:
            piece = await line.reader.read(262_144)
            received += len(piece)
            await asyncio.sleep(0.001)
            line.send(piece)
            await line.flush()

    async with asyncio.TaskGroup() as group:
        group.create_task(caller())
        group.create_task(plugin())

    assert (received, len((await seen.outcome()).body), seen.ended) == (total, total, True)
    assert seen.pauses > 10
    assert ahead < MEBIBYTE


async def test_a_plugin_that_does_not_read_holds_its_caller_back(house: House) -> None:
    sandbox, _, _ = await house.ready()
    seen, exchange = house.begin(sandbox, None)
    sent = 0
    while seen.flowing.is_set() and sent < 64 * MEBIBYTE:
        exchange.send(bytes(65_536))
        sent += 65_536
        await asyncio.sleep(0)

    assert not seen.flowing.is_set()
    assert sent < MEBIBYTE


async def test_a_body_that_waits_holds_its_caller_back_until_a_connection_is_free(
    house: House,
) -> None:
    sandbox, _, [line] = await house.ready()
    first = house.call(sandbox)
    await line.request()
    seen, exchange = house.begin(sandbox, None)
    exchange.send(bytes(100_000))

    assert not seen.flowing.is_set()
    line.answer()
    await first.outcome()
    exchange.finish()
    assert len((await line.request()).body) == 100_000
    assert seen.flowing.is_set()


async def test_a_caller_stays_held_while_what_waited_fills_the_plugins_buffer(house: House) -> None:
    sandbox, _, [line] = await house.ready()
    first = house.call(sandbox)
    await line.request()
    seen, exchange = house.begin(sandbox, None)
    exchange.send(bytes(8 * MEBIBYTE))
    line.answer()
    await first.outcome()
    await settle()

    assert not seen.flowing.is_set()


async def test_a_slow_reader_holds_the_plugin_back(house: House) -> None:
    sandbox, _, [line] = await house.ready(max_response_mb=64)
    seen, exchange = house.begin(sandbox)
    await line.request()
    line.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (16 * MEBIBYTE))
    await settle()
    exchange.hold(paused=True)
    line.send(bytes(16 * MEBIBYTE))
    await settle()
    await settle()

    assert len(seen.body) < 2 * MEBIBYTE
    exchange.hold(paused=False)
    assert len((await seen.outcome()).body) == 16 * MEBIBYTE


async def test_a_connection_held_at_the_end_of_an_answer_serves_the_next_call(house: House) -> None:
    sandbox, _, [line] = await house.ready()
    first, exchange = house.begin(sandbox)
    await line.request()
    line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
    await settle()
    held: list[None] = []

    def hold(chunk: bytes) -> None:
        exchange.hold(paused=True)
        held.append(None)

    first.on_body = hold  # type: ignore[method-assign]
    line.send(b"cd")
    await first.outcome()
    second = house.call(sandbox)
    await line.request()
    line.answer()

    assert held
    assert (await second.outcome()).ended


async def test_invoke_gives_the_answer_or_the_failure_as_a_value(house: House) -> None:
    sandbox, _, [line] = await house.ready()
    call = Call(request_id="r1", deadline_seconds=5.0, content_length=2)
    async with asyncio.TaskGroup() as group:
        invoked = group.create_task(sandbox.invoke(call, b"hi"))
        body = (await line.request()).body
        line.answer(body, headers="Content-Type: text/plain\r\n")
    async with asyncio.TaskGroup() as group:
        failed = group.create_task(sandbox.invoke(call, b"hi"))
        await line.request()
        line.close()

    assert invoked.result() == Reply(status=200, content_type="text/plain", body=b"hi")
    failure = failed.result()
    assert isinstance(failure, CallFailure)
    assert (failure.code, failure.repeat) == ("plugin_disconnected", "unsafe")


async def test_before_it_is_ready_no_call_is_taken(house: House) -> None:
    sandbox, plugin = await house.sandbox()
    await plugin.dial("control")
    await plugin.dial()
    seen = house.call(sandbox)

    assert seen.code == "plugin_not_running"
    assert seen.why.detail == "echo is starting"
    assert seen.why.repeat == "safe"


async def test_a_connection_that_ends_idle_takes_no_call_with_it(house: House) -> None:
    sandbox, plugin, [line] = await house.ready()
    line.close()
    await settle()
    seen = house.call(sandbox)
    again = await plugin.dial()
    await again.request()
    again.answer()

    assert (await seen.outcome()).ended
