"""Which of a plugin's own numbers become series."""

import math

import pytest

from orchestrator.monitoring.custom import MAX_GAUGES, custom_gauges, is_gauge_name


@pytest.mark.parametrize("name", ["a", "queue_length", "a1", "x" * 63, "sum_of", "total"])
def test_a_plain_name_is_taken(name: str) -> None:
    assert is_gauge_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", "A", "_a", "1a", "a-b", "a b", "a:b", "ä", "x" * 64, "a\n", 'a"} 1\nup{b="'),
        *("jobs_total", "a_bucket", "a_count", "a_sum", "a_info", "a_created"),
    ],
)
def test_a_name_that_would_be_misread_is_not(name: str) -> None:
    assert not is_gauge_name(name)


def test_numbers_are_finite_and_few() -> None:
    told = [("b", math.inf), ("c", math.nan), *((f"n{number:02}", 1.0) for number in range(60))]

    found = custom_gauges(told)

    assert found == [(f"n{number:02}", 1.0) for number in range(MAX_GAUGES)]
