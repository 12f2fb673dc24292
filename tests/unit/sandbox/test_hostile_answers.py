"""Whatever is not one well-framed answer costs the plugin the connection and the call, no more."""

import asyncio
from typing import Any

import pytest

from orchestrator.model.info import ToolInfo
from orchestrator.sandbox import wire
from orchestrator.sandbox.sandbox import SandboxState
from tests.unit.sandbox.house import Dialled, House, settle

OK = b"HTTP/1.1 200 OK\r\n"
MEBIBYTE = 1 << 20
BAD = {
    "garbage": b"\x00\xff\x16 garbage\r\n\r\n",
    "a request": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "another version": b"HTTP/7.3 200 OK\r\nContent-Length: 0\r\n\r\n",
    "neither framing": OK + b"\r\nhello",
    "both framings": OK
    + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "both framings, chunked first": OK
    + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "another encoding": OK + b"Transfer-Encoding: gzip\r\n\r\nhello",
    "chunked and another encoding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi!",
    "the same length twice": OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
    "a list of lengths": OK + b"Content-Length: 2, 2\r\n\r\nhi",
    "a negative length": OK + b"Content-Length: -2\r\n\r\nhi",
    "a signed length": OK + b"Content-Length: +2\r\n\r\nhi",
    "a length in hex": OK + b"Content-Length: 0x2\r\n\r\nhi",
    "a length with underscore": OK + b"Content-Length: 1_0\r\n\r\n0123456789",
    "an empty length": OK + b"Content-Length:\r\n\r\n",
    "a length beyond 64 bits": OK + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "a space before the colon": OK + b"Content-Length : 2\r\n\r\nhi",
    "a folded header": OK + b"X-A: a\r\n Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
    "a bare carriage return": OK + b"X-A: a\rContent-Length: 9\r\nContent-Length: 2\r\n\r\nhi",
    "a NUL in a header": OK + b"X-A: a\x00b\r\nContent-Length: 2\r\n\r\nhi",
    "a bad chunk size": OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhi\r\n0\r\n\r\n",
    "a negative chunk size": OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nhi\r\n0\r\n\r\n",
    "a huge chunk size": OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 40 + b"\r\n",
    "a chunk longer than it says": OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nhi\r\n0\r\n\r\n",
    "100 Continue": b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n",
    "103 Early Hints": b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n",
    "101 Switching": b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nraw",
    "status 600": b"HTTP/1.1 600 X\r\nContent-Length: 0\r\n\r\n",
    "status 099": b"HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n",
    "204 with a length": b"HTTP/1.1 204 X\r\nContent-Length: 5\r\n\r\nhello",
    "204 in chunks": b"HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "304 with a length": b"HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\n",
    "too many headers": OK + b"".join(b"X-%d: 1\r\n" % n for n in range(101)) + b"\r\n",
    "the same header too often": OK + b"X: 1\r\n" * 101 + b"Content-Length: 0\r\n\r\n",
    "a head too long in one piece": OK + b"X: %b\r\nContent-Length: 0\r\n\r\n" % (b"a" * 33_000),
    "too long a type": OK + b"Content-Type: " + b"a" * 257 + b"\r\nContent-Length: 0\r\n\r\n",
    "a type that is not ASCII": OK + b"Content-Type: \xc3\xa9\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("answer", BAD.values(), ids=BAD)
async def test_a_bad_answer_costs_the_connection_and_nothing_else(
    house: House, answer: bytes
) -> None:
    sandbox, plugin, [bad, good] = await house.ready(calls=2)
    calls = {b"1": house.call(sandbox, b"1"), b"2": house.call(sandbox, b"2")}
    spoilt, beside = calls[(await bad.request()).body], calls[(await good.request()).body]
    bad.send(answer)
    await spoilt.outcome()

    assert (spoilt.code, spoilt.why.repeat) == ("bad_response", "unsafe")
    assert (spoilt.status, spoilt.ended) in {(0, False), (200, False)}
    assert await bad.ended()
    good.answer(b"fine")
    assert bytes((await beside.outcome()).body) == b"fine"
    assert sandbox.state is SandboxState.READY
    assert sandbox.in_flight == 0
    await plugin.dial()


@pytest.mark.parametrize(("tool", "repeat"), [("look", "safe"), ("", "unsafe")])
async def test_a_bad_answer_to_a_harmless_call_is_safe_to_repeat(
    house: House, tool: str, repeat: str
) -> None:
    look = ToolInfo(name="look", description="d", read_only=True)
    sandbox, _, [line] = await house.ready(tools=(look,))
    seen = house.call(sandbox, tool=tool)
    await line.request()
    line.send(b"garbage\r\n\r\n")

    assert (await seen.outcome()).why.repeat == repeat


@pytest.mark.parametrize("fully_closed", [True, False])
@pytest.mark.parametrize(
    "part",
    [b"", b"HTTP/1.1 2", OK + b"Content-Length: 9\r\n\r\nhalf"],
    ids=["none", "head", "body"],
)
async def test_a_plugin_that_closes_before_its_answer_is_whole_is_disconnected(
    house: House, part: bytes, *, fully_closed: bool
) -> None:
    sandbox, _, [line] = await house.ready()
    seen = house.call(sandbox)
    await line.request()
    line.send(part)
    line.close() if fully_closed else line.writer.write_eof()
    await seen.outcome()

    assert (seen.code, seen.ended) == ("plugin_disconnected", False)
    assert sandbox.lanes_in_words().startswith("control 1/1, calls 0/1")


@pytest.mark.parametrize("ending", [b"\r\n0\r\n", b"\r\n", b"", b"\r\n0\r\nX-T: v\r\n"])
async def test_a_chunked_answer_without_its_end_is_not_whole(house: House, ending: bytes) -> None:
    sandbox, _, [line] = await house.ready()
    seen = house.call(sandbox)
    await line.request()
    line.send(OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi" + ending)
    line.close()

    assert (await seen.outcome()).code == "plugin_disconnected"


@pytest.mark.parametrize("second", [OK + b"Content-Length: 4\r\n\r\nevil", b"H", b"x"])
async def test_the_second_answer_to_one_request_answers_no_other(
    house: House, second: bytes
) -> None:
    sandbox, plugin, [line] = await house.ready()
    first, waiting = house.call(sandbox, b"1"), house.call(sandbox, b"2")
    await line.request()
    line.send(OK + b"Content-Length: 4\r\n\r\ngood" + second)
    await first.outcome()

    assert first.code == "bad_response"
    assert await line.ended()
    assert (waiting.status, waiting.code) == (0, "")
    again = await plugin.dial()
    assert (await again.request()).body == b"2"
    again.answer(b"mine")
    assert bytes((await waiting.outcome()).body) == b"mine"


async def test_a_second_answer_before_the_request_is_complete_is_none(house: House) -> None:
    sandbox, _, [line] = await house.ready()
    seen, _ = house.begin(sandbox, None)
    await settle()
    line.answer(b"one")
    await settle()
    line.answer(b"two")

    assert (await seen.outcome()).code == "bad_response"
    assert bytes(seen.body) == b"one"


async def test_bytes_that_nobody_asked_for_cost_an_idle_connection(house: House) -> None:
    sandbox, _, [line] = await house.ready()
    line.answer(b"unasked")

    assert await line.ended()
    assert sandbox.lanes_in_words().startswith("control 1/1, calls 0/1")


async def test_a_connection_on_its_way_out_gets_no_call(house: House) -> None:
    """Between the host's closing it and the loop's noticing, calls go on to arrive."""
    sandbox, _, _ = await house.ready()
    [connection] = sandbox._calls.connections
    connection.data_received(b"unasked")
    seen = house.call(sandbox)

    assert seen.code == ""
    assert sandbox.lanes_in_words().startswith("control 1/1, calls 0/1")
    assert len(sandbox._calls._waiting) == 1


async def test_a_spoilt_connection_gets_no_call_that_waits(house: House) -> None:
    """The rest of what it sent in one piece is read all the same, to the end of the message."""
    sandbox, plugin, [line] = await house.ready(max_response_mb=1)
    first, waiting = house.call(sandbox), house.call(sandbox, b"next")
    await line.request()
    line.send(OK + b"Transfer-Encoding: chunked\r\n\r\n100000\r\n" + bytes(MEBIBYTE) + b"\r\n")
    await settle()
    line.send(b"1\r\nx\r\n0\r\n\r\n")
    await first.outcome()
    await settle()

    assert first.code == "response_too_large"
    assert waiting.code == ""
    again = await plugin.dial()
    assert (await again.request()).body == b"next"


async def test_an_answer_of_1_mib_fits_a_cap_of_1_mib(house: House) -> None:
    sandbox, _, [line] = await house.ready(max_response_mb=1)
    seen = house.call(sandbox)
    await line.request()
    line.answer(bytes(MEBIBYTE))

    assert len((await seen.outcome()).body) == MEBIBYTE
    assert seen.ended


@pytest.mark.parametrize("chunked", [True, False])
async def test_an_answer_over_the_cap_is_cut(house: House, *, chunked: bool) -> None:
    sandbox, _, [line] = await house.ready(max_response_mb=1)
    seen = house.call(sandbox)
    await line.request()
    if chunked:
        line.send(OK + b"Transfer-Encoding: chunked\r\n\r\n200000\r\n" + bytes(2 * MEBIBYTE))
    else:
        line.send(OK + b"Content-Length: %d\r\n\r\n" % (MEBIBYTE + 1))
    await seen.outcome()

    assert seen.code == "response_too_large"
    assert "more" not in seen.why.detail
    assert "larger than 1048576 bytes" in seen.why.detail
    assert seen.status == (200 if chunked else 0)
    assert len(seen.body) <= MEBIBYTE
    assert await line.ended()


async def _pour(line: Dialled, piece: bytes) -> int:
    """Send it again and again until the host closes; how much went out."""
    sent = 0
    try:
        async with asyncio.timeout(3):
            while sent < 64 * MEBIBYTE:
                line.send(piece)
                await line.writer.drain()
                sent += len(piece)
                await asyncio.sleep(0)
    except ConnectionError:
        return sent
    return sent


ENDLESS = {
    "an endless status line": (b"HTTP/1.1 200 ", b"O" * 4_096),
    "an endless header": (OK + b"X-A: ", b"a" * 4_096),
    "endless headers of one name": (OK, b"X-A: a\r\n" * 512),
    "an endless trailer": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-A: ", b"a" * 4_096),
    "endless trailers": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-A: a\r\n" * 512),
    "an endless extension": (OK + b"Transfer-Encoding: chunked\r\n\r\n1;", b"a" * 4_096),
}


@pytest.mark.parametrize(("start", "piece"), ENDLESS.values(), ids=ENDLESS)
async def test_what_never_ends_is_cut_off(house: House, start: bytes, piece: bytes) -> None:
    sandbox, _, [line] = await house.ready()
    seen = house.call(sandbox)
    await line.request()
    line.send(start)
    sent = await _pour(line, piece)
    await seen.outcome()

    assert seen.code == "bad_response"
    assert sent < MEBIBYTE
    assert {str(wire.MAX_HEAD_BYTES), str(wire.MAX_HEADERS)} & set(seen.why.detail.split())


async def test_a_long_stream_of_small_chunks_is_no_flood(house: House) -> None:
    sandbox, _, [line] = await house.ready()
    seen = house.call(sandbox)
    await line.request()
    line.send(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(50):
        line.send(b"1;" + b"e" * 900)
        await asyncio.sleep(0.001)
        line.send(b"\r\nx\r\n")
        await asyncio.sleep(0.001)
    many = b"".join(b"X-%d: 1\r\n" % number for number in range(150))
    line.send(b"0\r\nContent-Type: text/evil\r\n" + many + b"\r\n")

    assert bytes((await seen.outcome()).body) == b"x" * 50
    assert (seen.ended, seen.content_type) == (True, "application/json")


async def test_an_answer_that_says_close_ends_the_connection_and_counts(house: House) -> None:
    sandbox, plugin, [line] = await house.ready()
    seen = house.call(sandbox)
    await line.request()
    line.answer(b"bye", headers="Connection: close\r\n")

    assert bytes((await seen.outcome()).body) == b"bye"
    assert await line.ended()
    again = await plugin.dial()
    after = house.call(sandbox)
    await again.request()
    again.send(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert (await after.outcome()).ended
    assert await again.ended()


async def test_a_plugin_that_answers_what_it_does_not_read_keeps_no_connection(
    house: House,
) -> None:
    sandbox, _, [line] = await house.ready()
    for _ in range(40):
        seen = house.call(sandbox, bytes(60_000))
        if seen.over.is_set() or not sandbox._calls.connected:
            break
        line.answer()
        await settle()

    assert sandbox._calls.connected == 0


@pytest.mark.parametrize(
    "wished",
    [
        {"request_id": "r\r\nX-Evil: 1"},
        {"tool": "t\r\nX-Evil: 1"},
        {"caller": "c\r\nX-Evil: 1"},
        {"traceparent": "t\nX-Evil: 1"},
        {"content_type": "a/b\r\nX-Evil: 1"},
        {"caller": "caf\N{LATIN SMALL LETTER E WITH ACUTE} \N{SNOWMAN}"},
    ],
    ids=str,
)
async def test_no_value_of_a_call_breaks_out_of_its_header(
    house: House, wished: dict[str, Any]
) -> None:
    sandbox, _, [line] = await house.ready()
    house.call(sandbox, **wished)
    await settle()

    assert b"\nX-Evil" not in line.unread
    assert all(byte < 128 for byte in line.unread)
