"""The report over the whole ecosystem within a timeframe: figures in, one dictionary out. Pure.

Everything in it follows from the plugins' metrics; what is shown and in which order is decided
here, how it looks in report_text.py, report_html.py and report_markdown.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from orchestrator.model.limits import ResourceLimits
from orchestrator.model.permissions import PermissionKind
from orchestrator.model.policy import AnalyticsPolicy
from orchestrator.monitoring.aggregates import Row, merged
from orchestrator.monitoring.counts import Level
from orchestrator.monitoring.exercise import Verdict
from orchestrator.monitoring.figures import PluginFigures, Timeframe, all_calls, calls_made_by
from orchestrator.monitoring.plugin_metrics import (
    Facts,
    NamedCalls,
    PluginMetrics,
    Times,
    judged,
    plugin_metrics,
    watched_seconds,
)
from orchestrator.monitoring.report_words import worth_doing
from orchestrator.monitoring.sizing import Advice, Case, advise
from orchestrator.monitoring.sketch import Gauge

SHOWN: Final = 10
"""Of the busiest, the slowest and the like."""
LEAST_CALLS: Final = 5
"""Who was called less often is no candidate for the slowest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorBudget:
    """How much may fail, and how much of that did."""

    slo_percent: float
    calls: int
    failed: int
    allowed: float
    """Failures that the promise leaves room for, of so many calls."""
    burn: float | None
    """Failures over those allowed: above 1 the promise is broken. None without a call."""

    @classmethod
    def of(cls, calls: int, failed: int, slo_percent: float) -> "ErrorBudget":
        allowed = calls * (100 - slo_percent) / 100
        return cls(
            slo_percent=slo_percent,
            calls=calls,
            failed=failed,
            allowed=allowed,
            burn=failed / allowed if allowed > 0 else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the report needs beside plugins."""

    instance: str
    policy: AnalyticsPolicy
    ceilings: ResourceLimits


def report(
    facts: Sequence[Facts],
    found: Mapping[str, PluginFigures],
    timeframe: Timeframe,
    around: Surroundings,
) -> dict[str, Any]:
    """Plain, as JSON can hold it."""
    every = [*facts, *_gone(facts, found)]
    nobody = PluginFigures()
    metrics = [
        plugin_metrics(
            one,
            found.get(one.plugin_id, nobody),
            timeframe,
            calls_of_others=calls_made_by(one.plugin_id, found),
        )
        for one in every
    ]
    slo = around.policy.slo_percent
    budgets = {
        one.plugin_id: ErrorBudget.of(*judged(found.get(one.plugin_id, nobody).row), slo)
        for one in metrics
    }
    told = {
        "instance": around.instance,
        "timeframe": timeframe.name,
        "begin": timeframe.begin,
        "end": timeframe.end,
        "watched_seconds": max((one.watched_seconds for one in metrics), default=0.0),
        "summary": _summary(metrics, found),
        "error_budget": {
            **asdict(_whole(budgets.values(), slo)),
            "plugins": [
                {"plugin_id": plugin_id, **asdict(budget)}
                for plugin_id, budget in _worst_first(budgets)
                if budget.calls
            ],
        },
        "series": _series(found, timeframe),
        "plugins": [one.as_dict() for one in _busiest(metrics)],
        "busiest": {
            "plugins": [_line(one) for one in _busiest(metrics)[:SHOWN] if one.usage.calls],
            "tools": _tools(metrics, lambda tool: float(tool.calls), least=1),
        },
        "slowest": {
            "plugins": [_line(one) for one in _slowest(metrics)],
            "tools": _tools(
                metrics, lambda tool: tool.execution_seconds.p95 or 0.0, least=LEAST_CALLS
            ),
        },
        "callers": _callers(metrics),
        "advice": [asdict(advice) for advice in _advice(facts, found, timeframe, around)],
        "restarts": _restarts(metrics),
        "security": _security(metrics),
        "permissions": _permissions(metrics),
        "versions": [
            {"plugin_id": one.plugin_id, "deployed": one.version, **asdict(one.newer)}
            for one in facts
            if one.newer is not None
        ],
    }
    return {**told, "worth_doing": [asdict(todo) for todo in worth_doing(told)]}


def _gone(facts: Sequence[Facts], found: Mapping[str, PluginFigures]) -> list[Facts]:
    """Plugins that were called within the timeframe and are deployed no more."""
    known = {one.plugin_id for one in facts}
    return [
        Facts(plugin_id=plugin_id, deployed=False, detail="deployed no more")
        for plugin_id in found
        if plugin_id not in known
    ]


def _summary(
    metrics: Sequence[PluginMetrics], found: Mapping[str, PluginFigures]
) -> dict[str, Any]:
    counts = [judged(one.row) for one in found.values()]
    calls, failed = sum(count for count, _ in counts), sum(bad for _, bad in counts)
    deployed = [one for one in metrics if one.deployed]
    watched = max((one.watched_seconds for one in metrics), default=0.0)
    total = all_calls(found)
    return {
        "plugins": len(deployed),
        "active": sum(one.health.plugin_status == "active" for one in deployed),
        "failing": sum(one.health.plugin_status == "error" for one in deployed),
        "calls": total.count,
        "failed": failed,
        "success_rate": (calls - failed) / calls if calls else None,
        "throughput_per_minute": 60 * total.count / watched if watched else 0.0,
        "throughput_per_hour": 3_600 * total.count / watched if watched else 0.0,
        "execution_seconds": asdict(Times.of(total)),
        "restarts": sum(one.health.restarts for one in metrics),
        "oom_kills": sum(one.health.oom_kills for one in metrics),
        "alerts": sum(sum(one.security.alerts.values()) for one in metrics),
        "violations": sum(sum(one.security.violations.values()) for one in metrics),
    }


def _whole(budgets: Any, slo_percent: float) -> ErrorBudget:
    parts = list(budgets)
    return ErrorBudget.of(
        sum(one.calls for one in parts), sum(one.failed for one in parts), slo_percent
    )


def _worst_first(budgets: Mapping[str, ErrorBudget]) -> list[tuple[str, ErrorBudget]]:
    return sorted(budgets.items(), key=lambda pair: (-(pair[1].burn or 0.0), pair[0]))


def _series(found: Mapping[str, PluginFigures], timeframe: Timeframe) -> dict[str, Any]:
    points = []
    for at in timeframe.points():
        rows = [one.points[at] for one in found.values() if at in one.points]
        row = merged(rows)
        calls, failed = judged(row)
        times = Times.of(row.calls)
        points.append(
            {
                "at": at,
                "calls": row.calls.count,
                "failed": failed,
                "success_rate": (calls - failed) / calls if calls else None,
                "p50": times.p50,
                "p95": times.p95,
                "memory_bytes": _sum_of_averages(rows, Level.MEMORY),
                "cpu_percent": _sum_of_averages(rows, Level.CPU),
                "watched": bool(rows),
            }
        )
    return {
        "point_seconds": timeframe.point_seconds,
        "points": points,
        "plugins": {
            plugin_id: [one.points.get(at, Row()).calls.count for at in timeframe.points()]
            for plugin_id, one in found.items()
        },
    }


def _sum_of_averages(rows: Sequence[Row], level: Level) -> float | None:
    found = [row.gauges.get(level, Gauge()).average for row in rows]
    known = [value for value in found if value is not None]
    return sum(known) if known else None


def _line(one: PluginMetrics) -> dict[str, Any]:
    return {
        "plugin_id": one.plugin_id,
        "calls": one.usage.calls,
        "failed": one.usage.failed,
        "success_rate": one.performance.success_rate,
        "execution_seconds": asdict(one.performance.execution_seconds),
    }


def _busiest(metrics: Sequence[PluginMetrics]) -> list[PluginMetrics]:
    return sorted(metrics, key=lambda one: (-one.usage.calls, one.plugin_id))


def _slowest(metrics: Sequence[PluginMetrics]) -> list[PluginMetrics]:
    enough = [one for one in metrics if one.usage.calls >= LEAST_CALLS]
    enough.sort(key=lambda one: -(one.performance.execution_seconds.p95 or 0.0))
    return enough[:SHOWN]


def _tools(metrics: Sequence[PluginMetrics], order: Any, *, least: int) -> list[dict[str, Any]]:
    found: list[tuple[str, NamedCalls]] = [
        (one.plugin_id, tool) for one in metrics for tool in one.usage.tools if tool.calls >= least
    ]
    found.sort(key=lambda pair: -order(pair[1]))
    return [
        {"plugin_id": plugin_id, "tool": tool.name, **_without_name(tool)}
        for plugin_id, tool in found[:SHOWN]
    ]


def _without_name(calls: NamedCalls) -> dict[str, Any]:
    plain = asdict(calls)
    del plain["name"]
    return plain


def _callers(metrics: Sequence[PluginMetrics]) -> list[dict[str, Any]]:
    totals: dict[str, dict[str, Any]] = {}
    for one in metrics:
        for caller in one.usage.callers:
            total = totals.setdefault(
                caller.name, {"caller": caller.name, "calls": 0, "failed": 0, "plugins": []}
            )
            total["calls"] += caller.calls
            total["failed"] += caller.failed
            total["plugins"].append(one.plugin_id)
    return sorted(totals.values(), key=lambda row: (-row["calls"], row["caller"]))[:SHOWN]


def _advice(
    facts: Sequence[Facts],
    found: Mapping[str, PluginFigures],
    timeframe: Timeframe,
    around: Surroundings,
) -> list[Advice]:
    return [
        advice
        for one in facts
        if (mine := found.get(one.plugin_id)) is not None
        for advice in advise(
            Case(
                plugin_id=one.plugin_id,
                limits=one.limits,
                ceilings=around.ceilings,
                granted=frozenset(PermissionKind(it.kind) for it in one.permissions),
                row=mine.row,
                watched_seconds=watched_seconds(mine, timeframe),
            )
        )
    ]


def _restarts(metrics: Sequence[PluginMetrics]) -> list[dict[str, Any]]:
    rows = [
        {
            "plugin_id": one.plugin_id,
            "restarts": one.health.restarts,
            "failed_starts": one.health.failed_starts,
            "oom_kills": one.health.oom_kills,
            "availability": one.health.availability,
        }
        for one in metrics
        if one.health.restarts or one.health.failed_starts or one.health.oom_kills
    ]
    return sorted(rows, key=lambda row: (-int(str(row["restarts"])), str(row["plugin_id"])))


def _security(metrics: Sequence[PluginMetrics]) -> list[dict[str, Any]]:
    rows = [
        {
            "plugin_id": one.plugin_id,
            "alerts": dict(one.security.alerts),
            "violations": dict(one.security.violations),
        }
        for one in metrics
        if one.security.alerts or one.security.violations
    ]
    return sorted(rows, key=lambda row: (-_many(row), str(row["plugin_id"])))


def _many(row: Mapping[str, Any]) -> int:
    return int(sum(row["alerts"].values()) + sum(row["violations"].values()))


def _permissions(metrics: Sequence[PluginMetrics]) -> list[dict[str, Any]]:
    """Those that were not seen to be used; what was used needs no words."""
    return [
        {"plugin_id": one.plugin_id, **asdict(use)}
        for one in metrics
        for use in one.security.permissions
        if use.verdict is not Verdict.USED
    ]
