"""Clients that lie, hang up, never end or never read: they cost themselves, and nobody else."""

import asyncio
from typing import Any

import pytest

from orchestrator.server import front as module
from tests.unit.sandbox.house import settle

MEBIBYTE = 1 << 20
EXECUTE = b"POST /v1/plugins/echo/execute HTTP/1.1\r\nHost: o\r\n"
EMPTY_CALL = EXECUTE + b"Content-Length: 0\r\n\r\n"


async def test_a_body_over_the_limit_is_413_by_its_length(front: Any) -> None:
    _, _, [line] = await front.ready()
    client = await front.client()
    client.execute(b"", length=MEBIBYTE + 1)
    response = await client.answer()

    assert response.status == 413
    assert response.problem["code"] == "request_too_large"
    assert response.problem["repeat"] == "safe"
    assert "1048576 bytes (policy.calls.max_request_mb)" in response.problem["detail"]
    assert await client.ended()
    assert line.unread == b""
    assert front.routes.refusals == [("echo", "", "request_too_large")]
    assert front.watcher.ends == []


async def test_a_body_of_just_the_limit_passes(front: Any) -> None:
    _, _, [line] = await front.ready()
    client = await front.client()
    client.execute(bytes(MEBIBYTE))

    assert len((await line.request()).body) == MEBIBYTE


@pytest.mark.parametrize("tool", ["", "X-Tool: add\r\n"])
async def test_a_body_over_the_limit_is_413_by_its_chunks(front: Any, tool: str) -> None:
    sandbox, plugin, [line] = await front.ready()
    client = await front.client()
    client.send(EXECUTE + tool.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
    client.send(b"100001\r\n" + bytes(MEBIBYTE + 1) + b"\r\n0\r\n\r\n")
    if not tool:
        assert await line.ended()  # it had the head and half of the body
        await plugin.dial()

    assert (await client.answer()).status == 413
    assert await client.ended()
    assert sandbox.in_flight == 0
    told = [*front.routes.refusals, *front.watcher.ends]  # by one of them, and once
    assert told == [("echo", "add" if tool else "", "request_too_large")]


async def test_a_body_that_goes_on_after_its_refusal_is_read_no_further(front: Any) -> None:
    client = await front.client()
    client.send(EXECUTE + b"Transfer-Encoding: chunked\r\n\r\n")
    response = await client.answer()
    sent = 0
    try:
        async with asyncio.timeout(3):
            while sent < 64 * MEBIBYTE:
                client.send(b"10000\r\n" + bytes(65_536) + b"\r\n")
                await client.writer.drain()
                sent += 65_536
    except ConnectionError:
        pass

    assert response.status == 404
    assert sent < 4 * MEBIBYTE


async def test_the_rest_of_a_refused_body_is_dropped_and_the_connection_goes_on(
    front: Any,
) -> None:
    _, _, [line] = await front.ready()
    client = await front.client()
    client.execute(b"", plugin="nobody", length=100_000)
    first = await client.answer()
    client.send(bytes(100_000) + EMPTY_CALL)
    await line.request()
    line.answer(b"second")

    assert first.status == 404
    assert (await client.answer()).body == b"second"


PIPELINES = {
    "a call": EMPTY_CALL,
    "a body that is a request": EXECUTE
    + b"Content-Length: 30\r\n\r\nPOST /v1/execute HTTP/1.1\r\n\r\n",
    "a request to the application": b"GET /v1/status HTTP/1.1\r\nHost: o\r\n\r\n",
    "half a request": b"G",
    "garbage": b"\x00\x01",
}


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("second", PIPELINES.values(), ids=PIPELINES)
async def test_a_request_before_the_last_ones_answer_ends_the_connection(
    front: Any, second: bytes, *, together: bool
) -> None:
    """And nothing of it reaches the plugin, least of all as the rest of the first."""
    _, _, [line] = await front.ready()
    client = await front.client()
    first = EXECUTE + b"Content-Length: 2\r\n\r\nhi"
    if together:
        client.send(first + second)
    else:
        client.send(first)
        await settle()
        client.send(second)

    assert await client.ended()
    assert (await line.request()).body == b"hi"
    await settle()
    assert line.unread == b""
    line.answer()


async def test_requests_after_one_that_closes_are_not_run(front: Any) -> None:
    front.routes.max_request_bytes = 10
    _, _, [line] = await front.ready()
    client = await front.client()
    client.send(EXECUTE + b"Content-Length: 11\r\n\r\nhello world" + EMPTY_CALL)

    assert (await client.answer()).status == 413
    await settle()
    assert line.unread == b""


@pytest.mark.parametrize("rest", [b"", b"X-A: "], ids=["line", "header"])
async def test_a_head_over_64_kib_ends_the_connection(front: Any, rest: bytes) -> None:
    _, _, [line] = await front.ready()
    client = await front.client()
    client.send(b"POST /v1/plugins/" if not rest else EXECUTE + rest)
    sent = 0
    try:
        async with asyncio.timeout(3):
            while sent < 8 * MEBIBYTE:
                client.send(b"a" * 4_096)
                await client.writer.drain()
                sent += 4_096
                await asyncio.sleep(0)
    except ConnectionError:
        pass

    assert module.MAX_HEAD_BYTES <= sent < 2 * MEBIBYTE
    assert line.unread == b""


ENDLESS = {
    "a trailer": (b"2\r\nhi\r\n0\r\nX-A: ", b"a" * 4_096),
    "trailers": (b"0\r\n", b"X-A: a\r\n" * 512),
    "an extension": (b"1;", b"a" * 4_096),
}


@pytest.mark.parametrize(("start", "piece"), ENDLESS.values(), ids=ENDLESS)
async def test_what_never_ends_behind_a_head_ends_the_connection(
    front: Any, start: bytes, piece: bytes
) -> None:
    await front.ready()
    client = await front.client()
    client.send(EXECUTE + b"Transfer-Encoding: chunked\r\n\r\n" + start)
    sent = 0
    try:
        async with asyncio.timeout(3):
            while sent < 8 * MEBIBYTE:
                client.send(piece)
                await client.writer.drain()
                sent += len(piece)
                await asyncio.sleep(0)
    except ConnectionError:
        pass

    assert sent < 2 * MEBIBYTE


LIES = {
    "two lengths": b"Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello",
    "length and chunks": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "another encoding": b"Transfer-Encoding: gzip\r\n\r\nhello",
    "a hidden encoding": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a negative length": b"Content-Length: -1\r\n\r\n",
    "a length with underscore": b"Content-Length: 1_0\r\n\r\n0123456789",
    "a bad chunk": b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhi\r\n0\r\n\r\n",
    "bare line feeds": b"Content-Length: 0\n\n",
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_a_lie_about_the_body_ends_the_connection(front: Any, lie: bytes) -> None:
    sandbox, _, [line] = await front.ready()
    client = await front.client()
    client.send(EXECUTE + lie)

    assert await client.ended()
    await settle()
    assert b"hello" not in line.unread
    assert sandbox.in_flight == 0


async def test_a_client_that_hangs_up_frees_its_slot_with_the_answer(front: Any) -> None:
    sandbox, _, [line] = await front.ready()
    client = await front.client()
    client.execute()
    await line.request()
    client.close()
    await settle()
    during = sandbox.in_flight
    line.answer()
    await settle()

    assert (during, sandbox.in_flight) == (1, 0)
    assert sandbox.is_connected


async def test_a_client_that_hangs_up_in_its_body_costs_the_plugins_connection(
    front: Any,
) -> None:
    sandbox, _, [line] = await front.ready()
    client = await front.client()
    client.execute(b"half", length=100)
    await line.head()
    client.close()

    assert await line.ended()
    assert sandbox.in_flight == 0


@pytest.mark.parametrize("chunked", [True, False])
async def test_an_answer_that_breaks_off_never_looks_whole(front: Any, *, chunked: bool) -> None:
    _, _, [line] = await front.ready()
    client = await front.client()
    client.execute()
    await line.request()
    framing = b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"
    line.send(b"HTTP/1.1 200 OK\r\n" + (framing if chunked else b"Content-Length: 9\r\n\r\nhi"))
    await client.head()
    line.close()
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await client.reader.readuntil(b"0\r\n\r\n") if chunked else await client.reader.readexactly(
            9
        )

    assert await client.ended()


async def test_an_answer_that_breaks_off_before_its_body_is_a_problem(front: Any) -> None:
    _, _, [line] = await front.ready()
    client = await front.client()
    client.execute()
    await line.request()
    line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
    await settle()
    line.close()

    assert (await client.answer()).problem["code"] == "plugin_disconnected"


async def test_a_client_that_does_not_read_holds_the_plugin_back(front: Any) -> None:
    _, _, [line] = await front.ready(max_response_mb=64)
    client = await front.client()
    client.execute()
    await line.request()
    line.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (32 * MEBIBYTE))
    line.send(bytes(32 * MEBIBYTE))
    await asyncio.sleep(0.1)
    transport = line.writer.transport

    assert transport.get_write_buffer_size() > 28 * MEBIBYTE
    assert len((await client.answer()).body) == 32 * MEBIBYTE


async def test_a_plugin_that_does_not_read_holds_the_client_back(front: Any) -> None:
    front.routes.max_request_bytes = 64 * MEBIBYTE
    _, _, [line] = await front.ready()
    client = await front.client()
    client.execute(bytes(32 * MEBIBYTE))
    await asyncio.sleep(0.1)

    assert client.writer.transport.get_write_buffer_size() > 28 * MEBIBYTE
    assert len((await line.request()).body) == 32 * MEBIBYTE
    line.answer(b"got it")
    assert (await client.answer()).body == b"got it"
    client.send(EMPTY_CALL)
    await line.request()
    line.answer(b"and more")
    assert (await client.answer()).body == b"and more"


async def test_a_client_held_back_in_the_queue_may_call_again(front: Any) -> None:
    """Its body was complete while it was held: nothing but the answer's end lets it go on."""
    _, _, [line] = await front.ready()
    first, second = await front.client(), await front.client()
    first.execute()
    await line.request()
    for headers, status in (("X-Deadline-Ms: 50\r\n", 504), ("", 200)):
        second.execute(bytes(200_000), headers=headers)
        await asyncio.sleep(0.1)
        if status == 200:
            line.answer()
            await line.request()
            line.answer()

        assert (await second.answer()).status == status


async def test_a_client_that_reads_no_answers_gets_no_more_calls(front: Any) -> None:
    sandbox, _, [line] = await front.ready()
    client = await front.client()
    answered = 0
    for _ in range(30):
        client.send(EMPTY_CALL)
        await settle()
        if not sandbox.in_flight:
            break
        await line.request()
        line.answer(bytes(100_000))
        await settle()
        answered += 1

    assert answered < 15
    for _ in range(answered):
        assert len((await client.answer()).body) == 100_000
    await line.request()
    line.answer(b"and on")
    assert (await client.answer()).body == b"and on"


async def test_a_slow_reader_that_hangs_up_leaves_the_plugin_free(front: Any) -> None:
    _, _, [line] = await front.ready()
    client, other = await front.client(), await front.client()
    client.execute()
    await line.request()
    line.answer(bytes(8 * MEBIBYTE))
    await settle()
    client.close()
    await line.flush()
    other.execute()
    await line.request()
    line.answer(b"mine")

    assert (await other.answer()).body == b"mine"
