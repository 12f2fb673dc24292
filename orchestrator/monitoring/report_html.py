"""The report as one HTML file: no script, nothing from elsewhere, light and dark. Pure.

The page's own policy (`Content-Security-Policy`) lets nothing run and nothing load, should a word
of a plugin's ever get where it must not.
"""

from typing import Final

from orchestrator.monitoring.charts import Series, bars, escaped, lines, meter
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
_SIGNS: Final = {Weight.BAD: "✖", Weight.WARN: "▲", Weight.HINT: "→"}


def html_report(report: Report) -> str:
    """All of it."""
    title = f"Plugins of {escaped(plain(report['instance'], 60))}, {escaped(report['timeframe'])}"
    body = "".join(
        [
            _header(report),
            _tiles(report),
            _todos(report),
            _over_time(report),
            plugins(report),
            budgets(report),
            resources(report),
            '<div class="pair">',
            tools(report, "busiest", "Busiest tools"),
            tools(report, "slowest", "Slowest tools"),
            "</div>",
            '<div class="pair">',
            callers(report),
            restarts(report),
            "</div>",
            refused(report),
            permissions(report),
        ]
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escaped(_POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n"
        "</main>\n</body>\n</html>\n"
    )


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
    return card("Worth doing", f'<ul class="todos">{rows}</ul>' if rows else none)


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
