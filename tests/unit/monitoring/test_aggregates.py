"""Rows: exact ones, and the laws by which they merge, against plain lists of calls."""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.monitoring.aggregates import (
    MAX_COUNTS,
    OTHER_COUNT,
    Calls,
    Key,
    Row,
    decoded,
    encoded,
    merged,
    merged_text,
    united,
)
from orchestrator.monitoring.sketch import Gauge
from orchestrator.monitoring.tally import BOUNDS


@dataclass(frozen=True)
class Happened:
    """The oracle's own word: one call, and what memory was seen right after it."""

    at: int
    seconds: float
    outcome: str
    memory: float


HAPPENED = st.lists(
    st.builds(
        Happened,
        at=st.integers(min_value=0, max_value=3 * 86_400 - 1),
        seconds=st.floats(min_value=1e-4, max_value=40.0),
        outcome=st.sampled_from(["ok", "plugin_error", "deadline_exceeded"]),
        memory=st.floats(min_value=0.0, max_value=1e9),
    ),
    max_size=60,
)


def _row(happened: list[Happened]) -> Row:
    """What a day, an hour or a minute with exactly these looks like."""
    if not happened:
        return Row()
    times = [each.seconds for each in happened]
    places = Counter(bisect_left(BOUNDS, time) for time in times)
    outcomes = Counter(each.outcome for each in happened)
    return Row(
        calls=Calls(
            count=len(times),
            failed=len(times) - outcomes["ok"],
            seconds=math.fsum(times),
            least=min(times),
            most=max(times),
            buckets=tuple(places[index] for index in range(len(BOUNDS) + 1)),
        ),
        counts={f"outcome:{name}": float(number) for name, number in outcomes.items()},
        gauges={"memory": Gauge.merged([Gauge.of(each.memory, 1e9) for each in happened])},
    )


def _same(left: Row, right: Row) -> bool:
    """Equal but for the order in which floats were added."""
    plain = [(row.calls, row.counts, row.gauges) for row in (left, right)]
    sums = [
        (row.calls.seconds, *(gauge.total for gauge in row.gauges.values()))
        for row in (left, right)
    ]
    return sums[0] == pytest.approx(sums[1]) and (
        next(_without_sums(*parts) for parts in plain) == [_without_sums(*p) for p in plain][1]
    )


def _without_sums(calls: Calls, counts: object, gauges: object) -> object:
    assert isinstance(gauges, Mapping)
    marks = (calls.count, calls.failed, calls.least, calls.most, calls.buckets)
    looks = {k: (g.samples, g.least, g.most, g.limit, g.levels) for k, g in gauges.items()}
    return marks, counts, looks


def test_two_rows_merge_to_the_exact_sum() -> None:
    left = Row(
        calls=Calls(count=2, failed=1, seconds=0.5, least=0.1, most=0.4, buckets=(0, 2)),
        counts={"outcome:ok": 1.0, "event:died": 1.0},
        gauges={"cpu": Gauge.of(10.0, 50.0)},
    )
    right = Row(
        calls=Calls(count=1, failed=0, seconds=0.02, least=0.02, most=0.02, buckets=(1,)),
        counts={"outcome:ok": 1.0},
        gauges={"disk": Gauge.of(5.0, 9.0)},
    )

    assert left.plus(right) == Row(
        calls=Calls(count=3, failed=1, seconds=0.52, least=0.02, most=0.4, buckets=(1, 2)),
        counts={"outcome:ok": 2.0, "event:died": 1.0},
        gauges={"cpu": Gauge.of(10.0, 50.0), "disk": Gauge.of(5.0, 9.0)},
    )


def test_rows_of_spans_unite_by_key() -> None:
    one, two = Key("a"), Key("a", "tool", "scan")
    row = Row(calls=Calls(count=1))

    found = united([{one: row}, {one: row, two: row}])
    assert {key: each.calls.count for key, each in found.items()} == {one: 2, two: 1}


@given(HAPPENED, st.sampled_from([60, 3_600, 86_400]))
def test_a_roll_up_equals_what_counting_the_whole_time_gives(
    happened: list[Happened], step: int
) -> None:
    minutes: dict[int, list[Happened]] = {}
    for each in happened:
        minutes.setdefault(each.at // 60 * 60, []).append(each)
    spans: dict[int, list[Row]] = {}
    for begin, part in minutes.items():
        spans.setdefault(begin // step * step, []).append(_row(part))

    for begin, rows in spans.items():
        within = [each for each in happened if begin <= each.at < begin + step]
        assert _same(merged(rows), _row(within))
    assert _same(merged(merged(rows) for rows in spans.values()), _row(happened))


@given(HAPPENED, HAPPENED, HAPPENED)
def test_it_does_not_matter_in_which_order_and_grouping_rows_merge(
    first: list[Happened], second: list[Happened], third: list[Happened]
) -> None:
    a, b, c = _row(first), _row(second), _row(third)

    assert _same(a.plus(b).plus(c), a.plus(b.plus(c)))
    assert _same(a.plus(b), b.plus(a))
    assert a.plus(Row()) == Row().plus(a)


@given(HAPPENED)
def test_a_row_is_kept_as_it_was(happened: list[Happened]) -> None:
    assert decoded(encoded(_row(happened))) == _row(happened)


@given(HAPPENED, HAPPENED)
def test_kept_rows_merge_as_rows_do(first: list[Happened], second: list[Happened]) -> None:
    found = decoded(merged_text(encoded(_row(first)), encoded(_row(second))))

    assert _same(found, _row(first).plus(_row(second)))


@pytest.mark.parametrize(
    "text", ["", "[]", "7", "null", '{"c":1}', '{"c":[1]}', '{"n":[1]}', '{"g":{"a":[1]}}', "{"]
)
def test_what_cannot_be_read_is_taken_for_nothing(text: str) -> None:
    assert decoded(text) == Row()


def test_a_row_stays_small_whatever_is_counted() -> None:
    rows = [Row(counts={f"refused:{number:04d}": 1.0}) for number in range(MAX_COUNTS + 50)]

    found = merged(rows)
    assert len(found.counts) == MAX_COUNTS
    assert math.fsum(found.counts.values()) == MAX_COUNTS + 50
    assert found.counts[OTHER_COUNT] == 51
