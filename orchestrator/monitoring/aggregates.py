"""Aggregates: what became of one plugin, tool or caller within a minute, an hour or a day. Pure.

A row is made of parts that merge, in any order and any grouping: a roll-up is a merge, and so is a
report over any timeframe. Nothing here knows where rows come from or where they are kept.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import reduce
from itertools import zip_longest
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

from orchestrator.monitoring.sketch import Gauge

T = TypeVar("T")
MAX_COUNTS: Final = 256
"""Of one row; what would be more is counted as OTHER_COUNT."""
OTHER_COUNT: Final = "other"


class RowKind(StrEnum):
    """What a row is about; `name` in the key is the tool or caller, empty for a plugin's."""

    PLUGIN = "plugin"
    TOOL = "tool"
    CALLER = "caller"


class Key(NamedTuple):
    """Whose row, within one minute, hour or day."""

    plugin_id: str
    kind: str = RowKind.PLUGIN
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """How many calls ended, how many of them failed, and how long they took."""

    count: int = 0
    failed: int = 0
    """Calls whose outcome is not `ok`."""
    seconds: float = 0.0
    least: float = math.inf
    most: float = 0.0
    buckets: tuple[int, ...] = ()
    """By the bounds of `tally.BOUNDS`, of the calls that were begun; none of callers."""

    def plus(self, other: "Calls") -> "Calls":
        return Calls(
            count=self.count + other.count,
            failed=self.failed + other.failed,
            seconds=self.seconds + other.seconds,
            least=min(self.least, other.least),
            most=max(self.most, other.most),
            buckets=tuple(
                mine + theirs
                for mine, theirs in zip_longest(self.buckets, other.buckets, fillvalue=0)
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One plugin's, tool's or caller's; a Row without anything is the merge's zero."""

    calls: Calls = field(default_factory=Calls)
    counts: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Things that add up, by name: see counts.py."""
    gauges: Mapping[str, Gauge] = field(default_factory=lambda: MappingProxyType({}))
    """Things that were sampled, by name."""

    def plus(self, other: "Row") -> "Row":
        return Row(
            calls=self.calls.plus(other.calls),
            counts=_bounded(_united(self.counts, other.counts, float.__add__)),
            gauges=_united(self.gauges, other.gauges, Gauge.plus),
        )

    def total(self, name: str) -> float:
        """What was counted under that name."""
        return self.counts.get(name, 0.0)

    def family(self, prefix: str) -> dict[str, float]:
        """What was counted under `prefix:…`, by what follows."""
        start = f"{prefix}:"
        return {k[len(start) :]: v for k, v in self.counts.items() if k.startswith(start)}


def merged(rows: Iterable[Row]) -> Row:
    """All of them as one."""
    return reduce(Row.plus, rows, Row())


def united(parts: Iterable[Mapping[Key, Row]]) -> dict[Key, Row]:
    """Rows of several spans of time as those of one."""
    found: dict[Key, list[Row]] = {}
    for part in parts:
        for key, row in part.items():
            found.setdefault(key, []).append(row)
    return {key: merged(rows) for key, rows in found.items()}


# -- as kept ------------------------------------------------------------------------------------


def encoded(row: Row) -> str:
    """As a text; `decoded` is its inverse."""
    body: dict[str, Any] = {}
    calls = row.calls
    if calls.count:
        least = calls.least if math.isfinite(calls.least) else None
        numbers = [calls.count, calls.failed, calls.seconds, least, calls.most]
        body["c"] = [*numbers, [*calls.buckets]]
    if row.counts:
        body["n"] = dict(row.counts)
    if row.gauges:
        body["g"] = {name: gauge.as_list() for name, gauge in row.gauges.items()}
    return json.dumps(body, separators=(",", ":"))


def decoded(text: str) -> Row:
    """What cannot be read is taken for nothing: a statistic is not worth a failed start."""
    try:
        body = json.loads(text)
        count, failed, seconds, least, most, buckets = body.get("c") or [0, 0, 0.0, None, 0.0, []]
        return Row(
            calls=Calls(
                count=int(count),
                failed=int(failed),
                seconds=float(seconds),
                least=math.inf if least is None else float(least),
                most=float(most),
                buckets=tuple(int(number) for number in buckets),
            ),
            counts={str(name): float(number) for name, number in (body.get("n") or {}).items()},
            gauges={
                str(name): Gauge.from_list(numbers)
                for name, numbers in (body.get("g") or {}).items()
            },
        )
    except (ValueError, TypeError, AttributeError, KeyError, IndexError):
        return Row()


def merged_text(left: str, right: str) -> str:
    """The same as `plus`, of rows as they are kept."""
    return encoded(decoded(left).plus(decoded(right)))


# ---------------------------------------------------------------------------------------------


def _united(
    left: Mapping[str, T], right: Mapping[str, T], plus: Callable[[T, T], T]
) -> dict[str, T]:
    both = dict(left)
    for name, value in right.items():
        both[name] = plus(both[name], value) if name in both else value
    return both


def _bounded(counts: dict[str, float]) -> dict[str, float]:
    """Names are closed lists of the code; should one ever not be, the row stays small."""
    if len(counts) <= MAX_COUNTS:
        return counts
    kept = dict(sorted(counts.items())[: MAX_COUNTS - 1])
    rest = math.fsum(number for name, number in counts.items() if name not in kept)
    return {**kept, OTHER_COUNT: kept.get(OTHER_COUNT, 0.0) + rest}
