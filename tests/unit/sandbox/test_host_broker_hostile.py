"""HostBroker against a plugin that breaks HTTP, floods, dawdles and hoards."""

import asyncio
from pathlib import Path

import pytest

from orchestrator.sandbox.broker import RefusalCode
from orchestrator.sandbox.host_api import HostBounds
from tests.unit.sandbox.broker_house import Raw, ask, until
from tests.unit.sandbox.host_house import event, execute, host_house

POST = "POST /v1/plugins/helper/execute HTTP/1.1\r\nHost: h\r\n"
CHUNKED = POST + "Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "request_text",
    [
        "\x00\x01\x02\r\n\r\n",
        "\r\n\r\n",
        "GET /v1/plugins\r\n\r\n",
        "GET /v1/plugins HTTP/2.0\r\n\r\n",
        "GET  /v1/plugins HTTP/1.1\r\n\r\n",
        "GET /v1/plugins HTTP/1.1\r\nno colon\r\n\r\n",
        "GET /v1/plugins HTTP/1.1\r\nA : b\r\n\r\n",
        "GET /v1/plugins HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
        "GET /v1/plugins HTTP/1.1\r\nA: b\nB: c\r\n\r\n",
        "GET /v1/plugins HTTP/1.1\r\nA: b\x00\r\n\r\n",
        "GET /v1/plugins HTTP/1.1\r\n" + "A: b\r\n" * 101 + "\r\n",
        "GET /v1/plugins HTTP/1.1\r\nA: " + "b" * 17_000 + "\r\n\r\n",
        "GET /v1/plugins HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi",
        POST + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
        POST + "Content-Length: +2\r\n\r\nhi",
        POST + "Content-Length: 0x2\r\n\r\nhi",
        POST + "Content-Length: 1, 2\r\n\r\nhi",
        POST + "Content-Length: -1\r\n\r\nhi",
        POST + "Content-Length:\r\n\r\nhi",
        POST + "Transfer-Encoding: identity\r\n\r\n",
        POST + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        POST + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + "Host: h2\r\nContent-Length: 0\r\n\r\n",
        POST + "Expect: 200-ok\r\nContent-Length: 2\r\n\r\nhi",
        CHUNKED + "zz\r\n",
        CHUNKED + "2;ext=1\r\nhi\r\n0\r\n\r\n",
        CHUNKED + "-2\r\nhi\r\n",
        CHUNKED + "2\r\nhiho\r\n0\r\n\r\n",
        CHUNKED + "0\r\nTrailer: yes\r\n\r\n",
        POST + "Content-Length: 2\r\n\r\nhiGET /v1/plugins HTTP/1.1\r\n\r\n",
    ],
)
async def test_what_two_readers_could_read_in_two_ways_is_refused(
    tmp_path: Path, request_text: str
) -> None:
    async with host_house(tmp_path) as house:
        answer = await ask(house.path, request_text.encode("latin-1"))

        assert (answer.status, answer.code) == (400, "malformed_request")
        assert answer.headers["connection"] == "close"
        assert house.neighbours.made == []
        assert house.auditor.codes() == ["malformed_request"]
        assert (await ask(house.path, execute())).status == 200


@pytest.mark.parametrize(
    "line",
    [
        "GET /v1/events",
        "DELETE /v1/plugins",
        "POST /v1/plugins/../execute",
        "POST /v1/plugins/helper/execute?x=1",
        "GET http://host/v1/plugins",
        "CONNECT example.com:443",
        "GET /metrics",
    ],
)
async def test_there_is_nothing_else_to_ask(tmp_path: Path, line: str) -> None:
    async with host_house(tmp_path) as house:
        answer = await ask(house.path, f"{line} HTTP/1.1\r\nHost: h\r\n\r\n")

    assert (answer.status, answer.code) == (404, "unknown_endpoint")


@pytest.mark.parametrize("levels", [64, 300, 900, 960, 980, 30_000])
async def test_an_event_deeper_than_others_could_write_on_is_refused(
    tmp_path: Path, levels: int
) -> None:
    deep = '{"specversion": "1.0", "type": "notes.written", "data": {"a": '
    body = deep + "[" * levels + "]" * levels + "}}"
    async with host_house(tmp_path) as house:
        for text in (body, "[" * levels + "]" * levels):
            answer = await ask(
                house.path,
                f"POST /v1/events HTTP/1.1\r\nHost: h\r\nContent-Length: {len(text)}\r\n\r\n{text}",
            )

            assert (answer.status, answer.code) == (422, "event_invalid")


async def test_more_requests_than_the_rate_are_refused_and_told_once(tmp_path: Path) -> None:
    async with host_house(tmp_path, HostBounds(requests_per_second=1, burst=3)) as house:
        statuses = [(await ask(house.path, event())).status for _ in range(8)]

        assert statuses == [202, 202, 202, 429, 429, 429, 429, 429]
        assert house.broker.refusals[RefusalCode.RATE_LIMITED] == 5
        assert house.auditor.codes() == ["rate_limited"]
        house.clock.ahead += 1.5
        assert (await ask(house.path, event())).status == 202
        house.broker.close()
    assert [entry.data.get("times") for entry in house.auditor.entries] == [None, 4]


async def test_more_connections_than_the_cap_are_refused_and_free_when_others_end(
    tmp_path: Path,
) -> None:
    async with host_house(tmp_path, HostBounds(max_connections=2)) as house:
        held = [await Raw.to(house.path) for _ in range(2)]
        for raw in held:
            raw.send(event())
            await raw.answer()
        refused = await Raw.to(house.path)

        assert (await refused.answer()).code == "too_many_connections"
        await held[0].close()
        await refused.close()
        await until(lambda: len(house.broker._server._running) == 1)
        assert (await ask(house.path, event())).status == 202
        await held[1].close()


@pytest.mark.parametrize("start", ["POST /v1/events HT", POST + "Content-Length: 9\r\n\r\nhal"])
async def test_a_request_that_dawdles_costs_its_connection(tmp_path: Path, start: str) -> None:
    async with host_house(tmp_path, HostBounds(request_seconds=0.1)) as house:
        raw = await Raw.to(house.path)
        raw.send(start)
        answer = await raw.answer()

        assert (answer.status, answer.code) == (408, "request_timeout")
        assert await raw.rest() == b""
        await raw.close()


async def test_an_idle_connection_is_ended_quietly(tmp_path: Path) -> None:
    async with host_house(tmp_path, HostBounds(idle_seconds=0.1)) as house:
        raw = await Raw.to(house.path)

        assert await raw.rest() == b""
        assert house.auditor.entries == []
        await raw.close()


async def test_bodies_of_all_connections_together_are_bounded(tmp_path: Path) -> None:
    async with host_house(
        tmp_path, HostBounds(max_body_bytes=1_000, max_buffered_bytes=1_500)
    ) as house:
        house.neighbours.hold = asyncio.Event()
        first = await Raw.to(house.path)
        first.send(execute(body=b"x" * 1_000))
        await until(lambda: house.neighbours.made)
        second = await ask(house.path, execute(body=b"x" * 1_000))
        house.neighbours.hold.set()
        assert (await first.answer()).status == 200
        await first.close()

        assert second.status == 429
        assert (await ask(house.path, execute(body=b"x" * 1_000))).status == 200


async def test_a_body_over_the_cap_is_refused_before_it_is_read(tmp_path: Path) -> None:
    async with host_house(tmp_path, HostBounds(max_body_bytes=10)) as house:
        answer = await ask(house.path, POST + "Content-Length: 11\r\n\r\n")

        assert (answer.status, answer.code) == (413, "request_too_large")


async def test_a_second_request_before_the_first_answer_costs_the_connection(
    tmp_path: Path,
) -> None:
    async with host_house(tmp_path) as house:
        house.neighbours.hold = asyncio.Event()
        raw = await Raw.to(house.path)
        raw.send(execute())
        await until(lambda: house.neighbours.made)
        raw.send(execute())

        assert (await raw.answer()).code == "malformed_request"
        assert house.neighbours.cancelled == 1
        await raw.close()


async def test_a_client_that_waits_for_leave_to_send_is_given_it(tmp_path: Path) -> None:
    async with host_house(tmp_path) as house:
        raw = await Raw.to(house.path)
        raw.send(POST + "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")

        assert (await raw.head())[0] == 100
        raw.send("{}")
        assert (await raw.answer()).status == 200
        await raw.close()
