"""Keeper: once a minute what was counted becomes rows on disk, off the call path.

Rows are differences, so a restart begins with nothing and counts nothing twice; a daemon that is
killed loses what it had not written: a minute at most. What a full disk refuses waits in memory and
is written with the next minute.
"""

import asyncio
import contextlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Final, Protocol

from orchestrator.clock import Clock
from orchestrator.errors import OrchestratorError
from orchestrator.model.policy import AnalyticsPolicy
from orchestrator.monitoring.aggregates import Key, Row, decoded, encoded, united
from orchestrator.monitoring.book import Book
from orchestrator.monitoring.timeframe import Span
from orchestrator.store.series import Kept, SeriesStore, Step

AFTER_SECONDS: Final = 0.05
"""So long after the minute's end its rows are made: a timer must not come before it."""
MOST_MINUTES: Final = 60
"""That wait in memory for a disk that is full; then they are counted as one."""
STATE_SECONDS: Final = 60.0
SLICE_SECONDS: Final = 0.002
"""So long at most the loop is held up by counting."""
_MEBIBYTE: Final = 1 << 20

StateOf = Callable[[], dict[str, str]]
"""Plugin → the specification's state of it, for all that are deployed."""


class Reader(Protocol):
    """Who knows what was counted."""

    def take(self) -> Iterator[dict[Key, Row]]:
        """What came since the last time, in parts, all of which are taken."""


class Keeper:
    """The one writer of the statistics."""

    def __init__(
        self,
        *,
        store: SeriesStore,
        readers: Sequence[Reader],
        book: Book,
        states: StateOf,
        policy: Callable[[], AnalyticsPolicy],
        clock: Clock,
    ) -> None:
        self._store = store
        self._readers = readers
        self._book = book
        self._states = states
        self._policy = policy
        self._clock = clock
        self._one = asyncio.Lock()
        self._waiting: dict[int, dict[Key, Row]] = {}
        """Minute → rows that are not on disk yet."""
        self._last = clock.now()
        self._looked = clock.monotonic()
        self._pruned_hour = -1
        self.trouble = store.trouble

    async def run(self) -> None:
        """Until cancelled: a task of the daemon."""
        while True:
            now = self._clock.now()
            await asyncio.sleep(Step.MINUTE.begin(now) + Step.MINUTE - now + AFTER_SECONDS)
            await self.flush()
            await self._prune()

    async def flush(self) -> None:
        """Write what was counted until now; what is asked for next sees it."""
        clock, since = self._clock.monotonic, self._clock.monotonic()
        with contextlib.closing(self._gather()) as parts:
            for _ in parts:
                if clock() - since > SLICE_SECONDS:
                    await asyncio.sleep(0)  # calls come first
                    since = clock()
        async with self._one:
            while self._waiting:
                # Out of mind before it is written: a write goes on though we are cancelled, and
                # must not be done again at the daemon's end. SQLite keeps the deadline.
                minute = next(iter(self._waiting))
                rows = self._waiting.pop(minute)
                try:
                    await asyncio.to_thread(self._write, minute, rows)
                except OrchestratorError as error:
                    self._waiting[minute] = united([rows, self._waiting.get(minute, {})])
                    self.trouble = str(error)
                    return
            self.trouble = self._store.trouble

    async def read(self, span: Span) -> list[tuple[int, Key, Row]]:
        """The rows of that span. Raises StoreUnavailable."""

        def read() -> list[tuple[int, Key, Row]]:
            rows = self._store.read(span.step, span.begin, span.end)
            return [(begin, Key(*key), decoded(text)) for begin, key, text in rows]

        async with self._one:
            return await asyncio.to_thread(read)

    async def kept_from(self) -> dict[Step, int | None]:
        """Where what is kept of each length begins. Raises StoreUnavailable."""
        async with self._one:
            return await asyncio.to_thread(lambda: {s: self._store.oldest(s) for s in Step})

    def _gather(self) -> Generator[None, None, None]:
        """Make rows of what was counted since the last time, for the minute it happened in.

        Closed in between it goes on to the end of the reader that it is at: what that one has told
        of before it was asked for all, nobody tells again.
        """
        now = self._clock.now()
        self._look()
        minute = minute_of(self._last, now)
        self._last = now
        for reader in self._readers:
            taken = reader.take()
            try:
                for rows in taken:
                    self._wait(minute, rows)
                    yield
            finally:
                for rows in taken:
                    self._wait(minute, rows)

    def _wait(self, minute: int, rows: Mapping[Key, Row]) -> None:
        if not rows:
            return
        if minute not in self._waiting and len(self._waiting) >= MOST_MINUTES:
            minute = next(reversed(self._waiting))
        waiting = self._waiting.setdefault(minute, {})
        for key, row in rows.items():
            waiting[key] = waiting[key].plus(row) if key in waiting else row

    def _write(self, minute: int, rows: Mapping[Key, Row]) -> None:
        """Raises StoreUnavailable."""
        self._store.add(
            minute, {(key[0], key[1], key[2]): encoded(row) for key, row in rows.items()}
        )

    def close(self) -> None:
        """The last rows, at the daemon's end; what cannot be written is lost."""
        for _ in self._gather():
            pass
        try:
            for minute, rows in self._waiting.items():
                self._write(minute, rows)
        except OrchestratorError as error:
            self.trouble = str(error)
        self._store.close()

    # -------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Once a minute, by the clock that never jumps: minutes of a state can be added up."""
        now = self._clock.monotonic()
        if now - self._looked < STATE_SECONDS - 1:
            return
        self._looked = now
        states = self._states()
        for plugin_id, state in states.items():
            self._book.saw_state(plugin_id, state)
        self._book.keep_only({*states})

    async def _prune(self) -> None:
        now, policy = self._clock.now(), self._policy()
        hour = Step.HOUR.begin(now)
        if hour == self._pruned_hour:
            return
        self._pruned_hour = hour
        try:
            async with self._one:
                await asyncio.to_thread(self._store.prune, now, kept_of(policy))
        except OrchestratorError as error:
            self.trouble = str(error)


def kept_of(policy: AnalyticsPolicy) -> Kept:
    """The policy in the store's words."""
    return Kept(
        minutes_seconds=float(policy.minutes_hours * Step.HOUR),
        hours_seconds=float(policy.hours_days * Step.DAY),
        days_seconds=float(policy.days * Step.DAY),
        max_bytes=policy.max_mb * _MEBIBYTE,
    )


def minute_of(last: float, now: float) -> int:
    """The minute that what came between `last` and `now` is counted in.

    It is that of `last`: rows are made just after a minute's end, and whenever somebody looks.
    After a sleep of the machine, or where the clock was set, it is one that `now` is near.
    """
    return Step.MINUTE.begin(max(last, now - Step.MINUTE) if last <= now else now)
