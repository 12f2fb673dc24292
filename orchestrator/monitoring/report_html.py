"""The report as one HTML file: no script, nothing from elsewhere, light and dark. Pure.

The page's own policy (`Content-Security-Policy`) lets nothing run and nothing load, should a word
of a plugin's ever get where it must not.
"""

from collections.abc import Callable, Mapping
from typing import Final

from orchestrator.monitoring.charts import Series, bars, escaped, lines, meter
from orchestrator.monitoring.report_sections import Section
from orchestrator.monitoring.report_style import STYLE
from orchestrator.monitoring.report_tables import (
    budgets,
    callers,
    card,
    permissions,
    plugins,
    refused,
    resources,
    restarts,
    slowest,
    tools,
)
from orchestrator.monitoring.report_words import (
    Report,
    Weight,
    clock,
    moment,
    number,
    percent,
    plain,
    ratio,
    seconds,
    worth_doing,
)

_DAY: Final = 86_400
_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)
_PAIRS: Final = {
    Section.BUSIEST_TOOLS: Section.SLOWEST_TOOLS,
    Section.SLOWEST_PLUGINS: Section.CALLERS,
    Section.RESTARTS: Section.SECURITY,
}
"""Side by side."""
_SIGNS: Final = {Weight.BAD: "✖", Weight.WARN: "▲", Weight.HINT: "→"}


def html_report(report: Report) -> str:
    """All of it."""
    title = f"Plugins of {escaped(plain(report['instance'], 60))}, {escaped(report['timeframe'])}"
    body = "".join([_header(report), _tiles(report), *map(_told(report), Section)])
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escaped(_POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n"
        "</main>\n</body>\n</html>\n"
    )


def _told(report: Report) -> Callable[[Section], str]:
    """A section's card, beside its neighbour where two are a pair."""

    def told(section: Section) -> str:
        before = '<div class="pair">' if section in _PAIRS else ""
        after = "</div>" if section in _PAIRS.values() else ""
        return f"{before}{_PARTS[section](report)}{after}"

    return told


def _header(report: Report) -> str:
    return (
        f"<header><h1>Plugins of {escaped(plain(report['instance'], 60))}</h1>"
        f"<p>The last {escaped(report['timeframe'])}: "
        f"{moment(report['begin'])} to {moment(report['end'])} UTC</p></header>"
    )


def _tiles(report: Report) -> str:
    summary, budget = report["summary"], report["error_budget"]
    times, burn = summary["execution_seconds"], budget["burn"]
    promised = percent(budget["slo_percent"] / 100)
    late = burn is not None and burn > 1
    failing = summary["failing"]
    return (
        '<section class="tiles">'
        + _tile(
            "Plugins active",
            f"{summary['active']} <small>of {summary['plugins']}</small>",
            f"{failing} failing" if failing else "none failing",
            "bad" if failing else "",
        )
        + _tile(
            "Calls",
            number(summary["calls"]),
            f"{number(summary['throughput_per_minute'])} a minute",
        )
        + _tile(
            "Success",
            escaped(percent(summary["success_rate"])),
            f"promised {promised}",
            "bad" if late else "",
        )
        + _tile(
            "Budget spent",
            ratio(burn),
            meter(burn or 0.0, words=f"{ratio(burn)} of what may fail"),
            "bad" if late else "",
        )
        + _tile("p95 of calls", seconds(times["p95"]), f"p50 {seconds(times['p50'])}")
        + _tile(
            "Restarts",
            number(summary["restarts"]),
            f"{summary['oom_kills']} out of memory",
            "warn" if summary["restarts"] else "",
        )
        + _tile(
            "Refused",
            number(summary["violations"]),
            f"{summary['alerts']} alerts",
            "warn" if summary["alerts"] else "",
        )
        + "</section>"
    )


def _tile(name: str, value: str, below: str, state: str = "") -> str:
    """`value` and `below` are markup of ours."""
    return f'<div class="tile {state}"><h2>{name}</h2><b>{value}</b><span>{below}</span></div>'


def _todos(report: Report) -> str:
    rows = "".join(
        f'<li class="{todo.weight}"><i>{_SIGNS[todo.weight]}</i><div>'
        f"<b>{escaped(plain(todo.plugin_id, 63))}</b> {escaped(plain(todo.what))}"
        f"<small>{escaped(plain(todo.why))}</small></div></li>"
        for todo in worth_doing(report)
    )
    none = '<p class="none">Nothing: every plugin keeps what was promised of it.</p>'
    told = card(Section.WORTH_DOING, f'<ul class="todos">{rows}</ul>' if rows else none)
    return told + _over_time(report)


def _over_time(report: Report) -> str:
    points, step = report["series"]["points"], report["series"]["point_seconds"]
    labels = [clock(point["at"], days=step * len(points) > 2 * _DAY) for point in points]
    failed = [float(point["failed"]) for point in points]
    well = [max(0.0, point["calls"] - bad) for point, bad in zip(points, failed, strict=True)]
    calls = bars(
        [
            Series(name="went well", style="one", values=well),
            Series(name="failed", style="bad", values=failed),
        ],
        labels,
        number,
    )
    times = lines(
        [
            Series(name="p95", style="two", values=[point["p95"] for point in points]),
            Series(name="p50", style="one", values=[point["p50"] for point in points]),
        ],
        labels,
        seconds,
    )
    each = f"each {_span(step)}"
    return card(
        "Calls",
        calls,
        note=f"{each} · {_legend('one', 'went well')} {_legend('bad', 'failed')}",
    ) + card(
        "Time of calls",
        times,
        note=f"{each} · {_legend('two', 'p95')} {_legend('one', 'p50')}",
    )


def _legend(style: str, name: str) -> str:
    return f'<span class="legend {style}"></span>{name}'


def _span(step: float) -> str:
    for unit, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if step >= unit:
            many = round(step / unit)
            return name if many == 1 else f"{many} {name}s"
    return f"{step:.0f} s"


_PARTS: Final[Mapping[Section, Callable[[Report], str]]] = {
    Section.WORTH_DOING: _todos,
    Section.PLUGINS: plugins,
    Section.BUDGETS: budgets,
    Section.LIMITS: resources,
    Section.BUSIEST_TOOLS: tools("busiest", Section.BUSIEST_TOOLS),
    Section.SLOWEST_TOOLS: tools("slowest", Section.SLOWEST_TOOLS),
    Section.SLOWEST_PLUGINS: slowest,
    Section.CALLERS: callers,
    Section.RESTARTS: restarts,
    Section.SECURITY: refused,
    Section.PERMISSIONS: permissions,
}
