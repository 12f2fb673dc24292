"""The tables of the HTML report, one card each. Pure.

All that is put together here is markup; what comes from elsewhere goes through `escaped`.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from orchestrator.monitoring.charts import escaped, meter, spark
from orchestrator.monitoring.report_sections import RESOURCES, LimitUse, Section, uses
from orchestrator.monitoring.report_words import (
    Report,
    counted,
    number,
    percent,
    plain,
    ratio,
    seconds,
    tool_name,
)

_TIMES: Final = ("Calls", "Failed", "p95", "max")


def plugins(report: Report) -> str:
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
    return card(Section.PLUGINS, _table(head, rows, left=1), empty=not rows)


def _about(one: Any) -> str:
    health = one["health"]
    if not one["deployed"]:
        return "deployed no more"
    shown = health["detail"] if health["plugin_status"] == "error" else health["sub_state"]
    return " · ".join(part for part in (health["version"], shown) if part)


def budgets(report: Report) -> str:
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
    return card(Section.BUDGETS, _table(head, rows, left=2), note=note, empty=not rows)


def resources(report: Report) -> str:
    rows = []
    for one in report["plugins"]:
        known = {use.name: _use(use) for use in uses(one["performance"])}
        if known:
            name = f"<b>{escaped(plain(one['plugin_id'], 63))}</b>"
            rows.append([name, *(known.get(name, "") for _, name, _ in RESOURCES)])
    head = ["Plugin", *(name for _, name, _ in RESOURCES)]
    return card(
        Section.LIMITS,
        _table(head, rows, left=len(head)),
        note="filled to the 95th percentile, marked at the highest",
        empty=not rows,
    )


def _use(use: LimitUse) -> str:
    words = f"p95 {use.p95}, highest {use.highest}, limit {use.limit}"
    return (
        meter(use.share, most=use.most, words=words)
        + f"<small>{escaped(use.p95)} of {escaped(use.limit)}</small>"
    )


def slowest(report: Report) -> str:
    rows = [
        [f"<b>{escaped(plain(row['plugin_id'], 63))}</b>", *_timed(row)]
        for row in report["slowest"]["plugins"]
    ]
    return card(Section.SLOWEST_PLUGINS, _table(["Plugin", *_TIMES], rows, left=1), empty=not rows)


def _timed(row: Any) -> list[str]:
    times = row["execution_seconds"]
    return [
        number(row["calls"]),
        number(row["failed"]),
        seconds(times["p95"]),
        seconds(times["max"]),
    ]


def tools(which: str, title: str) -> Callable[[Report], str]:
    def told(report: Report) -> str:
        rows = [
            [
                (
                    f"<b>{escaped(plain(tool_name(row['tool']), 64))}</b>"
                    f"<small>{escaped(plain(row['plugin_id'], 63))}</small>"
                ),
                *_timed(row),
            ]
            for row in report[which]["tools"]
        ]
        return card(title, _table(["Tool", *_TIMES], rows, left=1), empty=not rows)

    return told


def callers(report: Report) -> str:
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
    return card(Section.CALLERS, _table(["Caller", "Calls"], rows, left=1), empty=not rows)


def restarts(report: Report) -> str:
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
    return card(Section.RESTARTS, _table(head, rows, left=1), empty=not rows)


def refused(report: Report) -> str:
    rows = [
        [
            f"<b>{escaped(plain(row['plugin_id'], 63))}</b>",
            escaped(counted(row["alerts"])),
            escaped(counted(row["violations"])),
        ]
        for row in report["security"]
    ]
    return card(
        Section.SECURITY, _table(["Plugin", "Alerts", "Refused"], rows, left=3), empty=not rows
    )


def permissions(report: Report) -> str:
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
    return card(Section.PERMISSIONS, _table(head, rows, left=5), empty=not rows)


# -- pieces -------------------------------------------------------------------------------------


def card(title: str, inside: str, *, note: str = "", empty: bool = False) -> str:
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


def _class(word: str) -> str:
    """A class of the style, whatever a stranger put there."""
    known = ("active", "inactive", "error", "gone", "unused", "unclear", "not_observable")
    return word if word in known else "inactive"
