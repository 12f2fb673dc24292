"""What `orchestrator top` shows: two looks at the daemon make one picture. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.monitoring.report_text import Paint, bar, without_colours
from orchestrator.monitoring.report_words import number, plain, ratio, seconds, size
from orchestrator.monitoring.sketch import time_quantile

NARROWEST: Final = 60
_STATES: Final[Mapping[str, tuple[str, str]]] = {
    "active": ("●", "good"),
    "inactive": ("○", "dim"),
    "error": ("✖", "bad"),
}
_NAME: Final = 18
_STATE_FROM: Final = 96
_BYTES_FROM: Final = 124
_FULL: Final = 0.9
_BUSY: Final = 0.75
_ERRORS: Final = 0.01

Look = Mapping[str, Any]
"""An answer of `GET /v1/analytics/live`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopRow:
    """One plugin between two looks; None where that cannot be told."""

    plugin_id: str
    status: str
    sub_state: str
    calls_per_second: float | None
    judged_per_second: float | None
    """Without what callers did wrong."""
    error_ratio: float | None
    """Of those."""
    p50_seconds: float | None
    p95_seconds: float | None
    cpu_percent: float | None
    cpu_limit_percent: float | None
    memory_bytes: float | None
    memory_limit_bytes: float | None
    in_flight: int
    queued: int
    restarts: int

    @property
    def memory_ratio(self) -> float | None:
        return _part(self.memory_bytes, self.memory_limit_bytes)

    @property
    def cpu_ratio(self) -> float | None:
        return _part(self.cpu_percent, self.cpu_limit_percent)


SORTS: Final[Mapping[str, Callable[[TopRow], float]]] = {
    "calls": lambda row: row.calls_per_second or 0.0,
    "errors": lambda row: row.error_ratio or 0.0,
    "p95": lambda row: row.p95_seconds or 0.0,
    "cpu": lambda row: row.cpu_percent or 0.0,
    "memory": lambda row: row.memory_ratio or 0.0,
    "queue": lambda row: float(row.queued + row.in_flight),
    "name": lambda row: 0.0,
}
"""By the largest first; of equals, and of `name`, by name."""
KEYS: Final[Mapping[str, str]] = {
    "c": "calls",
    "e": "errors",
    "p": "p95",
    "u": "cpu",
    "m": "memory",
    "w": "queue",
    "n": "name",
}
"""What a key sorts by."""


def rows_of(before: Look | None, after: Look) -> list[TopRow]:
    """Every plugin, by name. Rates need two looks at the same daemon."""
    same = before is not None and before["daemon"] == after["daemon"]
    earlier = {one["plugin_id"]: one for one in before["plugins"]} if before and same else {}
    span = after["at"] - before["at"] if before is not None else 0.0
    return [
        _row(one, earlier.get(one["plugin_id"]), span)
        for one in sorted(after["plugins"], key=lambda one: str(one["plugin_id"]))
    ]


def ordered(rows: Sequence[TopRow], sort: str) -> list[TopRow]:
    """The largest first."""
    return sorted(rows, key=lambda row: (-SORTS[sort](row), row.plugin_id))


def picture(
    rows: Sequence[TopRow],
    *,
    title: str,
    sort: str,
    width: int,
    height: int,
    keys: bool,
    paint: Paint = without_colours,
) -> list[str]:
    """At most `height` lines of at most `width` columns."""
    width = max(width, NARROWEST)
    shown = ordered(rows, sort)
    room = max(1, height - (4 if keys else 3))
    lines = [
        paint("title", plain(title, width)),
        _sums(rows, paint),
        paint("head", _head(width)[:width]),
        *(_line(row, width, paint) for row in shown[:room]),
    ]
    if len(shown) > room:
        lines[-1] = paint("dim", f"  … and {len(shown) - room + 1} more")
    if keys:
        words = "by  " + "  ".join(f"{key} {name}" for key, name in KEYS.items()) + "   q quit"
        lines.append(paint("dim", words[:width]))
    return lines


# ---------------------------------------------------------------------------------------------


def _row(one: Mapping[str, Any], before: Mapping[str, Any] | None, span: float) -> TopRow:
    calls = judged = failed = None
    buckets: list[int] = []
    if before is not None and span > 0 and one["calls"] >= before["calls"]:
        calls = one["calls"] - before["calls"]
        judged = max(0, one["judged"] - before["judged"])
        failed = max(0, one["failed"] - before["failed"])
        pairs = zip(one["buckets"], before["buckets"] or [0] * len(one["buckets"]), strict=True)
        buckets = [max(0, now - then) for now, then in pairs]
    return TopRow(
        plugin_id=str(one["plugin_id"]),
        status=str(one["status"]),
        sub_state=str(one["sub_state"]),
        calls_per_second=calls / span if calls is not None else None,
        judged_per_second=judged / span if judged is not None else None,
        error_ratio=failed / judged if judged and failed is not None else None,
        p50_seconds=_quantile(one, buckets, 0.5),
        p95_seconds=_quantile(one, buckets, 0.95),
        cpu_percent=one["cpu_percent"],
        cpu_limit_percent=one["cpu_limit_percent"],
        memory_bytes=one["memory_bytes"],
        memory_limit_bytes=one["memory_limit_bytes"],
        in_flight=int(one["in_flight"]),
        queued=int(one["queued"]),
        restarts=int(one["restarts"]),
    )


def _quantile(one: Mapping[str, Any], buckets: Sequence[int], share: float) -> float | None:
    bounds, most = one["bounds"], one["most_seconds"]
    return time_quantile(buckets, bounds, share, least=one["least_seconds"] or 0.0, most=most)


def _part(value: float | None, limit: float | None) -> float | None:
    return value / limit if value is not None and limit else None


def _sums(rows: Sequence[TopRow], paint: Paint) -> str:
    active = sum(row.status == "active" for row in rows)
    failing = sum(row.status == "error" for row in rows)
    rate = sum(row.calls_per_second or 0.0 for row in rows)
    judged = sum(row.judged_per_second or 0.0 for row in rows)
    bad = sum((row.judged_per_second or 0.0) * (row.error_ratio or 0.0) for row in rows)
    parts = [
        f"{active} of {len(rows)} active",
        *([paint("bad", f"{failing} failing")] if failing else []),
        f"{number(rate)} calls/s",
        paint("bad" if judged and bad / judged >= _ERRORS else "good", _errors(judged, bad)),
        f"{sum(row.in_flight for row in rows)} in flight",
        f"{sum(row.queued for row in rows)} queued",
    ]
    return " · ".join(parts)


def _errors(rate: float, bad: float) -> str:
    return f"{100 * bad / rate:.1f} % errors" if rate else "no errors"


def _name_width(width: int) -> int:
    used = 62 + (13 if width >= _STATE_FROM else 0) + (22 if width >= _BYTES_FROM else 0)
    return max(8, min(40, width - used))


def _head(width: int) -> str:
    name = _name_width(width)
    text = f"  {'PLUGIN':<{name}} {'CALLS/S':>7} {'ERR %':>6} {'P50':>7} {'P95':>7} "
    text += f"{'CPU %':>10} {'MEMORY':>10} {'QUEUE':>6}"
    if width >= _BYTES_FROM:
        text += f"  {'OF LIMIT':<20}"
    return text + (f"  {'STATE':<11}" if width >= _STATE_FROM else "")


def _line(row: TopRow, width: int, paint: Paint) -> str:
    sign, style = _STATES.get(row.status, ("?", "dim"))
    name = _name_width(width)
    errors = "-" if row.error_ratio is None else f"{100 * row.error_ratio:.1f}"
    cells = [
        f"{paint(style, sign)} {plain(row.plugin_id, name):<{name}}",
        f"{number(row.calls_per_second):>7}",
        _loud(f"{errors:>6}", (row.error_ratio or 0.0) >= _ERRORS, paint),
        f"{seconds(row.p50_seconds):>7}",
        f"{seconds(row.p95_seconds):>7}",
        _gauge(row.cpu_ratio, _short(row.cpu_percent), paint),
        _gauge(row.memory_ratio, ratio(row.memory_ratio).replace(" ", ""), paint),
        _loud(f"{f'{row.in_flight}+{row.queued}':>6}", row.queued > 0, paint),
    ]
    text = " ".join(cells)
    if width >= _BYTES_FROM:
        known = row.memory_bytes is not None
        of_limit = f"{size(row.memory_bytes)} of {size(row.memory_limit_bytes)}" if known else "-"
        text += f"  {of_limit:<20}"
    return text + (f"  {plain(row.sub_state, 11):<11}" if width >= _STATE_FROM else "")


def _gauge(share: float | None, words: str, paint: Paint) -> str:
    if share is None:
        return f"{'-':>10}"
    style = "bad" if share >= _FULL else "warn" if share >= _BUSY else "good"
    return f"{paint(style, bar(share, 5))} {words:>4}"


def _loud(text: str, when: bool, paint: Paint) -> str:  # noqa: FBT001 - called by position
    return paint("bad", text) if when and text.strip() != "-" else text


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
