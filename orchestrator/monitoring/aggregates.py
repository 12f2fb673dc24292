"""Aggregates: what became of one plugin, tool or caller within a minute, an hour or a day. Pure.

A row is made of parts that merge, in any order and any grouping: a roll-up is a merge, and so is a
report over any timeframe. Nothing here knows where rows come from or where they are kept.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import zip_longest
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from orchestrator.monitoring.sketch import Gauge

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One plugin's, tool's or caller's; a Row without anything is the merge's zero."""

    calls: Calls = field(default_factory=Calls)
    counts: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Things that add up, by name: see counts.py."""
    gauges: Mapping[str, Gauge] = field(default_factory=lambda: MappingProxyType({}))
    """Things that were sampled, by name."""

    def plus(self, other: "Row") -> "Row":
        return merged((self, other))

    def total(self, name: str) -> float:
        """What was counted under that name."""
        return self.counts.get(name, 0.0)

    def family(self, prefix: str) -> dict[str, float]:
        """What was counted under `prefix:…`, by what follows."""
        start = f"{prefix}:"
        return {k[len(start) :]: v for k, v in self.counts.items() if k.startswith(start)}


def merged(rows: Iterable[Row]) -> Row:
    """All of them as one: `plus` over and over, in one go."""
    every = list(rows)
    counts: dict[str, float] = {}
    gauges: dict[str, list[Gauge]] = {}
    for row in every:
        for name, number in row.counts.items():
            counts[name] = counts.get(name, 0.0) + number
        for name, gauge in row.gauges.items():
            gauges.setdefault(name, []).append(gauge)
    return Row(
        calls=_all_calls([row.calls for row in every if row.calls.count]),
        counts=_bounded(counts),
        gauges={name: Gauge.merged(parts) for name, parts in gauges.items()},
    )


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


def _all_calls(parts: Sequence[Calls]) -> Calls:
    return Calls(
        count=sum(part.count for part in parts),
        failed=sum(part.failed for part in parts),
        seconds=math.fsum(part.seconds for part in parts),
        least=min((part.least for part in parts), default=math.inf),
        most=max((part.most for part in parts), default=0.0),
        buckets=tuple(
            sum(numbers) for numbers in zip_longest(*(p.buckets for p in parts), fillvalue=0)
        ),
    )


def _bounded(counts: dict[str, float]) -> dict[str, float]:
    """Names are closed lists of the code; should one ever not be, the row stays small."""
    if len(counts) <= MAX_COUNTS:
        return counts
    kept = dict(sorted(counts.items())[: MAX_COUNTS - 1])
    rest = math.fsum(number for name, number in counts.items() if name not in kept)
    return {**kept, OTHER_COUNT: kept.get(OTHER_COUNT, 0.0) + rest}
