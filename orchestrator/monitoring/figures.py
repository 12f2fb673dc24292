"""Figures: the rows of a timeframe, by plugin, tool and caller, and by points of a chart. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

from orchestrator.monitoring.aggregates import Calls, Key, Row, RowKind, merged

K = TypeVar("K")


def _no_rows() -> Mapping[str, Row]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginFigures:
    """One plugin within a timeframe."""

    row: Row = field(default_factory=Row)
    tools: Mapping[str, Row] = field(default_factory=_no_rows)
    callers: Mapping[str, Row] = field(default_factory=_no_rows)
    points: Mapping[int, Row] = field(default_factory=lambda: MappingProxyType({}))
    """Beginning of a chart's point → what happened within it."""
    first: int | None = None
    """Where its first row begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeframe:
    """What is told of."""

    name: str
    begin: float
    end: float
    point_seconds: int

    @property
    def seconds(self) -> float:
        return self.end - self.begin

    def point(self, at: float) -> int:
        """The point of a chart that `at` lies in."""
        return int(at // self.point_seconds) * self.point_seconds

    def points(self) -> list[int]:
        """All of them, also those in which nothing happened."""
        return list(range(self.point(self.begin), int(self.end) + 1, self.point_seconds))


def figures(rows: Iterable[tuple[int, Key, Row]], timeframe: Timeframe) -> dict[str, PluginFigures]:
    """By plugin."""
    parts: dict[str, dict[tuple[str, str], list[Row]]] = defaultdict(lambda: defaultdict(list))
    points: dict[str, dict[int, list[Row]]] = defaultdict(lambda: defaultdict(list))
    first: dict[str, int] = {}
    for begin, key, row in rows:
        parts[key.plugin_id][key.kind, key.name].append(row)
        if key.kind == RowKind.PLUGIN:
            at = timeframe.point(max(begin, timeframe.begin))
            points[key.plugin_id][at].append(row)
            first[key.plugin_id] = min(begin, first.get(key.plugin_id, begin))
    return {
        plugin_id: PluginFigures(
            row=merged(mine.get((RowKind.PLUGIN, ""), ())),
            tools=_named(mine, RowKind.TOOL),
            callers=_named(mine, RowKind.CALLER),
            points={at: merged(rows) for at, rows in sorted(points[plugin_id].items())},
            first=first.get(plugin_id),
        )
        for plugin_id, mine in sorted(parts.items())
    }


def together(
    left: Mapping[str, PluginFigures], right: Mapping[str, PluginFigures]
) -> dict[str, PluginFigures]:
    """Figures of two parts of a timeframe as those of the whole."""
    return {
        plugin_id: _plus(left.get(plugin_id), right.get(plugin_id))
        for plugin_id in sorted(left.keys() | right.keys())
    }


def calls_made_by(plugin_id: str, of_all: Mapping[str, PluginFigures]) -> int:
    """How often a plugin called others."""
    caller = f"plugin:{plugin_id}"
    rows = (one.callers.get(caller) for one in of_all.values())
    return sum(row.calls.count for row in rows if row is not None)


def all_calls(of_all: Mapping[str, PluginFigures]) -> Calls:
    """Of all plugins together."""
    return merged(one.row for one in of_all.values()).calls


def _plus(left: PluginFigures | None, right: PluginFigures | None) -> PluginFigures:
    if left is None or right is None:
        return left or right or PluginFigures()
    starts = [one.first for one in (left, right) if one.first is not None]
    return PluginFigures(
        row=left.row.plus(right.row),
        tools=_united(left.tools, right.tools),
        callers=_united(left.callers, right.callers),
        points=_united(left.points, right.points),
        first=min(starts, default=None),
    )


def _united(left: Mapping[K, Row], right: Mapping[K, Row]) -> dict[K, Row]:
    both = {**left}
    for name, row in right.items():
        both[name] = both[name].plus(row) if name in both else row
    return both


def _named(parts: Mapping[tuple[str, str], list[Row]], kind: RowKind) -> dict[str, Row]:
    return {name: merged(rows) for (of, name), rows in sorted(parts.items()) if of == kind}
