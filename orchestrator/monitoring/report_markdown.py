"""The report as Markdown, for an issue or a chat. Pure."""

import re
from collections.abc import Sequence
from typing import Final

from orchestrator.monitoring.report_text import spark
from orchestrator.monitoring.report_words import (
    Report,
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

_MARKS: Final = re.compile(r"([\\`*_{}\[\]()#+!|<>~&@:/-])")
"""What Markdown, GitHub's mentions and links among it, would act on."""


def safe(text: object) -> str:
    """A stranger's words, of which nothing becomes markup, a mention or a link."""
    return _MARKS.sub(r"\\\1", plain(text)).replace("\\@", "@\N{ZERO WIDTH NON-JOINER}")


def markdown_report(report: Report) -> str:
    """All of it."""
    parts = [
        _head(report),
        _todos(report),
        _plugins(report),
        _tools(report),
        _security(report),
        _permissions(report),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(report: Report) -> str:
    summary, budget = report["summary"], report["error_budget"]
    times = summary["execution_seconds"]
    calls = spark([point["calls"] for point in report["series"]["points"]])
    rows = [
        ["plugins active", f"{summary['active']} of {summary['plugins']}"],
        ["calls", f"{number(summary['calls'])}, {number(summary['throughput_per_minute'])}/min"],
        ["success", f"{percent(summary['success_rate'])}, promised {budget['slo_percent']:g} %"],
        ["error budget spent", ratio(budget["burn"])],
        ["time of calls", f"p50 {seconds(times['p50'])}, p95 {seconds(times['p95'])}"],
        ["restarts", number(summary["restarts"])],
        ["refused", f"{number(summary['violations'])}, {number(summary['alerts'])} alerts"],
        ["calls over time", f"`{calls}`"],
    ]
    return (
        f"# Plugins of {safe(report['instance'])}, {report['timeframe']}\n\n"
        f"{moment(report['begin'])} to {moment(report['end'])} UTC\n\n"
        + _table(["what", "figure"], rows)
    )


def _todos(report: Report) -> str:
    rows = [
        f"- **{safe(todo.plugin_id)}**: {safe(todo.what)} ({safe(todo.why)})"
        for todo in worth_doing(report)
    ]
    return "## Worth doing\n\n" + "\n".join(rows) if rows else ""


def _plugins(report: Report) -> str:
    rows = []
    for one in report["plugins"]:
        performance, times = one["performance"], one["performance"]["execution_seconds"]
        rows.append(
            [
                safe(one["plugin_id"]),
                safe(one["health"]["version"]),
                safe(one["health"]["plugin_status"]) if one["deployed"] else "gone",
                number(one["usage"]["calls"]),
                percent(performance["success_rate"]),
                seconds(times["p50"]),
                seconds(times["p95"]),
                number(one["health"]["restarts"]),
            ]
        )
    head = ["plugin", "version", "status", "calls", "success", "p50", "p95", "restarts"]
    return _section("Plugins", head, rows)


def _tools(report: Report) -> str:
    rows = [
        [
            safe(row["plugin_id"]),
            safe(tool_name(row["tool"])),
            number(row["calls"]),
            number(row["failed"]),
            seconds(row["execution_seconds"]["p95"]),
            seconds(row["execution_seconds"]["max"]),
        ]
        for row in report["slowest"]["tools"]
    ]
    return _section("Slowest tools", ["plugin", "tool", "calls", "failed", "p95", "max"], rows)


def _security(report: Report) -> str:
    rows = [
        [safe(row["plugin_id"]), safe(counted(row["alerts"])), safe(counted(row["violations"]))]
        for row in report["security"]
    ]
    return _section("Security", ["plugin", "alerts", "refused"], rows)


def _permissions(report: Report) -> str:
    rows = [
        [
            safe(row["plugin_id"]),
            safe(row["permission"]),
            safe(row["verdict"].replace("_", " ")),
            safe(row["evidence"]),
            "take it away" if row["advise_drop"] else "",
        ]
        for row in report["permissions"]
    ]
    head = ["plugin", "permission", "seen in use", "why", "advice"]
    return _section("Permissions not seen in use", head, rows)


def _section(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return f"## {title}\n\n{_table(head, rows)}" if rows else ""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
