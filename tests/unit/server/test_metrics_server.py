"""The listener for Prometheus: what it answers, to whom, and where."""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from orchestrator.server import metrics_server
from orchestrator.server.metrics_server import MAX_CONNECTIONS, MetricsListener, is_own_host

TEXT = "text/plain; version=0.0.4"


@dataclass
class Stand:
    """The listener, and what it is told."""

    wanted: str = "127.0.0.1:0"
    accepted: list[str] = field(default_factory=list)
    listener: MetricsListener = field(init=False)

    def __post_init__(self) -> None:
        self.listener = MetricsListener(scrape=self.scrape, wanted=lambda: self.wanted)

    seconds: float = 0.0
    """Of a scrape."""

    async def scrape(self, accept: str) -> tuple[str, bytes]:
        self.accepted.append(accept)
        number = len(self.accepted)
        await asyncio.sleep(self.seconds)
        return TEXT, b"up %d\n" % number

    async def ask(
        self, line: str = "GET /metrics HTTP/1.1", *, host: str = "localhost", more: str = ""
    ) -> tuple[int, bytes, bytes]:
        """(status, head, body) of one request on a connection of its own."""
        port = self.listener.port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"{line}\r\nHost: {host}\r\n{more}\r\n".encode())
        async with asyncio.timeout(5):
            answer = await reader.read()
        writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]), head, body


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    made = Stand()
    await made.listener.settle()
    yield made
    made.listener.close()
    await asyncio.sleep(0.01)


async def test_it_answers_what_was_scraped(stand: Stand) -> None:
    status, head, body = await stand.ask(more="Accept: application/openmetrics-text\r\n")

    assert (status, body) == (200, b"up 1\n")
    assert f"Content-Type: {TEXT}".encode() in head
    assert stand.accepted == ["application/openmetrics-text"]


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET /metrics?x=1 HTTP/1.1", 200),
        ("POST /metrics HTTP/1.1", 405),
        ("GET / HTTP/1.1", 404),
        ("GET /v1/plugins HTTP/1.1", 404),
        ("POST /v1/shutdown HTTP/1.1", 404),
        ("POST /v1/plugins/notes/execute HTTP/1.1", 404),
        ("GET /metrics/../v1/status HTTP/1.1", 404),
        ("", 404),
        ("\x00\x01", 404),
    ],
)
async def test_nothing_else_is_there(stand: Stand, line: str, status: int) -> None:
    assert (await stand.ask(line))[0] == status
    assert len(stand.accepted) == (status == 200)


async def test_head_has_no_body(stand: Stand) -> None:
    status, head, body = await stand.ask("HEAD /metrics HTTP/1.1")

    assert (status, body) == (200, b"")
    assert b"Content-Length: 5" in head


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.0.0.1:9464", "[::1]:9464", "localhost:1", "LOCALHOST", "10.0.0.7:9464"),
        "host.docker.internal:9464",
    ],
)
def test_an_address_is_taken_as_host(host: str) -> None:
    assert is_own_host(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:9464",
        "127.0.0.1.evil.example",
        "localhost.evil:9464",
        "[]",
    ],
)
async def test_a_name_that_somebody_else_may_point_here_is_not(stand: Stand, host: str) -> None:
    status, _, body = await stand.ask(host=host)

    assert (status, b"up" in body) == (421, False)
    assert stand.accepted == []


async def test_who_says_nothing_is_not_waited_for(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_server, "HEAD_SECONDS", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.listener.port)
    writer.write(b"GET /metrics HTTP/1.1\r\n")
    async with asyncio.timeout(2):
        assert await reader.read() == b""
    writer.close()


async def test_a_head_without_end_is_cut_off(stand: Stand) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.listener.port)
    writer.write(b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 40_000)
    async with asyncio.timeout(2):
        assert await _rest(reader) == b""
    writer.close()


async def _rest(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def test_more_connections_than_the_bound_are_closed_unheard(stand: Stand) -> None:
    port = stand.listener.port
    held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MAX_CONNECTIONS)]
    await asyncio.sleep(0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(2):
        refused = await _rest(reader)
    for _, each in [*held, (reader, writer)]:
        each.close()
    await asyncio.sleep(0.05)

    assert refused == b""
    assert (await stand.ask())[0] == 200


@pytest.mark.parametrize(
    ("site", "status"), [("cross-site", 403), ("same-site", 403), ("none", 200)]
)
async def test_what_another_page_asks_for_is_not_even_scraped(
    stand: Stand, site: str, status: int
) -> None:
    assert (await stand.ask(more=f"Sec-Fetch-Site: {site}\r\n"))[0] == status
    assert len(stand.accepted) == (status == 200)


async def test_a_crowd_has_one_scrape_and_none_that_is_older_than_its_question(
    stand: Stand,
) -> None:
    stand.seconds = 0.1
    async with asyncio.TaskGroup() as group:
        first = group.create_task(stand.ask())
        await asyncio.sleep(0.05)
        crowd = [group.create_task(stand.ask()) for _ in range(20)]

    assert first.result()[2] == b"up 1\n"
    assert {each.result()[2] for each in crowd} == {b"up 2\n"}
    assert (await stand.ask())[2] == b"up 3\n"


async def test_who_asks_again_and_again_has_a_quarter_of_the_daemon_at_most(stand: Stand) -> None:
    stand.seconds = 0.05
    clock = asyncio.get_running_loop()
    began = clock.time()
    for _ in range(4):
        await stand.ask()

    assert clock.time() - began >= 3 * 4 * stand.seconds


async def test_it_moves_and_goes_as_is_wanted(stand: Stand) -> None:
    first = stand.listener.port
    await stand.listener.settle()
    assert stand.listener.port == first
    stand.wanted = "[::1]:0"
    await stand.listener.settle()
    assert stand.listener.state == "[::1]:0"
    stand.wanted = ""
    await stand.listener.settle()

    assert (stand.listener.port, stand.listener.state) == (0, "not listening")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", first)


async def test_a_taken_port_is_told_and_taken_when_it_is_free(
    stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        stand.wanted = f"127.0.0.1:{port}"
        for _ in range(3):
            await stand.listener.settle()
        trouble = stand.listener.state
    await stand.listener.settle()

    assert trouble.startswith(f"monitoring.listen: found 127.0.0.1:{port} (")
    assert (stand.listener.port, stand.listener.state) == (port, f"127.0.0.1:{port}")
    assert len([r for r in caplog.records if "monitoring.listen" in r.getMessage()]) == 1
