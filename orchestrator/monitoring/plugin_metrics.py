"""PluginMetrics: performance, usage, health and security of one plugin within a timeframe. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, Final

from orchestrator.model.limits import ResourceLimits
from orchestrator.model.permissions import Permission
from orchestrator.monitoring.aggregates import Calls, Row
from orchestrator.monitoring.counts import (
    ALERTS,
    EVENT,
    OUTCOME,
    REFUSED,
    RESTARTED,
    STATE,
    Level,
    Sampled,
)
from orchestrator.monitoring.exercise import PermissionUse, Traces, uses
from orchestrator.monitoring.figures import PluginFigures, Timeframe
from orchestrator.monitoring.sketch import Gauge, time_quantile
from orchestrator.monitoring.tally import BOUNDS
from orchestrator.sandbox.observer import CALLERS_FAULT

MIB: Final = 1 << 20
_LEAST_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Newer:
    """A version that is known here and does not run."""

    version: str
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a plugin now, beside the figures."""

    plugin_id: str
    name: str = ""
    version: str = ""
    deployed: bool = True
    status: str = "inactive"
    sub_state: str = ""
    detail: str = ""
    limits: ResourceLimits = field(default_factory=ResourceLimits)
    permissions: tuple[Permission, ...] = ()
    dependencies: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Plugin that it needs → the state of that."""
    core_version: str = ""
    min_core_version: str = ""
    max_core_version: str | None = None
    version_compatible: bool = True
    newer: Newer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds of calls that were begun; None where there was none."""

    average: float | None = None
    min: float | None = None
    max: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None

    @classmethod
    def of(cls, calls: Calls) -> "Times":
        timed = sum(calls.buckets)
        if not timed:
            return cls()  # none was begun, or nobody took the time

        def quantile(share: float) -> float | None:
            return time_quantile(calls.buckets, BOUNDS, share, least=calls.least, most=calls.most)

        return cls(
            average=calls.seconds / timed,
            min=calls.least,
            max=calls.most,
            p50=quantile(0.5),
            p95=quantile(0.95),
            p99=quantile(0.99),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A resource and its limit, in one unit; None where nobody could look."""

    average: float | None = None
    p95: float | None = None
    max: float | None = None
    limit: float | None = None

    @classmethod
    def of(cls, gauge: Gauge, limit: float | None) -> "Use":
        return cls(
            average=gauge.average,
            p95=gauge.quantile(0.95),
            max=gauge.most if gauge.samples else None,
            limit=limit or gauge.limit or None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    execution_seconds: Times
    memory_bytes: Use
    cpu_percent: Use
    disk_bytes: Use
    network_bytes: Use
    """Within the policy's network window."""
    cpu_throttled_ratio: float | None
    """The share of the periods in which it wanted the processor and was held back."""
    success_rate: float | None
    """Calls that went well, of those that were not refused for their caller's own fault."""
    throughput_per_minute: float
    throughput_per_hour: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedCalls:
    """Of one tool or one caller."""

    name: str
    """Empty for a call without a tool."""
    calls: int
    failed: int
    execution_seconds: Times


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    calls: int
    failed: int
    """Not counting what was the caller's own fault."""
    outcomes: Mapping[str, int]
    tools: tuple[NamedCalls, ...]
    """The busiest first."""
    callers: tuple[NamedCalls, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    plugin_status: str
    sub_state: str
    detail: str
    availability: float | None
    """Share of the minutes in which it was active, of those in which it was active or failed."""
    dependency_health: Mapping[str, str]
    version: str
    version_compatible: bool
    core_version: str
    min_core_version: str
    max_core_version: str | None
    restarts: int
    failed_starts: int
    oom_kills: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    alerts: Mapping[str, int]
    violations: Mapping[str, int]
    """What was refused, by rule."""
    permissions: tuple[PermissionUse, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginMetrics:
    """The specification's four groups."""

    plugin_id: str
    deployed: bool
    timeframe: str
    begin: float
    end: float
    watched_seconds: float
    """For how long it was seen within the timeframe."""
    performance: Performance
    usage: Usage
    health: Health
    security: Security

    def as_dict(self) -> dict[str, Any]:
        """Plain, as JSON can hold it."""
        return asdict(self)


def plugin_metrics(
    facts: Facts, found: PluginFigures, timeframe: Timeframe, *, calls_of_others: int = 0
) -> PluginMetrics:
    """Everything of one plugin."""
    row, watched = found.row, watched_seconds(found, timeframe)
    return PluginMetrics(
        plugin_id=facts.plugin_id,
        deployed=facts.deployed,
        timeframe=timeframe.name,
        begin=timeframe.begin,
        end=timeframe.end,
        watched_seconds=watched,
        performance=_performance(facts, row, watched),
        usage=_usage(found),
        health=_health(facts, row),
        security=Security(
            alerts=_numbers(row, EVENT, ALERTS.values()),
            violations={rule: int(number) for rule, number in row.family(REFUSED).items()},
            permissions=uses(
                facts.permissions,
                Traces(
                    row=row,
                    calls_of_others=calls_of_others,
                    page_requests=found.callers.get("ui", Row()).calls.count,
                    watched_seconds=watched,
                ),
            ),
        ),
    )


def watched_seconds(found: PluginFigures, timeframe: Timeframe) -> float:
    """From its first row within the timeframe on; 0 where there is none."""
    if found.first is None:
        return 0.0
    return max(_LEAST_SECONDS, timeframe.end - max(timeframe.begin, float(found.first)))


def judged(row: Row) -> tuple[int, int]:
    """(calls, failed) that the plugin and the orchestrator answer for: no fault of the caller's."""
    excused = sum(int(row.total(f"{OUTCOME}:{name}")) for name in CALLERS_FAULT)
    return row.calls.count - excused, max(0, row.calls.failed - excused)


def success_rate(row: Row) -> float | None:
    """None where nothing was asked for."""
    count, failed = judged(row)
    return (count - failed) / count if count > 0 else None


def oom_kills(row: Row) -> int:
    """The kernel's count, or the runs that were told of: who looks now and then may miss one."""
    return int(max(row.total(Sampled.OOM_KILLS), row.total(f"{EVENT}:out_of_memory")))


def availability(row: Row) -> float | None:
    """None where it was neither: stopped as wanted, or never looked at."""
    active, failed = row.total(f"{STATE}:active"), row.total(f"{STATE}:error")
    return active / (active + failed) if active + failed else None


def named_calls(rows: Mapping[str, Row]) -> tuple[NamedCalls, ...]:
    """The busiest first."""
    found = [
        NamedCalls(
            name=name,
            calls=row.calls.count,
            failed=row.calls.failed,
            execution_seconds=Times.of(row.calls),
        )
        for name, row in rows.items()
    ]
    return tuple(sorted(found, key=lambda one: (-one.calls, one.name)))


def _performance(facts: Facts, row: Row, watched: float) -> Performance:
    limits = facts.limits if facts.deployed else None
    periods = row.total(Sampled.PERIODS)
    minutes = watched / 60

    def use(level: Level, limit: int | None, unit: int = MIB) -> Use:
        return Use.of(row.gauges.get(level, Gauge()), float(limit * unit) if limit else None)

    return Performance(
        execution_seconds=Times.of(row.calls),
        memory_bytes=use(Level.MEMORY, limits.max_memory_mb if limits else None),
        cpu_percent=use(Level.CPU, limits.max_cpu_percent if limits else None, 1),
        disk_bytes=use(Level.DISK, limits.max_disk_mb if limits else None),
        network_bytes=use(Level.NETWORK, limits.max_network_mb if limits else None),
        cpu_throttled_ratio=row.total(Sampled.THROTTLED_PERIODS) / periods if periods else None,
        success_rate=success_rate(row),
        throughput_per_minute=row.calls.count / minutes if minutes else 0.0,
        throughput_per_hour=60 * row.calls.count / minutes if minutes else 0.0,
    )


def _usage(found: PluginFigures) -> Usage:
    return Usage(
        calls=found.row.calls.count,
        failed=judged(found.row)[1],
        outcomes={name: int(number) for name, number in found.row.family(OUTCOME).items()},
        tools=named_calls(found.tools),
        callers=named_calls(found.callers),
    )


def _health(facts: Facts, row: Row) -> Health:
    return Health(
        plugin_status=facts.status,
        sub_state=facts.sub_state,
        detail=facts.detail,
        availability=availability(row),
        dependency_health=dict(facts.dependencies),
        version=facts.version,
        version_compatible=facts.version_compatible,
        core_version=facts.core_version,
        min_core_version=facts.min_core_version,
        max_core_version=facts.max_core_version,
        restarts=int(row.total(RESTARTED)),
        failed_starts=int(row.total(f"{EVENT}:start_failed")),
        oom_kills=oom_kills(row),
    )


def _numbers(row: Row, family: str, names: Iterable[str]) -> dict[str, int]:
    found = {name: int(row.total(f"{family}:{name}")) for name in names}
    return {name: number for name, number in found.items() if number}
