"""Which of a plugin's own numbers become series."""

import math

import pytest

from orchestrator.monitoring.custom import MAX_GAUGES, CustomNames, is_gauge_name


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

    found = CustomNames().admitted("notes", "one", told)

    assert found == [(f"n{number:02}", 1.0) for number in range(MAX_GAUGES)]


def test_a_plugin_that_tells_other_names_each_time_has_no_more_series_for_it() -> None:
    names = CustomNames()
    told = {
        name
        for report in range(100)
        for name, _ in names.admitted("notes", "one", [(f"n{report:03}", 1.0), ("a", 2.0)])
    }
    others = names.admitted("todo", "one", [("n099", 1.0)])

    assert len(told) == MAX_GAUGES
    assert {"a", "n000"} <= told
    assert others == [("n099", 1.0)]


def test_another_revision_may_have_other_names() -> None:
    names = CustomNames()
    names.admitted("notes", "one", [(f"n{number:02}", 1.0) for number in range(60)])

    assert names.admitted("notes", "one", [("fresh", 1.0)]) == []
    assert names.admitted("notes", "two", [("fresh", 1.0)]) == [("fresh", 1.0)]


def test_the_names_of_what_is_no_more_are_forgotten() -> None:
    names = CustomNames()
    names.admitted("notes", "one", [(f"n{number:02}", 1.0) for number in range(60)])
    names.prune({"todo"})

    assert names._names == {}
