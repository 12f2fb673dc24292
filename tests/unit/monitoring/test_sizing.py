"""Right-sizing: each rule where it speaks and where it is silent, and what no advice ever does."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.model.limits import ResourceLimits
from orchestrator.model.permissions import PermissionKind
from orchestrator.model.policy import SecurityPolicy
from orchestrator.monitoring.aggregates import Calls, Row
from orchestrator.monitoring.counts import Level, Sampled
from orchestrator.monitoring.sizing import RULES, Advice, Case, Direction, advise
from orchestrator.monitoring.sketch import Gauge
from tests.unit.pages import table

MIB = 1 << 20
WEEK = 7 * 86_400.0
ALL = frozenset(PermissionKind)
CEILINGS = SecurityPolicy().ceilings


def _gauge(*values: float, times: int = 100) -> Gauge:
    return Gauge.merged([Gauge.of(value) for value in values for _ in range(times)])


def _case(row: Row, *, watched: float = WEEK, granted: Any = ALL, **limits: int) -> Case:
    return Case(
        plugin_id="a",
        limits=ResourceLimits(**limits),
        ceilings=CEILINGS,
        granted=granted,
        row=row,
        watched_seconds=watched,
    )


def _told(case: Case) -> list[tuple[str, str, int, str]]:
    return [(one.limit, one.direction, one.to, one.evidence) for one in advise(case)]


def test_nothing_is_advised_of_what_was_not_seen() -> None:
    assert _told(_case(Row(), max_memory_mb=2_000, max_cpu_percent=200)) == []


ROWS: tuple[tuple[str, Row, dict[str, int], tuple[str, str, int, str]], ...] = (
    (
        "killed for memory",
        Row(counts={Sampled.OOM_KILLS: 2.0, "event:out_of_memory": 1.0}),
        {"max_memory_mb": 100},
        ("max_memory_mb", "raise", 160, "the kernel killed for memory 2 times"),
    ),
    (
        "near the memory limit",
        Row(gauges={Level.MEMORY: _gauge(95 * MIB)}),
        {"max_memory_mb": 100},
        ("max_memory_mb", "raise", 160, "p95 95 % of the limit, at most 95 %"),
    ),
    (
        "far from the memory limit",
        Row(gauges={Level.MEMORY: _gauge(100 * MIB)}),
        {"max_memory_mb": 1_000},
        ("max_memory_mb", "lower", 160, "never above 10 % of the limit, p95 10 %"),
    ),
    (
        "throttled",
        Row(
            counts={
                Sampled.PERIODS: 1_000.0,
                Sampled.THROTTLED_PERIODS: 300.0,
                Sampled.THROTTLED_SECONDS: 12.4,
            }
        ),
        {"max_cpu_percent": 10},
        ("max_cpu_percent", "raise", 15, "held back in 30 % of the periods, 12 s in all"),
    ),
    (
        "far from the CPU limit",
        Row(gauges={Level.CPU: _gauge(10.0)}),
        {"max_cpu_percent": 100},
        ("max_cpu_percent", "lower", 15, "never above 10 % of the limit, p95 10 %"),
    ),
    (
        "disk nearly full",
        Row(gauges={Level.DISK: _gauge(49 * MIB)}),
        {"max_disk_mb": 50},
        ("max_disk_mb", "raise", 80, "p95 98 % of the limit, at most 98 %"),
    ),
    (
        "disk nearly empty",
        Row(gauges={Level.DISK: _gauge(10 * MIB)}),
        {"max_disk_mb": 500},
        ("max_disk_mb", "lower", 50, "never above 2 % of the limit, p95 2 %"),
    ),
    (
        "quota hit",
        Row(counts={"refused:quota_exceeded": 3.0, "event:quota_exceeded": 1.0}),
        {"max_network_mb": 10},
        ("max_network_mb", "raise", 15, "the quota was hit 4 times"),
    ),
    (
        "network hardly used",
        Row(gauges={Level.NETWORK: _gauge(1 * MIB)}),
        {"max_network_mb": 100},
        ("max_network_mb", "lower", 10, "never above 1 % of the limit, p95 1 %"),
    ),
    (
        "no room for calls",
        Row(calls=Calls(count=1_000), counts={"outcome:overloaded": 20.0}),
        {"max_concurrent_requests": 5},
        ("max_concurrent_requests", "raise", 8, "20 of 1000 calls found no room"),
    ),
    (
        "calls that meet the deadline",
        Row(calls=Calls(count=1_000, most=30.0), counts={"outcome:deadline_exceeded": 20.0}),
        {"max_execution_time_sec": 30},
        ("max_execution_time_sec", "raise", 45, "20 of 1000 calls met the deadline"),
    ),
    (
        "calls that are far from it",
        Row(calls=Calls(count=5_000, most=2.0)),
        {"max_execution_time_sec": 300},
        ("max_execution_time_sec", "lower", 30, "the longest of 5000 calls took 2 s"),
    ),
)


@pytest.mark.parametrize(
    ("row", "limits", "told"), [it[1:] for it in ROWS], ids=[r[0] for r in ROWS]
)
def test_what_was_seen_speaks_for_a_change(
    row: Row, limits: dict[str, int], told: tuple[str, str, int, str]
) -> None:
    assert _told(_case(row, **limits)) == [told]


@pytest.mark.parametrize(
    "row",
    [
        Row(gauges={Level.MEMORY: _gauge(95 * MIB, times=10)}),  # seldom looked at
        Row(gauges={Level.MEMORY: _gauge(70 * MIB)}),  # neither near nor far
        Row(gauges={Level.MEMORY: _gauge(100 * MIB, times=1).plus(_gauge(60 * MIB))}),  # once
        Row(counts={Sampled.PERIODS: 100.0, Sampled.THROTTLED_PERIODS: 90.0}),  # for seconds only
        Row(counts={Sampled.PERIODS: 9_000.0, Sampled.THROTTLED_PERIODS: 900.0}),  # now and then
        Row(calls=Calls(count=100_000), counts={"outcome:overloaded": 20.0}),
        Row(calls=Calls(count=100_000), counts={"outcome:deadline_exceeded": 200.0}),
        Row(calls=Calls(count=999, most=0.1)),
    ],
)
def test_what_says_little_is_passed_over(row: Row) -> None:
    assert _told(_case(row, max_memory_mb=100, max_cpu_percent=10)) == []


def test_a_limit_of_nothing_is_what_somebody_wanted() -> None:
    row = Row(gauges={Level.NETWORK: _gauge(0.0)}, counts={"refused:quota_exceeded": 9.0})

    assert _told(_case(row, max_network_mb=0)) == []


def test_nothing_is_lowered_that_was_watched_for_less_than_a_day() -> None:
    row = Row(gauges={Level.MEMORY: _gauge(10 * MIB), Level.CPU: _gauge(1.0)})

    assert _told(_case(row, watched=86_399.0, max_memory_mb=2_000, max_cpu_percent=200)) == []


def test_cpu_is_not_lowered_where_bursts_were_held_back() -> None:
    held_back = {Sampled.PERIODS: 1_000.0, Sampled.THROTTLED_PERIODS: 20.0}
    row = Row(gauges={Level.CPU: _gauge(1.0)}, counts=held_back)

    assert _told(_case(row, max_cpu_percent=100)) == []


def test_a_limit_of_something_that_is_not_granted_says_nothing() -> None:
    row = Row(
        gauges={Level.DISK: _gauge(49 * MIB), Level.NETWORK: _gauge(0.0)},
        counts={"refused:quota_exceeded": 3.0},
    )

    assert _told(_case(row, granted=frozenset(), max_disk_mb=50, max_network_mb=500)) == []


def test_policys_ceiling_caps_what_is_advised_and_is_told() -> None:
    row = Row(counts={Sampled.OOM_KILLS: 1.0})

    [advice] = advise(_case(row, max_memory_mb=2_000))

    assert (advice.now, advice.to, advice.capped) == (2_000, CEILINGS.max_memory_mb, True)
    assert advice.evidence == "the kernel killed for memory once"


LIMITS = st.builds(
    ResourceLimits,
    max_memory_mb=st.integers(min_value=8, max_value=4_096),
    max_cpu_percent=st.integers(min_value=1, max_value=400),
    max_disk_mb=st.integers(min_value=4, max_value=4_096),
    max_network_mb=st.integers(min_value=0, max_value=2_048),
    max_execution_time_sec=st.integers(min_value=1, max_value=600),
    max_concurrent_requests=st.integers(min_value=1, max_value=128),
)
SEEN = st.builds(
    Row,
    calls=st.builds(
        Calls, count=st.integers(0, 10_000), most=st.floats(min_value=0.0, max_value=400.0)
    ),
    counts=st.dictionaries(
        st.sampled_from(
            [
                *Sampled,
                "outcome:overloaded",
                "outcome:deadline_exceeded",
                "refused:quota_exceeded",
                "event:out_of_memory",
            ]
        ),
        st.floats(min_value=0.0, max_value=1e6),
    ),
    gauges=st.dictionaries(
        st.sampled_from(list(Level)),
        st.floats(min_value=0.0, max_value=5e9).map(_gauge),
    ),
)


@given(LIMITS, SEEN, st.floats(min_value=0.0, max_value=WEEK))
def test_no_advice_goes_below_what_was_seen_or_the_default_or_above_the_ceiling(
    limits: ResourceLimits, row: Row, watched: float
) -> None:
    case = Case(
        plugin_id="a",
        limits=limits,
        ceilings=CEILINGS,
        granted=ALL,
        row=row,
        watched_seconds=watched,
    )
    found = advise(case)

    assert len({one.limit for one in found}) == len(found)
    for one in found:
        assert one.now == getattr(limits, one.limit)
        assert one.evidence
        if one.direction is Direction.RAISE:
            assert one.now <= one.to <= max(getattr(CEILINGS, one.limit), one.now)
            assert one.to > one.now or one.capped
        else:
            _check_lowered(one, row, watched)


def _check_lowered(one: Advice, row: Row, watched: float) -> None:
    assert getattr(ResourceLimits(), one.limit) <= one.to < one.now
    assert watched >= 86_400
    seen = {
        "max_memory_mb": row.gauges.get(Level.MEMORY, Gauge()).most / MIB,
        "max_cpu_percent": row.gauges.get(Level.CPU, Gauge()).most,
        "max_disk_mb": row.gauges.get(Level.DISK, Gauge()).most / MIB,
        "max_network_mb": row.gauges.get(Level.NETWORK, Gauge()).most / MIB,
        "max_execution_time_sec": row.calls.most,
    }
    assert one.to > seen[one.limit]


def test_the_docs_show_the_rules_of_the_code() -> None:
    rows = table("docs/analytics.md", "Limits to raise or lower", first="limit")

    shown = [(row[0], row[1]) for row in rows]
    assert shown == [(rule.limit, str(rule.direction)) for rule in RULES]
