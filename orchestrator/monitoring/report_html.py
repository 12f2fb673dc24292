"""The report as one HTML file: no script, nothing from elsewhere, light and dark. Pure.

The page's own policy (`Content-Security-Policy`) lets nothing run and nothing load, should a word
of a plugin's ever get where it must not.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from orchestrator.monitoring.charts import Series, bars, escaped, lines, meter, spark
from orchestrator.monitoring.report_style import STYLE
from orchestrator.monitoring.report_words import (
    Report,
    Weight,
    clock,
    counted,
    moment,
    number,
    percent,
    plain,
    ratio,
    seconds,
    size,
    tool_name,
    worth_doing,
)

_DAY: Final = 86_400
_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)
_SIGNS: Final = {Weight.BAD: "✖", Weight.WARN: "▲", Weight.HINT: "→"}
_RESOURCES: Final[tuple[tuple[str, str, Callable[[float], str]], ...]] = (
    ("memory_bytes", "Memory", size),
    ("cpu_percent", "CPU", lambda value: f"{value:.0f} %"),
    ("disk_bytes", "Disk", size),
    ("network_bytes", "Network", size),
)


def html_report(report: Report) -> str:
    """All of it."""
    title = f"Plugins of {escaped(plain(report['instance'], 60))}, {escaped(report['timeframe'])}"
    body = "".join(
        [
            _header(report),
            _tiles(report),
            _todos(report),
            _over_time(report),
            _plugins(report),
            _budgets(report),
            _resources(report),
            '<div class="pair">',
            _tools(report, "busiest", "Busiest tools"),
            _tools(report, "slowest", "Slowest tools"),
            "</div>",
            '<div class="pair">',
            _callers(report),
            _restarts(report),
            "</div>",
            _refused(report),
            _permissions(report),
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
    return _card("Worth doing", f'<ul class="todos">{rows}</ul>' if rows else none)


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
    return _card(
        "Calls",
        calls,
        note=f"{each} · {_legend('one', 'went well')} {_legend('bad', 'failed')}",
    ) + _card(
        "Time of calls",
        times,
        note=f"{each} · {_legend('two', 'p95')} {_legend('one', 'p50')}",
    )


def _plugins(report: Report) -> str:
    series = report["series"]["plugins"]
    rows = []
    for one in report["plugins"]:
        performance, usage, health = one["performance"], one["usage"], one["health"]
        times, rate = performance["execution_seconds"], performance["success_rate"]
        state = health["plugin_status"] if one["deployed"] else "gone"
        rows.append(
            [
                (
                    f'<span class="state {_class(state)}"></span>'
                    f"<b>{escaped(plain(one['plugin_id'], 63))}</b>"
                    f"<small>{escaped(plain(_about(one), 90))}</small>"
                ),
                number(usage["calls"]),
                spark(series.get(one["plugin_id"], ())),
                percent(rate),
                seconds(times["p50"]),
                seconds(times["p95"]),
                seconds(times["max"]),
                ratio(health["availability"]),
            ]
        )
    head = ["Plugin", "Calls", "Trend", "Success", "p50", "p95", "max", "Up"]
    return _card("Plugins", _table(head, rows, left=1))


def _about(one: Any) -> str:
    health = one["health"]
    if not one["deployed"]:
        return "deployed no more"
    shown = health["detail"] if health["plugin_status"] == "error" else health["sub_state"]
    return " · ".join(part for part in (health["version"], shown) if part)


def _budgets(report: Report) -> str:
    rows = [
        [
            f"<b>{escaped(plain(row['plugin_id'], 63))}</b>",
            meter(row["burn"] or 0.0, words=f"{ratio(row['burn'])} of what may fail"),
            ratio(row["burn"]),
            number(row["failed"]),
            number(row["allowed"]),
            number(row["calls"]),
        ]
        for row in report["error_budget"]["plugins"]
    ]
    note = f"{percent(report['error_budget']['slo_percent'] / 100)} of the calls are to go well"
    head = ["Plugin", "Error budget", "Spent", "Failed", "May fail", "Calls"]
    return _card("Error budgets", _table(head, rows, left=2), note=note, empty=not rows)


def _resources(report: Report) -> str:
    rows = []
    for one in report["plugins"]:
        cells = [_use(one["performance"][field], show) for field, _, show in _RESOURCES]
        if any(cells):
            rows.append([f"<b>{escaped(plain(one['plugin_id'], 63))}</b>", *cells])
    head = ["Plugin", *(name for _, name, _ in _RESOURCES)]
    return _card(
        "Use of limits",
        _table(head, rows, left=len(head)),
        note="filled to the 95th percentile, marked at the highest",
        empty=not rows,
    )


def _use(use: Any, show: Callable[[float], str]) -> str:
    if use["p95"] is None or not use["limit"]:
        return ""
    share, most = use["p95"] / use["limit"], use["max"] / use["limit"]
    words = f"p95 {show(use['p95'])}, highest {show(use['max'])}, limit {show(use['limit'])}"
    return (
        meter(share, most=most, words=words)
        + f"<small>{escaped(show(use['p95']))} of {escaped(show(use['limit']))}</small>"
    )


def _tools(report: Report, which: str, title: str) -> str:
    rows = [
        [
            (
                f"<b>{escaped(plain(tool_name(row['tool']), 64))}</b>"
                f"<small>{escaped(plain(row['plugin_id'], 63))}</small>"
            ),
            number(row["calls"]),
            number(row["failed"]),
            seconds(row["execution_seconds"]["p95"]),
            seconds(row["execution_seconds"]["max"]),
        ]
        for row in report[which]["tools"]
    ]
    head = ["Tool", "Calls", "Failed", "p95", "max"]
    return _card(title, _table(head, rows, left=1), empty=not rows)


def _callers(report: Report) -> str:
    rows = [
        [
            (
                f"<b>{escaped(plain(row['caller'] or '(unnamed)', 80))}</b>"
                f"<small>{escaped(plain(', '.join(map(plain, row['plugins'])), 90))}</small>"
            ),
            number(row["calls"]),
        ]
        for row in report["callers"]
    ]
    return _card("Callers", _table(["Caller", "Calls"], rows, left=1), empty=not rows)


def _restarts(report: Report) -> str:
    rows = [
        [
            f"<b>{escaped(plain(row['plugin_id'], 63))}</b>",
            number(row["restarts"]),
            number(row["oom_kills"]),
            number(row["failed_starts"]),
            ratio(row["availability"]),
        ]
        for row in report["restarts"]
    ]
    head = ["Plugin", "Restarts", "Out of memory", "Failed starts", "Up"]
    return _card("Restarts", _table(head, rows, left=1), empty=not rows)


def _refused(report: Report) -> str:
    rows = [
        [
            f"<b>{escaped(plain(row['plugin_id'], 63))}</b>",
            escaped(counted(row["alerts"])),
            escaped(counted(row["violations"])),
        ]
        for row in report["security"]
    ]
    return _card("Security", _table(["Plugin", "Alerts", "Refused"], rows, left=3), empty=not rows)


def _permissions(report: Report) -> str:
    rows = [
        [
            f"<b>{escaped(plain(row['plugin_id'], 63))}</b>",
            escaped(row["permission"]),
            (
                f'<span class="verdict {_class(row["verdict"])}">'
                f"{escaped(row['verdict'].replace('_', ' '))}</span>"
            ),
            escaped(plain(row["evidence"])),
            "take it away" if row["advise_drop"] else "",
        ]
        for row in report["permissions"]
    ]
    head = ["Plugin", "Permission", "Seen in use", "Why", "Advice"]
    return _card("Permissions not seen in use", _table(head, rows, left=5), empty=not rows)


# -- pieces -------------------------------------------------------------------------------------


def _card(title: str, inside: str, *, note: str = "", empty: bool = False) -> str:
    """`inside` and `note` are markup of ours; nothing at all where there is nothing to show."""
    if empty:
        return f'<section class="card"><h2>{title}</h2><p class="none">None.</p></section>'
    said = f"<p>{note}</p>" if note else ""
    return f'<section class="card"><h2>{title}</h2>{said}{inside}</section>'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int) -> str:
    """`rows` are markup of ours; the first `left` columns are words, the others numbers."""
    sides = ["l" if index < left else "r" for index in range(len(head))]
    top = "".join(f'<th class="{s}">{name}</th>' for s, name in zip(sides, head, strict=True))
    body = "".join(
        "<tr>"
        + "".join(f'<td class="{s}">{cell}</td>' for s, cell in zip(sides, row, strict=True))
        + "</tr>"
        for row in rows
    )
    rows_of = f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="scroll"><table>{rows_of}</table></div>'


def _legend(style: str, name: str) -> str:
    return f'<span class="legend {style}"></span>{name}'


def _class(word: str) -> str:
    """A class of the style, whatever a stranger put there."""
    known = ("active", "inactive", "error", "gone", "unused", "unclear", "not_observable")
    return word if word in known else "inactive"


def _span(step: float) -> str:
    for unit, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if step >= unit:
            many = round(step / unit)
            return name if many == 1 else f"{many} {name}s"
    return f"{step:.0f} s"
