"""SeriesStore: statistics by minute, hour and day, each under a key; and its in-memory twin.

Rows are texts that whoever owns them can merge. What is added to a minute is added to its hour and
its day in the same transaction: a roll-up is never late, never done twice, and never half.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Protocol

RowKey = tuple[str, str, str]
"""(plugin, kind, name)."""
Merge = Callable[[str, str], str]
"""Two rows of one key as one."""


class Step(IntEnum):
    """How long a row's span is, in seconds; spans begin at multiples of it, in UTC."""

    MINUTE = 60
    HOUR = 3_600
    DAY = 86_400

    def begin(self, at: float) -> int:
        """The beginning of the span that `at` lies in."""
        return int(at // self) * self


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How long rows of each length are kept, and how large the file may be."""

    minutes_seconds: float
    hours_seconds: float
    days_seconds: float
    max_bytes: int

    def seconds(self, step: Step) -> float:
        return {
            Step.MINUTE: self.minutes_seconds,
            Step.HOUR: self.hours_seconds,
            Step.DAY: self.days_seconds,
        }[step]


MOST_AT_ONCE: Final[Mapping[Step, int]] = {
    Step.MINUTE: 2 * Step.HOUR,
    Step.HOUR: 6 * Step.HOUR,
    Step.DAY: Step.DAY,
}
"""So much time one pruning forgets: a clock that was wrong once must not cost everything."""


class SeriesStore(Protocol):
    """Five verbs. Raises StoreUnavailable. One caller at a time, of any thread."""

    trouble: str
    """What was wrong with an earlier file; empty for nothing."""

    def add(self, at: float, rows: Mapping[RowKey, str]) -> None:
        """Merge rows into the minute, the hour and the day of `at`; all or none."""

    def read(self, step: Step, begin: int, end: int) -> list[tuple[int, RowKey, str]]:
        """Rows whose span begins within [begin, end), by beginning."""

    def oldest(self, step: Step) -> int | None:
        """Where what is kept of that length begins; None for nothing."""

    def prune(self, now: float, kept: Kept) -> int:
        """Forget what is too old or too much, the finest first; how many rows."""

    def close(self) -> None: ...


class MemorySeries:
    """Forgets everything with the process."""

    def __init__(self, merge: Merge) -> None:
        self._merge = merge
        self._rows: dict[Step, dict[tuple[int, RowKey], str]] = {step: {} for step in Step}
        self.trouble = ""

    def add(self, at: float, rows: Mapping[RowKey, str]) -> None:
        for step, kept in self._rows.items():
            for key, text in rows.items():
                place = (step.begin(at), key)
                kept[place] = self._merge(kept[place], text) if place in kept else text

    def read(self, step: Step, begin: int, end: int) -> list[tuple[int, RowKey, str]]:
        return [
            (start, key, text)
            for (start, key), text in sorted(self._rows[step].items())
            if begin <= start < end
        ]

    def oldest(self, step: Step) -> int | None:
        return min((start for start, _ in self._rows[step]), default=None)

    def prune(self, now: float, kept: Kept) -> int:
        forgotten = 0
        for step, rows in self._rows.items():
            before = forget_before(step, now, kept, oldest=self.oldest(step))
            gone = [place for place in rows if place[0] < before]
            forgotten += len(gone)
            for place in gone:
                del rows[place]
        return forgotten

    def close(self) -> None:
        """Nothing to let go."""


def forget_before(step: Step, now: float, kept: Kept, *, oldest: int | None) -> int:
    """Rows of that length that begin earlier are to go."""
    if oldest is None:
        return 0
    return min(step.begin(now - kept.seconds(step)), oldest + MOST_AT_ONCE[step])


def too_much(sizes: Sequence[tuple[Step, int]]) -> Step:
    """Of which length to forget first where the file is too large: minutes while there are any."""
    return next((step for step, rows in sizes if rows), Step.DAY)
