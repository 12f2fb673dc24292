"""The report as Markdown, for an issue or a chat. Pure."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from orchestrator.monitoring.report_sections import Section, uses
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

_TIMES: Final = ("calls", "failed", "p95", "max")
_MARKS: Final = re.compile(r"([\\`*_{}\[\]()#+!|<>~&@:/-])")
"""What Markdown, GitHub's mentions and links among it, would act on."""


def safe(text: object) -> str:
    """A stranger's words, of which nothing becomes markup, a mention or a link."""
    return _MARKS.sub(r"\\\1", plain(text)).replace("\\@", "@\N{ZERO WIDTH NON-JOINER}")


def markdown_report(report: Report) -> str:
    """All of it."""
    told = [(section, _PARTS[section](report)) for section in Section]
    parts = [_head(report), *(f"## {section}\n\n{text}" for section, text in told if text)]
    return "\n\n".join(parts) + "\n"


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
    return "\n".join(rows)


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
    return _table(head, rows)


def _budgets(report: Report) -> str:
    rows = [
        [
            safe(row["plugin_id"]),
            ratio(row["burn"]),
            number(row["failed"]),
            number(row["allowed"]),
            number(row["calls"]),
        ]
        for row in report["error_budget"]["plugins"]
    ]
    return _table(["plugin", "spent", "failed", "may fail", "calls"], rows)


def _limits(report: Report) -> str:
    rows = [
        [safe(one["plugin_id"]), use.name, ratio(use.share), use.p95, use.highest, use.limit]
        for one in report["plugins"]
        for use in uses(one["performance"])
    ]
    return _table(["plugin", "limit of", "used", "p95", "highest", "limit"], rows)


def _tools(which: str) -> Callable[[Report], str]:
    def told(report: Report) -> str:
        rows = [
            [safe(row["plugin_id"]), safe(tool_name(row["tool"])), *_timed(row)]
            for row in report[which]["tools"]
        ]
        return _table(["plugin", "tool", *_TIMES], rows)

    return told


def _slowest(report: Report) -> str:
    rows = [[safe(row["plugin_id"]), *_timed(row)] for row in report["slowest"]["plugins"]]
    return _table(["plugin", *_TIMES], rows)


def _timed(row: Mapping[str, Any]) -> list[str]:
    times = row["execution_seconds"]
    return [
        number(row["calls"]),
        number(row["failed"]),
        seconds(times["p95"]),
        seconds(times["max"]),
    ]


def _callers(report: Report) -> str:
    rows = [
        [
            safe(row["caller"] or "(unnamed)"),
            number(row["calls"]),
            number(row["failed"]),
            safe(", ".join(map(plain, row["plugins"]))),
        ]
        for row in report["callers"]
    ]
    return _table(["caller", "calls", "failed", "of"], rows)


def _restarts(report: Report) -> str:
    rows = [
        [
            safe(row["plugin_id"]),
            number(row["restarts"]),
            number(row["oom_kills"]),
            number(row["failed_starts"]),
            ratio(row["availability"]),
        ]
        for row in report["restarts"]
    ]
    return _table(["plugin", "restarts", "out of memory", "failed starts", "up"], rows)


def _security(report: Report) -> str:
    rows = [
        [safe(row["plugin_id"]), safe(counted(row["alerts"])), safe(counted(row["violations"]))]
        for row in report["security"]
    ]
    return _table(["plugin", "alerts", "refused"], rows)


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
    return _table(head, rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Nothing where there are no rows."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) if rows else ""


_PARTS: Final[Mapping[Section, Callable[[Report], str]]] = {
    Section.WORTH_DOING: _todos,
    Section.PLUGINS: _plugins,
    Section.BUDGETS: _budgets,
    Section.LIMITS: _limits,
    Section.BUSIEST_TOOLS: _tools("busiest"),
    Section.SLOWEST_TOOLS: _tools("slowest"),
    Section.SLOWEST_PLUGINS: _slowest,
    Section.CALLERS: _callers,
    Section.RESTARTS: _restarts,
    Section.SECURITY: _security,
    Section.PERMISSIONS: _permissions,
}
