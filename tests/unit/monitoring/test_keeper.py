"""Keeper: once a minute, nothing twice, nothing negative, whatever clocks and disks do."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from orchestrator.model.policy import AnalyticsPolicy
from orchestrator.monitoring.aggregates import Calls, Key, Row, decoded, merged_text
from orchestrator.monitoring.book import Book
from orchestrator.monitoring.keeper import MOST_MINUTES, Keeper, kept_of, minute_of
from orchestrator.store.base import StoreUnavailable
from orchestrator.store.series import MemorySeries, RowKey, SeriesStore, Step
from orchestrator.store.series_sqlite import SqliteSeries

DAY = 1_796_083_200.0
A = Key("a")


class HandClock:
    """Moved by the test; the two hands apart."""

    def __init__(self) -> None:
        self.epoch, self.steady = DAY, 100.0

    def now(self) -> float:
        return self.epoch

    def monotonic(self) -> float:
        return self.steady

    def passes(self, seconds: float) -> None:
        self.epoch += seconds
        self.steady += seconds


class Counter:
    """A reader that the test makes count."""

    def __init__(self) -> None:
        self.new = 0

    def take(self) -> Iterator[dict[Key, Row]]:
        new, self.new = self.new, 0
        yield {A: Row(calls=Calls(count=new))} if new else {}


class Moody(MemorySeries):
    """A store whose disk is full while `full` is set."""

    full = False

    def add(self, at: float, rows: Mapping[RowKey, str]) -> None:
        if self.full:
            raise StoreUnavailable("statistics could not be written or read: disk full")
        super().add(at, rows)


class House:
    def __init__(self, store: SeriesStore | None = None) -> None:
        self.clock, self.counter = HandClock(), Counter()
        self.store = store or Moody(merged_text)
        self.book = Book(self.clock)
        self.states = {"a": "active"}
        self.keeper = Keeper(
            store=self.store,
            readers=(self.counter, self.book),
            book=self.book,
            states=lambda: self.states,
            policy=AnalyticsPolicy,
            clock=self.clock,
        )

    async def minute(self, calls: int) -> None:
        """So many calls, and the end of the minute."""
        self.counter.new += calls
        self.clock.passes(60.0)
        await self.keeper.flush()

    def calls(self, step: Step = Step.MINUTE) -> dict[int, int]:
        """Minutes after DAY → calls."""
        return {
            int(begin - DAY) // 60: decoded(text).calls.count
            for begin, key, text in self.store.read(step, 0, int(DAY) * 2)
            if key == ("a", "plugin", "") and decoded(text).calls.count
        }


async def test_each_minute_has_its_own_calls_and_the_hour_all_of_them() -> None:
    house = House()
    for calls in (3, 0, 4):
        await house.minute(calls)

    assert house.calls() == {0: 3, 2: 4}
    assert house.calls(Step.HOUR) == {0: 7}


async def test_who_looks_within_a_minute_sees_what_was_counted_until_then() -> None:
    house = House()
    house.counter.new = 2
    house.clock.passes(20.0)
    await house.keeper.flush()
    assert house.calls() == {0: 2}

    house.counter.new = 5
    house.clock.passes(40.1)
    await house.keeper.flush()

    assert house.calls() == {0: 7}


async def test_how_plugins_do_is_looked_at_once_a_minute_however_often_somebody_asks() -> None:
    house = House()
    for _ in range(120):
        house.clock.passes(1.0)
        await house.keeper.flush()

    rows = [decoded(text) for _, _, text in house.store.read(Step.HOUR, 0, int(DAY) * 2)]
    assert [row.counts for row in rows] == [{"state:active": 2.0}]


@pytest.mark.parametrize(
    ("last", "now", "minute"),
    [
        (0.05, 60.05, 0),  # the regular turn
        (60.05, 75.0, 60),  # somebody looks
        (75.0, 120.05, 60),
        (0.05, 3_600.0, 3_540),  # the machine slept, or the clock was set forward
        (3_600.0, 10.0, 0),  # it was set back
    ],
)
def test_what_was_counted_belongs_to_the_minute_in_which_it_happened(
    last: float, now: float, minute: int
) -> None:
    assert minute_of(DAY + last, DAY + now) == DAY + minute


async def test_a_clock_that_jumps_gives_no_call_twice_and_none_away() -> None:
    house = House()
    for jump in (0.0, 86_400.0, -2 * 86_400.0, 30.0, -90.0):
        await house.minute(1)
        house.clock.epoch += jump
    await house.minute(1)

    assert sum(house.calls().values()) == 6
    assert all(calls > 0 for calls in house.calls().values())


async def test_what_a_full_disk_refuses_is_written_when_there_is_room() -> None:
    store = Moody(merged_text)
    house = House(store)
    store.full = True
    await house.minute(1)
    await house.minute(2)
    assert (house.calls(), "disk full" in house.keeper.trouble) == ({}, True)

    store.full = False
    await house.minute(4)

    assert (house.calls(), house.keeper.trouble) == ({0: 1, 1: 2, 2: 4}, "")


async def test_a_disk_that_stays_full_fills_no_memory_and_loses_no_call() -> None:
    store = Moody(merged_text)
    house = House(store)
    store.full = True
    for _ in range(3 * MOST_MINUTES):
        await house.minute(1)
    assert len(house.keeper._waiting) == MOST_MINUTES

    store.full = False
    await house.minute(0)

    assert sum(house.calls().values()) == 3 * MOST_MINUTES


async def test_a_daemon_that_ends_in_order_writes_what_it_has(tmp_path: Path) -> None:
    house = House(SqliteSeries.open(tmp_path / "analytics.db", merged_text))
    house.counter.new = 3
    house.clock.passes(10.0)
    house.keeper.close()

    after = House(SqliteSeries.open(tmp_path / "analytics.db", merged_text))

    assert after.calls() == {0: 3}
    after.store.close()


async def test_a_daemon_that_is_killed_loses_the_minute_that_was_not_over(tmp_path: Path) -> None:
    killed = House(SqliteSeries.open(tmp_path / "analytics.db", merged_text))
    await killed.minute(5)
    killed.counter.new = 2

    after = House(SqliteSeries.open(tmp_path / "analytics.db", merged_text))
    after.clock.passes(60.0)
    await after.minute(1)

    assert after.calls() == {0: 5, 1: 1}
    after.store.close()
    killed.store.close()


async def test_a_write_that_is_cut_off_is_not_done_again_at_the_end() -> None:
    class Slow(MemorySeries):
        def __init__(self) -> None:
            super().__init__(merged_text)
            self.begun, self.go = asyncio.Event(), asyncio.Event()
            self.written = threading.Event()
            self.loop = asyncio.get_running_loop()

        def add(self, at: float, rows: Mapping[RowKey, str]) -> None:
            self.loop.call_soon_threadsafe(self.begun.set)
            asyncio.run_coroutine_threadsafe(self.go.wait(), self.loop).result(10)
            super().add(at, rows)
            self.written.set()

    store = Slow()
    house = House(store)
    house.counter.new = 1
    async with asyncio.TaskGroup() as group:
        flushing = group.create_task(house.keeper.flush())
        await store.begun.wait()
        flushing.cancel()
        store.go.set()
    assert await asyncio.to_thread(store.written.wait, 10)
    house.keeper.close()

    assert house.calls() == {0: 1}


async def test_who_is_cut_off_while_counting_loses_nothing_of_what_was_told() -> None:
    """A reader may know at its first part that all was told, as those of totals do."""
    house = House()
    house.clock.monotonic = iter(range(1_000)).__next__  # type: ignore[assignment, method-assign]
    for plugin_id in ("a", "b", "c"):
        house.book.saw_state(plugin_id, "active")
    async with asyncio.TaskGroup() as group:
        flush = group.create_task(house.keeper.flush())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        flush.cancel()
    assert flush.cancelled()
    house.clock.passes(60.0)
    await house.keeper.flush()

    told = {key[0] for _, key, _ in house.store.read(Step.HOUR, 0, int(DAY) * 2)}
    assert told == {"a", "b", "c"}


async def test_the_task_makes_rows_at_the_minutes_end() -> None:
    house = House()
    house.clock.epoch = DAY + 59.9
    house.keeper._last = DAY + 59.9
    house.counter.new = 1
    async with asyncio.TaskGroup() as group:
        task = group.create_task(house.keeper.run())
        await asyncio.sleep(0.1)
        assert house.calls() == {}
        house.clock.passes(0.2)
        await asyncio.sleep(0.1)
        task.cancel()

    assert house.calls() == {0: 1}


def test_the_policy_says_how_long_what_is_kept() -> None:
    kept = kept_of(AnalyticsPolicy(minutes_hours=2, hours_days=3, days=4, max_mb=5))

    assert [kept.seconds(step) for step in Step] == [7_200.0, 259_200.0, 345_600.0]
    assert kept.max_bytes == 5 << 20
