"""How a report's figures read in every form of it, and what in it is worth doing. Pure.

Names, versions and details in a report are plugins' own words: they are made harmless here for a
terminal, and escaped once more by the form that needs it.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

Report = Mapping[str, Any]
NOTHING: Final = "-"
_UNITS: Final = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_TEN: Final = 10
_HUNDRED: Final = 100
_MILLISECOND: Final = 0.001
_MOST_CHARACTERS: Final = 120


class Weight(StrEnum):
    """How much it matters."""

    BAD = "bad"
    WARN = "warn"
    HINT = "hint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Todo:
    """One thing worth doing."""

    weight: Weight
    plugin_id: str
    what: str
    why: str


def plain(text: object, most: int = _MOST_CHARACTERS) -> str:
    """One line with nothing in it that a terminal or a reader's eye would be led astray by."""
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text))
    return clean if len(clean) <= most else clean[: most - 1] + "…"


def number(value: float | None) -> str:
    """`74,641`; below ten with what follows the point."""
    if value is None:
        return NOTHING
    if value != int(value) and abs(value) < _TEN:
        return f"{value:.1f}"
    return f"{value:,.0f}"


def percent(share: float | None) -> str:
    """`99.54 %`; never rounded up to all of it, nor down to nothing."""
    if share is None:
        return NOTHING
    if 0 < share < 1:
        return f"{min(max(100 * share, 0.01), 99.99):.2f} %"
    return f"{100 * share:.0f} %"


def ratio(share: float | None) -> str:
    """`96 %`: of a limit."""
    return NOTHING if share is None else f"{100 * share:.0f} %"


def seconds(value: float | None) -> str:
    """`12.3 ms`, `1.94 s`, `640 µs`."""
    if value is None:
        return NOTHING
    if not value:
        return "0 s"
    if value < _MILLISECOND:
        return f"{value * 1e6:.0f} µs"
    if value < 1:
        return f"{_three(value * 1e3)} ms"
    return f"{_three(value)} s"


def size(value: float | None) -> str:
    """`236 MiB`."""
    if value is None:
        return NOTHING
    for unit, name in _UNITS:
        if value >= unit:
            return f"{_three(value / unit)} {name}"
    return f"{value:.0f} B"


def moment(at: float) -> str:
    """`2026-11-30 00:20`, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(at))


def clock(at: float, *, days: bool) -> str:
    """`00:20`, or `30 Nov` where a chart goes over days."""
    return time.strftime("%d %b" if days else "%H:%M", time.gmtime(at)).lstrip("0" if days else "")


def tool_name(name: str) -> str:
    """Of a call without a tool too."""
    return plain(name) if name else "(execute)"


def counted(number_of: Mapping[str, int]) -> str:
    """`host_not_granted 18, quota_exceeded 6`."""
    rows = sorted(number_of.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{plain(name)} {times:,}" for name, times in rows)


def worth_doing(report: Report) -> list[Todo]:
    """What somebody should look at, the worst first."""
    found = [
        *_failing(report),
        *_over_budget(report),
        *_limits(report, "raise", Weight.WARN),
        *_alerted(report),
        *_unused(report),
        *_behind(report),
        *_limits(report, "lower", Weight.HINT),
    ]
    order = list(Weight)
    return sorted(found, key=lambda todo: order.index(todo.weight))


def _failing(report: Report) -> Iterator[Todo]:
    for one in report["plugins"]:
        health = one["health"]
        if one["deployed"] and health["plugin_status"] == "error":
            yield Todo(
                weight=Weight.BAD,
                plugin_id=one["plugin_id"],
                what="it does not run",
                why=plain(health["detail"]),
            )
        if one["deployed"] and not health["version_compatible"]:
            least, most = health["min_core_version"], health["max_core_version"]
            yield Todo(
                weight=Weight.BAD,
                plugin_id=one["plugin_id"],
                what=f"it is not made for orchestrator {plain(health['core_version'])}",
                why=f"it wants {plain(least)} to {plain(most or 'any')}",
            )


def _over_budget(report: Report) -> Iterator[Todo]:
    for budget in report["error_budget"]["plugins"]:
        if (budget["burn"] or 0.0) > 1:
            yield Todo(
                weight=Weight.BAD,
                plugin_id=budget["plugin_id"],
                what=f"it spent {_times(budget['burn'])} its error budget",
                why=f"{budget['failed']:,} of {budget['calls']:,} calls failed, "
                f"{number(budget['allowed'])} may",
            )


def _limits(report: Report, direction: str, weight: Weight) -> Iterator[Todo]:
    for advice in report["advice"]:
        if advice["direction"] == direction:
            to = f"{advice['to']} {advice['unit']}"
            capped = " (policy's ceiling)" if advice["capped"] else ""
            yield Todo(
                weight=weight,
                plugin_id=advice["plugin_id"],
                what=f"{direction} {advice['limit']} from {advice['now']} to {to}{capped}",
                why=advice["evidence"],
            )


def _alerted(report: Report) -> Iterator[Todo]:
    for row in report["security"]:
        if row["alerts"] or row["violations"]:
            yield Todo(
                weight=Weight.WARN,
                plugin_id=row["plugin_id"],
                what="look at what it was refused" if row["violations"] else "look at its alerts",
                why=counted({**row["alerts"], **row["violations"]}),
            )


def _unused(report: Report) -> Iterator[Todo]:
    for row in report["permissions"]:
        if row["advise_drop"]:
            yield Todo(
                weight=Weight.WARN,
                plugin_id=row["plugin_id"],
                what=f"take {row['permission']} away",
                why=f"granted and never used: {row['evidence']}",
            )


def _behind(report: Report) -> Iterator[Todo]:
    for row in report["versions"]:
        yield Todo(
            weight=Weight.HINT,
            plugin_id=row["plugin_id"],
            what=f"update {plain(row['deployed'], 30)} to {plain(row['version'], 30)}",
            why=f"known from {plain(row['where'])}",
        )


def _times(value: float) -> str:
    return f"{value:.1f} times" if value < _TEN else f"{value:.0f} times"


def _three(value: float) -> str:
    """Three digits, or all of those before the point."""
    if value >= _HUNDRED:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= _TEN else f"{value:.2f}"
