"""GroupWriter: the real thread and the real file."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import OrchestratorError
from orchestrator.events.writer import GroupWriter, Job
from orchestrator.store.base import StoreUnavailable
from orchestrator.store.event_log import EventLog
from orchestrator.store.event_values import Entry

SECONDS = 30.0


class Desk:
    """Hands jobs in and waits for their ends."""

    def __init__(self, path: Path) -> None:
        self.log = EventLog.open(path)
        self.writer = GroupWriter(self.log, asyncio.get_running_loop())
        self.ends: list[Any] = []
        self._news = asyncio.Event()

    def submit(self, work: Callable[[EventLog], object], *, urgent: bool = True) -> None:
        self.writer.submit(Job(work, self._end, self._end, urgent))

    async def ended(self, count: int) -> list[Any]:
        async with asyncio.timeout(SECONDS):
            while len(self.ends) < count:
                self._news.clear()
                await self._news.wait()
        return self.ends

    def _end(self, end: Any) -> None:
        self.ends.append(end)
        self._news.set()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path / "events.db")
    yield desk
    desk.writer.close()


def add(event_id: str) -> Callable[[EventLog], object]:
    entry = Entry(event_id=event_id, own_id="", source="s", type="a.b", subject="", body=b"{}")
    return lambda log: log.add(entry, ["reader"], since=1.0).event_id


async def test_jobs_end_on_the_loop_in_the_order_in_which_they_came(desk: Desk) -> None:
    threads: set[str] = set()
    for number in range(200):
        desk.submit(add(f"e{number}"))
    desk.writer.submit(
        Job(add("last"), lambda _: threads.add(threading.current_thread().name), None, urgent=True)
    )

    assert await desk.ended(200) == [f"e{number}" for number in range(200)]
    await asyncio.sleep(0)
    assert threads == {threading.main_thread().name}


async def test_what_came_during_one_sync_shares_the_next(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, hold, commits = threading.Event(), threading.Event(), []
    transaction = desk.log.transaction

    def counted() -> Any:
        commits.append(1)
        return transaction()

    monkeypatch.setattr(desk.log, "transaction", counted)
    desk.submit(lambda _: begun.set() or hold.wait(SECONDS))
    await asyncio.to_thread(begun.wait, SECONDS)
    for number in range(100):
        desk.submit(add(f"e{number}"))
    hold.set()
    await desk.ended(101)

    assert len(commits) == 2


async def test_the_loop_goes_on_while_the_disk_is_slow(desk: Desk) -> None:
    hold = threading.Event()
    desk.submit(lambda _: hold.wait(SECONDS))
    turns = 0
    for _ in range(20):
        await asyncio.sleep(0.001)
        turns += 1
    hold.set()

    assert turns == 20
    assert len(await desk.ended(1)) == 1


async def test_what_nobody_waits_for_is_written_too(desk: Desk) -> None:
    desk.submit(add("e1"), urgent=False)

    assert await desk.ended(1) == ["e1"]


async def test_a_failed_transaction_is_told_to_all_in_it_and_the_next_one_works(
    desk: Desk,
) -> None:
    def fault(log: EventLog) -> object:
        raise RuntimeError("a fault of ours")

    desk.submit(fault)
    [error] = await desk.ended(1)
    trouble = desk.writer.trouble
    desk.submit(add("e2"))

    assert isinstance(error, StoreUnavailable)
    assert "a fault of ours" in trouble
    assert (await desk.ended(2))[1] == "e2"
    assert desk.writer.trouble == ""


async def test_what_must_be_written_is_tried_until_it_is(desk: Desk) -> None:
    tries: list[int] = []

    def second_time(log: EventLog) -> object:
        tries.append(1)
        if len(tries) == 1:
            raise StoreUnavailable("the disk is full")
        return add("e1")(log)

    failed: list[OrchestratorError] = []
    desk.writer.submit(Job(second_time, desk._end, None, urgent=False))
    desk.writer.submit(Job(add("e2"), desk._end, failed.append, urgent=True))

    assert await desk.ended(1) == ["e1"]
    assert len(failed) == 1


async def test_closing_writes_what_there_is(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "events.db")
    for number in range(50):
        desk.submit(add(f"e{number}"), urgent=False)
    desk.writer.close()
    log = EventLog.open(tmp_path / "events.db")
    [tally] = log.tallies()
    log.close()

    assert tally.count == 50
    assert not any(thread.name == "event-log" for thread in threading.enumerate())
