"""Gauges and quantiles, against sorted lists."""

import math
from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.monitoring.sketch import GROWTH, Gauge, time_quantile
from orchestrator.monitoring.tally import BOUNDS

VALUES = st.lists(st.floats(min_value=0.02, max_value=1e13), min_size=1, max_size=200)


def _gauge(values: list[float]) -> Gauge:
    return Gauge.merged([Gauge.of(value, 10.0) for value in values])


def test_one_look_is_what_was_seen() -> None:
    gauge = Gauge.of(80.0, 100.0)

    assert (gauge.samples, gauge.total, gauge.least, gauge.most, gauge.limit) == (
        1,
        80,
        80,
        80,
        100,
    )
    assert (gauge.average, gauge.quantile(0.5)) == (80.0, 80.0)


def test_nothing_was_seen_of_what_nobody_looked_at() -> None:
    assert (Gauge().average, Gauge().quantile(0.95)) == (None, None)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_no_look(value: float) -> None:
    assert Gauge.of(value, 1.0) == Gauge()
    assert Gauge.of(1.0, value) == Gauge()


def test_what_is_below_nothing_counts_as_nothing() -> None:
    assert Gauge.of(-5.0) == Gauge.of(0.0)


@given(VALUES, st.floats(min_value=0.01, max_value=1.0))
def test_a_quantile_is_that_of_the_sorted_list_to_a_twentieth(
    values: list[float], share: float
) -> None:
    true = sorted(values)[max(1, math.ceil(share * len(values))) - 1]

    found = _gauge(values).quantile(share)
    assert found is not None
    assert true / math.sqrt(GROWTH) * 0.99 <= found <= true * math.sqrt(GROWTH) * 1.01


@given(VALUES, VALUES)
def test_looks_merge_to_what_looking_at_all_of_it_gives(
    left: list[float], right: list[float]
) -> None:
    both, direct = _gauge(left).plus(_gauge(right)), _gauge([*left, *right])

    assert (both.samples, both.least, both.most, both.levels) == (
        direct.samples,
        direct.least,
        direct.most,
        direct.levels,
    )
    assert both.total == pytest.approx(direct.total)


@given(VALUES)
def test_a_gauge_is_kept_as_it_was(values: list[float]) -> None:
    gauge = _gauge(values)

    assert Gauge.from_list(gauge.as_list()) == gauge


@given(
    st.lists(st.floats(min_value=1e-5, max_value=60.0), min_size=1, max_size=100),
    st.floats(min_value=0.01, max_value=1.0),
)
def test_a_time_lies_in_the_bucket_in_which_that_of_the_sorted_list_lies(
    times: list[float], share: float
) -> None:
    buckets = [0] * (len(BOUNDS) + 1)
    for time in times:
        buckets[bisect_left(BOUNDS, time)] += 1
    true = sorted(times)[max(1, math.ceil(share * len(times))) - 1]

    found = time_quantile(buckets, BOUNDS, share, least=min(times), most=max(times))
    assert found is not None
    assert min(times) <= found <= max(times)
    index = bisect_left(BOUNDS, true)
    assert (BOUNDS[index - 1] if index else 0.0) <= found
    assert index == len(BOUNDS) or found <= BOUNDS[index]


def test_a_time_of_no_call_is_not_known() -> None:
    assert time_quantile([0] * 12, BOUNDS, 0.5, least=math.inf, most=0.0) is None
