"""Streams of statistics from engines that are old, lie or say nothing, played by a socket."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestrator.clock import SystemClock
from orchestrator.engine.base import EngineFailure, EngineUnavailable
from orchestrator.engine.docker_stats import StatsStreams
from orchestrator.engine.stats_codec import MAX_LINE_BYTES
from tests.support.played_engine import CHUNKED, chunk, engine_at

OLD, NEW = "1.40", "1.41"
NO_SUCH = b'{"message": "No such container: abc"}'


def line(memory_bytes: int) -> bytes:
    return json.dumps({"memory_stats": {"usage": memory_bytes}}).encode() + b"\n"


class Played:
    """An engine whose stream of any container is `pieces`, and then silence; a shot is 1 byte."""

    def __init__(self, *pieces: bytes, ends: bool = False, every: float = 0.0) -> None:
        self.pieces, self.ends, self.every = list(pieces), ends, every
        self.asked: list[tuple[int, bytes]] = []
        self.refuses = False
        self.answers = asyncio.Event()
        self.answers.set()

    async def __call__(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            head = f"HTTP/1.1 404 Not Found\r\nContent-Length: {len(NO_SUCH)}\r\n\r\n"
            writer.write(head.encode() + NO_SUCH)
            return
        if b"stream=1" not in request:
            await self.answers.wait()
            shot = line(1)
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(shot)}\r\n\r\n".encode() + shot)
            return
        writer.write(CHUNKED)
        for piece in self.pieces:
            writer.write(chunk(piece))
            await writer.drain()
            await asyncio.sleep(self.every)
        if self.ends:
            writer.write(b"0\r\n\r\n")

    def count(self, what: bytes) -> int:
        return sum(what in asked for _, asked in self.asked)


@asynccontextmanager
async def streams_of(
    folder: Path, played: Played, version: str = NEW, **bounds: Any
) -> AsyncIterator[StatsStreams]:
    async with engine_at(folder / "s", played, asked=played.asked, version=version) as clients:
        streams = StatsStreams(clients, SystemClock(), **bounds)
        try:
            yield streams
        finally:
            await streams.aclose()
            assert threads() == 0


def threads() -> int:
    return sum(thread.name == "docker-stream" for thread in threading.enumerate())


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - it looks from outside
            await asyncio.sleep(0.01)


async def memory(streams: StatsStreams, container_id: str = "abc") -> int | None:
    usage = await streams.read(container_id)
    return None if usage is None else usage.memory_bytes


async def wait_for(streams: StatsStreams, memory_bytes: int | None) -> None:
    async with asyncio.timeout(10):
        while await memory(streams) != memory_bytes:  # noqa: ASYNC110 - it looks from outside
            await asyncio.sleep(0.01)


async def test_the_newest_line_counts_and_until_the_first_the_single_shot(tmp_path: Path) -> None:
    played = Played(line(2), line(3)[:9], line(3)[9:], every=0.2)
    async with streams_of(tmp_path, played) as streams:
        assert [await memory(streams), await memory(streams)] == [1, 1]
        await wait_for(streams, 2)
        await wait_for(streams, 3)

    assert [played.count(b"one-shot="), played.count(b"stream=1")] == [1, 1]


async def test_an_older_engine_is_waited_for_and_never_asked_for_single_shots(
    tmp_path: Path,
) -> None:
    played = Played(line(2))
    async with streams_of(tmp_path, played, OLD, most=1) as streams:
        found = [await memory(streams), await memory(streams), await memory(streams, "beyond")]

    assert found == [2, 2, None]
    assert [played.count(b"one-shot="), played.count(b"stream=1")] == [0, 1]


async def test_an_older_engine_that_says_nothing_is_told_of_in_time(tmp_path: Path) -> None:
    played = Played()
    async with streams_of(tmp_path, played, OLD, first_seconds=0.1) as streams:
        for _ in range(2):
            with pytest.raises(EngineUnavailable, match=rf"{tmp_path}/s told nothing.* abc in 0.1"):
                await memory(streams)

    assert played.count(b"stream=1") == 1


async def test_an_older_engine_knows_of_no_such_container(tmp_path: Path) -> None:
    played = Played(line(2))
    played.refuses = True
    async with streams_of(tmp_path, played, OLD) as streams:
        assert await memory(streams) is None
        played.refuses = False
        assert await memory(streams) == 2


@pytest.mark.parametrize(
    ("piece", "told"),
    [
        (b"what?\n", "expected JSON, found b'what"),
        (b'{"memory_stats": {"usage": "much"}}\n', "usage: expected a count"),
        (b"x" * (MAX_LINE_BYTES + 1), "expected lines of at most"),
    ],
    ids=["no JSON", "no count", "no end"],
)
async def test_what_nobody_can_read_is_the_engines_failure_and_told_with_its_address(
    tmp_path: Path, piece: bytes, told: str
) -> None:
    async with streams_of(tmp_path, Played(piece), stale_seconds=60) as streams:
        with pytest.raises(EngineFailure, match=told) as caught:
            await wait_for(streams, 2)

        assert f"{tmp_path}/s" in str(caught.value)
        await until(lambda: threads() == 0)
        assert await memory(streams) == 1


async def test_a_piece_as_large_as_the_engine_likes_is_not_held(tmp_path: Path) -> None:
    sent = 0

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        if b"stream=1" not in request:
            await Played()(request, writer)
            return
        writer.write(CHUNKED + b"fffffff0\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()
            sent += 65_536

    async with engine_at(tmp_path / "s", answer) as clients:
        streams = StatsStreams(clients, SystemClock())
        with pytest.raises(EngineFailure, match="expected lines of at most"):
            await wait_for(streams, 2)
        await streams.aclose()

    assert sent < 16 << 20


async def test_a_stream_that_the_engine_ends_is_opened_anew_by_the_next_read(
    tmp_path: Path,
) -> None:
    played = Played(line(2), ends=True)
    async with streams_of(tmp_path, played) as streams:
        for count in (1, 2):
            assert await memory(streams) == 1
            await until(lambda count=count: played.count(b"stream=1") == count and not threads())  # type: ignore[misc]
        played.refuses = True
        assert await memory(streams) is None

    assert [played.count(b"one-shot="), played.count(b"stream=1")] == [3, 2]


async def test_a_stream_that_nobody_reads_ends(tmp_path: Path) -> None:
    played = Played(*(line(number) for number in range(2, 200)), every=0.05)
    async with streams_of(tmp_path, played, idle_seconds=0.5) as streams:
        await wait_for(streams, 10)
        for _ in range(6):  # longer than it may be idle
            await asyncio.sleep(0.1)
            assert await memory(streams) not in {None, 1}
        await until(lambda: threads() == 0)
        assert await memory(streams) == 1

    assert played.count(b"one-shot=") == 2


async def test_a_stream_that_says_nothing_whole_for_long_is_let_go(tmp_path: Path) -> None:
    played = Played(line(2), *[b"."] * 200, every=0.05)
    async with streams_of(tmp_path, played, stale_seconds=0.5, most=1) as streams:
        await wait_for(streams, 2)
        await wait_for(streams, 1)
        assert played.count(b"one-shot=") == 2


async def test_of_an_engine_that_hangs_no_old_figure_is_told(tmp_path: Path) -> None:
    played = Played(line(2))
    async with streams_of(tmp_path, played, stale_seconds=0.5) as streams:
        await wait_for(streams, 2)
        played.answers.clear()
        assert await memory(streams) == 2
        await until(lambda: threads() == 0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await memory(streams)
        played.answers.set()
        await wait_for(streams, 2)


async def test_dead_streams_take_no_room(tmp_path: Path) -> None:
    played = Played(line(2), ends=True)
    async with streams_of(tmp_path, played, most=2) as streams:
        for number in range(1, 6):
            assert await memory(streams, f"c{number}") == 1
            await until(lambda n=number: played.count(b"stream=1") == n and not threads())  # type: ignore[misc]


async def test_many_readers_of_one_container_have_one_stream(tmp_path: Path) -> None:
    played = Played(line(2))
    async with streams_of(tmp_path, played) as streams:
        await asyncio.gather(*(memory(streams) for _ in range(8)))
        await wait_for(streams, 2)

    assert played.count(b"stream=1") == 1


async def test_closed_it_leaves_no_thread_socket_or_task_and_opens_none(tmp_path: Path) -> None:
    def held() -> tuple[int, int, int]:
        """Those of both sides, which are in this process."""
        links = [path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
        sockets = sum(str(link).startswith("socket:") for link in links)
        return threads(), sockets, len(asyncio.all_tasks())

    played = Played(line(2))
    async with streams_of(tmp_path, played, most=5) as streams:
        for number in range(5):
            await memory(streams, f"c{number}")
        await until(lambda: played.count(b"stream=1") == 5)
        before = held()
        await streams.aclose()
        await until(lambda: held() == (0, before[1] - 10, before[2] - 5))

        assert before[0] == 5
        assert await memory(streams) == 1
        assert threads() == 0
