"""Right-sizing: which limits to raise or lower, and what speaks for it. Pure; one table of rules.

The rules are conservative. A limit is raised only where it was seen to hold something up, or is
about to; it is lowered only after a day at least, never below the default, with half as much again
left above the highest that was ever seen. A limit of something that the plugin is not granted says
nothing. Nothing here changes anything: an operator does, in a manifest.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from orchestrator.model.limits import ResourceLimits
from orchestrator.model.permissions import PermissionKind
from orchestrator.monitoring.aggregates import Row
from orchestrator.monitoring.counts import (
    EVENT,
    NETWORKED,
    OUTCOME,
    QUOTA_HIT,
    REFUSED,
    Level,
    Sampled,
)
from orchestrator.monitoring.sketch import Gauge
from orchestrator.sandbox.call import FailureCode

MIB: Final = 1 << 20
LOWER_AFTER_SECONDS: Final = 86_400.0
"""What was watched for less says nothing of what a day brings."""
NEAR: Final = 0.9
IDLE: Final = 0.5
SPARE: Final = 1.5
"""What is left above the highest that was seen."""
LEAST_SAMPLES: Final = 30
LEAST_PERIODS: Final = 600
"""A minute of wanting the processor."""
THROTTLED: Final = 0.25
LEAST_CALLS: Final = 1_000
SHORT: Final = 0.1
"""The longest call against the deadline."""


class Direction(StrEnum):
    RAISE = "raise"
    LOWER = "lower"


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """One limit to change."""

    plugin_id: str
    limit: str
    direction: Direction
    now: int
    to: int
    unit: str
    evidence: str
    capped: bool = False
    """Policy's ceiling is lower than what would be advised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One plugin within a timeframe."""

    plugin_id: str
    limits: ResourceLimits
    ceilings: ResourceLimits
    granted: frozenset[PermissionKind]
    row: Row
    watched_seconds: float
    """For how long it was seen within the timeframe."""

    def gauge(self, level: Level) -> Gauge:
        return self.row.gauges.get(level, Gauge())

    def total(self, *names: str) -> int:
        return int(sum(self.row.total(name) for name in names))

    @property
    def throttled(self) -> float:
        """The share of the periods in which it wanted the processor and was held back."""
        periods = self.row.total(Sampled.PERIODS)
        return self.row.total(Sampled.THROTTLED_PERIODS) / periods if periods else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """`evidence` is empty where the rule does not apply; `to` is what it would take."""

    limit: str
    unit: str
    grain: int
    """What is advised is a multiple of it."""
    of: frozenset[PermissionKind]
    """The limit holds nothing without one of these; empty: it holds always."""
    direction: Direction
    evidence: Callable[[Case], str]
    to: Callable[[Case], float]


def advise(case: Case) -> tuple[Advice, ...]:
    """At most one advice a limit: what has to be raised is not lowered."""
    found: dict[str, Advice] = {}
    for rule in RULES:
        if rule.limit in found or (rule.of and not rule.of & case.granted):
            continue
        if evidence := rule.evidence(case):
            advice = _advice(rule, case, evidence)
            if advice is not None:
                found[rule.limit] = advice
    return tuple(found.values())


def _advice(rule: Rule, case: Case, evidence: str) -> Advice | None:
    now, ceiling = getattr(case.limits, rule.limit), getattr(case.ceilings, rule.limit)
    wished = math.ceil(rule.to(case) / rule.grain) * rule.grain
    lowered = rule.direction is Direction.LOWER
    to = max(wished, _DEFAULTS[rule.limit]) if lowered else min(wished, max(ceiling, now))
    if not lowered and wished <= now:
        return None  # half as much again of nothing: somebody wants it to have none
    if lowered and now - to < max(rule.grain, now // 4):
        return None  # not worth anybody's while
    return Advice(
        plugin_id=case.plugin_id,
        limit=rule.limit,
        direction=rule.direction,
        now=now,
        to=to,
        unit=rule.unit,
        evidence=evidence,
        capped=not lowered and to < wished,
    )


# -- what speaks for a change -------------------------------------------------------------------


def _killed(case: Case) -> str:
    kills = case.total(Sampled.OOM_KILLS)
    runs = case.total(f"{EVENT}:out_of_memory")
    times = max(kills, runs)
    return f"the kernel killed for memory {_times(times)}" if times else ""


def _near(level: Level, limit: str, unit: int) -> Callable[[Case], str]:
    def evidence(case: Case) -> str:
        gauge, most = case.gauge(level), getattr(case.limits, limit) * unit
        high = gauge.quantile(0.95)
        if high is None or not most or gauge.samples < LEAST_SAMPLES or high < NEAR * most:
            return ""
        return (
            f"p95 {100 * high / most:.0f} % of the limit, at most {100 * gauge.most / most:.0f} %"
        )

    return evidence


def _idle(level: Level, limit: str, unit: int, share: float = IDLE) -> Callable[[Case], str]:
    def evidence(case: Case) -> str:
        gauge, most = case.gauge(level), getattr(case.limits, limit) * unit
        short = gauge.samples < LEAST_SAMPLES or case.watched_seconds < LOWER_AFTER_SECONDS
        if short or not most or gauge.most > share * most:
            return ""
        high = gauge.quantile(0.95) or 0.0
        return f"never above {_share(gauge.most / most)} of the limit, p95 {_share(high / most)}"

    return evidence


def _throttled(case: Case) -> str:
    if case.row.total(Sampled.PERIODS) < LEAST_PERIODS or case.throttled < THROTTLED:
        return ""
    seconds = case.row.total(Sampled.THROTTLED_SECONDS)
    return f"held back in {_share(case.throttled)} of the periods, {seconds:.0f} s in all"


def _idle_cpu(case: Case) -> str:
    return "" if case.throttled > 0.01 else _idle(Level.CPU, "max_cpu_percent", 1, 0.3)(case)  # noqa: PLR2004 - a burst now and then


def _quota(case: Case) -> str:
    hits = case.total(f"{EVENT}:{QUOTA_HIT}", f"{REFUSED}:{QUOTA_HIT}")
    return f"the quota was hit {_times(hits)}" if hits else ""


def _refused_calls(case: Case) -> str:
    hits = case.total(f"{OUTCOME}:{FailureCode.OVERLOADED}")
    enough = hits > 0.001 * case.row.calls.count
    return f"{hits} of {case.row.calls.count} calls found no room" if hits and enough else ""


def _late(case: Case) -> str:
    hits = case.total(f"{OUTCOME}:{FailureCode.DEADLINE_EXCEEDED}")
    enough = hits >= 0.01 * case.row.calls.count  # fewer hung, and would hang longer
    return f"{hits} of {case.row.calls.count} calls met the deadline" if hits and enough else ""


def _early(case: Case) -> str:
    calls, most = case.row.calls, case.limits.max_execution_time_sec
    few = calls.count < LEAST_CALLS or case.watched_seconds < LOWER_AFTER_SECONDS
    if few or calls.most > SHORT * most:
        return ""
    return f"the longest of {calls.count} calls took {calls.most:.2g} s"


# -- what to change to --------------------------------------------------------------------------


def _above(level: Level, unit: int, least: int) -> Callable[[Case], float]:
    return lambda case: max(float(least), SPARE * case.gauge(level).most / unit)


def _half_more(limit: str) -> Callable[[Case], float]:
    return lambda case: SPARE * float(getattr(case.limits, limit))


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


_UP, _DOWN = Direction.RAISE, Direction.LOWER
_MEM, _CPU, _DISK, _NET = "max_memory_mb", "max_cpu_percent", "max_disk_mb", "max_network_mb"
_N, _D = Level.NETWORK, Level.DISK
_TIME, _MANY = "max_execution_time_sec", "max_concurrent_requests"
_HOLDS: Final[Mapping[str, frozenset[PermissionKind]]] = {
    _DISK: frozenset({PermissionKind.FILE_SYSTEM_WRITE}),
    _NET: frozenset(NETWORKED),
}
_DEFAULTS: Final[Mapping[str, int]] = ResourceLimits().model_dump()
RULES: Final[tuple[Rule, ...]] = tuple(
    Rule(
        limit=limit,
        unit=unit,
        grain=grain,
        of=_HOLDS.get(limit, frozenset()),
        direction=way,
        evidence=evidence,
        to=to,
    )
    for limit, unit, grain, way, evidence, to in (
        (_MEM, "MiB", 16, _UP, _killed, _half_more(_MEM)),
        (_MEM, "MiB", 16, _UP, _near(Level.MEMORY, _MEM, MIB), _half_more(_MEM)),
        (_MEM, "MiB", 16, _DOWN, _idle(Level.MEMORY, _MEM, MIB), _above(Level.MEMORY, MIB, 16)),
        (_CPU, "%", 5, _UP, _throttled, _half_more(_CPU)),
        (_CPU, "%", 5, _UP, _near(Level.CPU, _CPU, 1), _half_more(_CPU)),
        (_CPU, "%", 5, _DOWN, _idle_cpu, _above(Level.CPU, 1, 5)),
        (_DISK, "MiB", 10, _UP, _near(_D, _DISK, MIB), _half_more(_DISK)),
        (_DISK, "MiB", 10, _DOWN, _idle(_D, _DISK, MIB, 0.3), _above(_D, MIB, 10)),
        (_NET, "MiB", 5, _UP, _quota, _half_more(_NET)),
        (_NET, "MiB", 5, _UP, _near(_N, _NET, MIB), _half_more(_NET)),
        (_NET, "MiB", 5, _DOWN, _idle(_N, _NET, MIB, 0.2), _above(_N, MIB, 5)),
        (_MANY, "calls", 1, _UP, _refused_calls, _half_more(_MANY)),
        (_TIME, "s", 5, _UP, _late, _half_more(_TIME)),
        (_TIME, "s", 5, _DOWN, _early, lambda case: max(5.0, 3 * case.row.calls.most)),
    )
)  # fmt: skip
"""What comes first wins; docs/analytics.md shows the same table."""
