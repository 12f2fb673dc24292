"""The report for a terminal of 80 columns, without colours of its own: `paint` gives them. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from orchestrator.monitoring.report_sections import Section, uses
from orchestrator.monitoring.report_words import (
    Report,
    Weight,
    counted,
    moment,
    number,
    percent,
    plain,
    ratio,
    seconds,
    tool_name,
    worth_doing,
)

WIDTH: Final = 80
Paint = Callable[[str, str], str]
"""(style, text): `title`, `head`, `dim`, `good`, `warn`, `bad`."""
Rows = list[str]
Part = Callable[[Report, Paint], Rows]
_BLOCKS: Final = " ▁▂▃▄▅▆▇█"
_SIGNS: Final[Mapping[str, tuple[str, str]]] = {
    Weight.BAD: ("✖", "bad"),
    Weight.WARN: ("▲", "warn"),
    Weight.HINT: ("·", "dim"),
}
_STATES: Final[Mapping[str, tuple[str, str]]] = {
    "active": ("●", "good"),
    "inactive": ("○", "dim"),
    "error": ("✖", "bad"),
}
_NAME: Final = 20
_TIMES_HEAD: Final = f"{'CALLS':>8} {'FAILED':>7} {'P95':>8} {'MAX':>8}"
_FULL: Final = 0.9
_BUSY: Final = 0.75


def without_colours(style: str, text: str) -> str:
    return text


def text_report(report: Report, paint: Paint = without_colours) -> str:
    """All of it."""
    parts = [_head(report, paint)]
    for section in Section:
        rows = _PARTS[section](report, paint)
        parts.append("\n".join([paint("title", section), *rows]) if rows else "")
    return "\n\n".join(part for part in parts if part) + "\n"


def spark(values: Sequence[float | None]) -> str:
    """A line of blocks; a gap where there is nothing to tell."""
    most = max((value for value in values if value), default=0.0)
    return "".join(
        _BLOCKS[0] if not value or not most else _BLOCKS[max(1, round(8 * value / most))]
        for value in values
    )


def bar(share: float, width: int) -> str:
    """`████░░░░`."""
    full = min(width, max(0, round(share * width)))
    return "█" * full + "░" * (width - full)


def _head(report: Report, paint: Paint) -> str:
    summary, budget = report["summary"], report["error_budget"]
    times = summary["execution_seconds"]
    points = report["series"]["points"]
    spent = budget["burn"]
    state = "good" if spent is None or spent <= 1 else "bad"
    counts = [
        f"{summary['active']} of {summary['plugins']} plugins active",
        *([paint("bad", f"{summary['failing']} failing")] if summary["failing"] else []),
        f"{number(summary['calls'])} calls",
        f"{number(summary['throughput_per_minute'])}/min",
        f"{summary['restarts']} restarts",
    ]
    rows = [
        paint("title", f"Report of {plain(report['instance'], 40)}, {report['timeframe']}"),
        paint("dim", f"{moment(report['begin'])} to {moment(report['end'])} UTC"),
        "",
        " · ".join(counts),
        (
            f"success  {percent(summary['success_rate'])}  "
            f"{paint('dim', 'promised ' + percent(budget['slo_percent'] / 100))}"
        ),
        f"budget   {paint(state, bar(spent or 0.0, 20))} {ratio(spent)} spent",
        (
            f"time     p50 {seconds(times['p50'])} · p95 {seconds(times['p95'])} · "
            f"p99 {seconds(times['p99'])} · max {seconds(times['max'])}"
        ),
        f"calls    {spark([point['calls'] for point in points])}",
        f"failed   {paint('bad', spark([point['failed'] for point in points]))}",
        f"p95      {spark([point['p95'] for point in points])}",
    ]
    return "\n".join(rows)


def _todos(report: Report, paint: Paint) -> Rows:
    rows = []
    for todo in worth_doing(report):
        sign, style = _SIGNS[todo.weight]
        name = plain(todo.plugin_id, _NAME)
        rows.append(f"{paint(style, sign)} {name:<{_NAME}} {plain(todo.what, WIDTH - _NAME - 3)}")
        rows.append(" " * (_NAME + 3) + paint("dim", plain(todo.why, WIDTH - _NAME - 3)))
    return rows


def _plugins(report: Report, paint: Paint) -> Rows:
    series = report["series"]["plugins"]
    rows = [
        paint("head", f"  {'PLUGIN':<{_NAME}} {'CALLS':>8} {'OK':>8} {'P50':>8} {'P95':>8}  TREND")
    ]
    for one in report["plugins"]:
        performance, usage = one["performance"], one["usage"]
        sign, style = _STATES.get(one["health"]["plugin_status"], ("?", "dim"))
        times = performance["execution_seconds"]
        trend = spark(_squeezed(series.get(one["plugin_id"], ()), 20))
        rows.append(
            f"{paint(style, sign if one['deployed'] else '-')} "
            f"{plain(one['plugin_id'], _NAME):<{_NAME}} {number(usage['calls']):>8} "
            f"{percent(performance['success_rate']):>8} {seconds(times['p50']):>8} "
            f"{seconds(times['p95']):>8}  {trend}"
        )
    return rows if report["plugins"] else []


def _budgets(report: Report, paint: Paint) -> Rows:
    return [
        f"  {plain(row['plugin_id'], _NAME):<{_NAME}} "
        f"{paint('bad' if (row['burn'] or 0.0) > 1 else 'good', bar(row['burn'] or 0.0, 16))} "
        f"{ratio(row['burn']):>8}  "
        f"{paint('dim', plain(_spent(row), WIDTH - _NAME - 31))}"
        for row in report["error_budget"]["plugins"]
    ]


def _spent(row: Mapping[str, Any]) -> str:
    return f"{number(row['failed'])} failed, {number(row['allowed'])} may"


def _resources(report: Report, paint: Paint) -> Rows:
    rows = []
    for one in report["plugins"]:
        for use in uses(one["performance"]):
            style = "bad" if use.share >= _FULL else "warn" if use.share >= _BUSY else "good"
            words = f"{use.p95} of {use.limit}, most {use.highest}"
            rows.append(
                f"  {plain(one['plugin_id'], _NAME):<{_NAME}} {use.name.lower():<8}"
                f"{paint(style, bar(use.share, 6))} {ratio(use.share):>5}  "
                f"{paint('dim', plain(words, WIDTH - _NAME - 25))}"
            )
    return rows


def _tools(which: str) -> Part:
    def rows(report: Report, paint: Paint) -> Rows:
        head = f"  {'PLUGIN':<{_NAME}} {'TOOL':<20} {_TIMES_HEAD}"
        named = [
            f"{plain(row['plugin_id'], _NAME):<{_NAME}} {plain(tool_name(row['tool']), 20):<20}"
            for row in report[which]["tools"]
        ]
        return _timed(head, named, report[which]["tools"], paint)

    return rows


def _slowest(report: Report, paint: Paint) -> Rows:
    rows = report["slowest"]["plugins"]
    named = [f"{plain(row['plugin_id'], 41):<41}" for row in rows]
    return _timed(f"  {'PLUGIN':<41} {_TIMES_HEAD}", named, rows, paint)


def _timed(
    head: str, names: Sequence[str], rows: Sequence[Mapping[str, Any]], paint: Paint
) -> Rows:
    shown = [
        f"  {name} {number(row['calls']):>8} {number(row['failed']):>7} "
        f"{seconds(row['execution_seconds']['p95']):>8} "
        f"{seconds(row['execution_seconds']['max']):>8}"
        for name, row in zip(names, rows, strict=True)
    ]
    return [paint("head", head), *shown] if shown else []


def _callers(report: Report, paint: Paint) -> Rows:
    return [
        f"  {plain(row['caller'] or '(unnamed)', 30):<30} {number(row['calls']):>8} calls of "
        f"{plain(', '.join(map(plain, row['plugins'])), 28)}"
        for row in report["callers"]
    ]


def _restarts(report: Report, paint: Paint) -> Rows:
    return [
        f"  {plain(row['plugin_id'], _NAME):<{_NAME}} {row['restarts']} restarts · "
        f"{row['oom_kills']} out of memory · {row['failed_starts']} failed starts · "
        f"up {ratio(row['availability'])}"
        for row in report["restarts"]
    ]


def _refused(report: Report, paint: Paint) -> Rows:
    return [
        f"  {plain(row['plugin_id'], _NAME):<{_NAME}} "
        f"{plain(counted({**row['alerts'], **row['violations']}), WIDTH - _NAME - 3)}"
        for row in report["security"]
    ]


def _permissions(report: Report, paint: Paint) -> Rows:
    return [
        f"  {plain(row['plugin_id'], _NAME):<{_NAME}} {row['permission']:<20} "
        f"{_verdict(row, paint)}"
        for row in report["permissions"]
    ]


def _verdict(row: Mapping[str, Any], paint: Paint) -> str:
    if row["verdict"] == "unused":
        return paint("warn", plain(row["evidence"], WIDTH - _NAME - 24))
    return paint("dim", row["verdict"].replace("_", " "))


def _squeezed(values: Sequence[float], most: int) -> list[float]:
    """At most so many: neighbours are added up."""
    if len(values) <= most:
        return list(values)
    each = -(-len(values) // most)
    return [sum(values[start : start + each]) for start in range(0, len(values), each)]


_PARTS: Final[Mapping[Section, Part]] = {
    Section.WORTH_DOING: _todos,
    Section.PLUGINS: _plugins,
    Section.BUDGETS: _budgets,
    Section.LIMITS: _resources,
    Section.BUSIEST_TOOLS: _tools("busiest"),
    Section.SLOWEST_TOOLS: _tools("slowest"),
    Section.SLOWEST_PLUGINS: _slowest,
    Section.CALLERS: _callers,
    Section.RESTARTS: _restarts,
    Section.SECURITY: _refused,
    Section.PERMISSIONS: _permissions,
}
