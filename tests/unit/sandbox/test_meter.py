"""NetworkMeter: exact, and never more than the limit in any window; TokenBucket."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.sandbox.meter import SLOTS, NetworkMeter, TokenBucket

HOUR = 3_600.0


class Watch:
    """A clock that the test moves."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def meter(watch: Watch, *, limit: int = 1_000) -> NetworkMeter:
    return NetworkMeter(limit_bytes=limit, window_seconds=HOUR, now=watch)


def test_it_counts_to_the_byte_and_allows_no_more_than_the_limit() -> None:
    counter = meter(Watch())

    assert [counter.take(600), counter.take(399), counter.take(5), counter.take(5)] == [
        600,
        399,
        1,
        0,
    ]
    assert (counter.used(), counter.left()) == (1_000, 0)


def test_a_byte_is_forgotten_after_the_window_and_not_before() -> None:
    watch = Watch()
    counter = meter(watch)
    counter.take(1_000)

    watch.now += HOUR
    assert counter.take(1) == 0
    watch.now += HOUR / SLOTS
    assert counter.take(1_000) == 1_000


def test_an_exhausted_meter_tells_when_a_byte_may_pass_again() -> None:
    watch = Watch()
    counter = meter(watch)
    counter.take(400)
    watch.now += 600
    counter.take(600)

    until = counter.exhausted_until()
    assert until is not None
    watch.now = until - 0.5
    assert counter.left() == 0
    watch.now = until
    assert (counter.left(), counter.exhausted_until()) == (400, None)


def test_a_limit_of_nothing_is_exhausted_for_ever() -> None:
    counter = meter(Watch(), limit=0)

    assert (counter.take(1), counter.exhausted_until()) == (0, math.inf)


def test_a_state_goes_through_json_into_a_later_meter() -> None:
    watch = Watch()
    before = meter(watch)
    before.take(300)
    watch.now += 1_800
    before.take(200)
    state = json.loads(json.dumps(before.state()))

    after = meter(watch)
    after.restore(state)
    assert after.used() == 500
    watch.now += 1_900
    assert after.used() == 200


def test_a_state_that_is_too_old_counts_for_nothing() -> None:
    watch = Watch()
    before = meter(watch)
    before.take(1_000)
    state = before.state()
    watch.now += 2 * HOUR

    after = meter(watch)
    after.restore(state)
    assert after.left() == 1_000


@pytest.mark.parametrize("state", [{}, {"slots": 5}, {"slots": [["a", 1], [1], 3, [1e6, -5]]}])
def test_an_unreadable_state_counts_for_nothing(state: dict[str, object]) -> None:
    counter = meter(Watch())
    counter.restore(state)  # type: ignore[arg-type]

    assert counter.used() == 0


def test_a_clock_set_back_holds_no_byte_longer_than_a_window() -> None:
    watch = Watch()
    counter = meter(watch)
    counter.take(1_000)
    watch.now -= 500_000

    assert counter.left() == 0
    watch.now += HOUR + HOUR / SLOTS
    assert counter.left() == 1_000


@given(
    st.lists(
        st.tuples(st.floats(min_value=0, max_value=900), st.integers(min_value=0, max_value=700)),
        max_size=60,
    )
)
def test_no_window_sees_more_than_the_limit(steps: list[tuple[float, int]]) -> None:
    watch = Watch()
    counter = meter(watch)
    passed: list[tuple[float, int]] = []
    for wait, count in steps:
        watch.now += wait
        passed.append((watch.now, counter.take(count)))

    for end, _ in passed:
        assert sum(count for at, count in passed if end - HOUR < at <= end) <= 1_000
    assert len(counter.state()["slots"]) <= SLOTS + 2  # type: ignore[arg-type]


def test_a_bucket_allows_its_burst_and_then_its_rate() -> None:
    watch = Watch()
    bucket = TokenBucket(per_second=2, burst=3, now=watch)

    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    watch.now += 0.5
    assert [bucket.take(), bucket.take()] == [True, False]
    watch.now += 100
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
