"""Timeframes, and which rows tell of one: against a walk minute by minute."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.monitoring.timeframe import (
    AT_ONCE,
    Span,
    TimeframeInvalid,
    chart_step,
    cover,
    parts,
    seconds_of,
)
from orchestrator.store.series import MemorySeries, Step

DAY = 1_796_083_200
KEY = ("a", "plugin", "")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("15m", 900), ("1h", 3_600), ("24h", 86_400), ("7d", 604_800), ("30d", 2_592_000)],
)
def test_a_timeframe_is_minutes_hours_or_days(text: str, seconds: int) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "0m", "15", "m", "-1h", "1.5h", "1w", "99999d", "1h ", "٣h", "1h\n", "9" * 400]
)
def test_anything_else_is_refused_and_shown_short(text: str) -> None:
    with pytest.raises(TimeframeInvalid, match="expected minutes, hours or days") as caught:
        seconds_of(text)

    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("seconds", "step"),
    [
        (900, 60),
        (3_600, 300),
        (21_600, 900),
        (21_660, 3_600),
        (86_400, 3_600),
        (604_800, 21_600),
        (2_592_000, 86_400),
    ],
)
def test_a_chart_has_at_most_thirty_points_or_so(seconds: int, step: int) -> None:
    assert chart_step(seconds) == step


def _everything_kept(step: Step) -> int:
    return 0


def test_a_day_and_a_bit_takes_minutes_then_hours_then_the_day() -> None:
    begin, now = DAY - 3_600 - 120, DAY + 7_500

    assert cover(begin, now, _everything_kept) == (
        Span(step=Step.MINUTE, begin=DAY - 3_720, end=DAY - 3_600),
        Span(step=Step.HOUR, begin=DAY - 3_600, end=DAY),
        Span(step=Step.DAY, begin=DAY, end=DAY + 7_560),
    )


def test_a_chart_of_hours_is_made_of_nothing_longer() -> None:
    spans = cover(DAY - 120, DAY + 7_500, _everything_kept, coarsest=3_600)

    assert [span.step for span in spans] == [Step.MINUTE, Step.HOUR]


def test_where_the_minutes_are_gone_the_hour_is_taken_whole() -> None:
    gone = {Step.MINUTE: DAY + 3_600, Step.HOUR: 0, Step.DAY: 0}

    assert cover(DAY + 1_800, DAY + 7_500, gone.__getitem__, coarsest=3_600) == (
        Span(step=Step.HOUR, begin=DAY, end=DAY + 7_560),
    )


@given(st.integers(min_value=0, max_value=3 * 86_400 - 61))
def test_a_timeframe_is_read_in_pieces_that_leave_out_nothing(begin: int) -> None:
    spans = cover(DAY + begin, DAY + 3 * 86_400 - 1, _everything_kept)

    pieces = list(parts(spans))
    assert (pieces[0].begin, pieces[-1].end) == (spans[0].begin, spans[-1].end)
    assert [one.end for one in pieces[:-1]] == [two.begin for two in pieces[1:]]
    assert all(0 < one.end - one.begin <= AT_ONCE * one.step for one in pieces)


MINUTES = st.sets(st.integers(min_value=0, max_value=3 * 1_440 - 1), max_size=40)


@given(
    MINUTES,
    st.integers(min_value=0, max_value=3 * 86_400 - 61),
    st.sampled_from([60.0, 1_800.0, 3_600.0, 86_400.0]),
)
def test_where_everything_is_kept_each_minute_is_told_of_once(
    minutes: set[int], begin: int, coarsest: float
) -> None:
    now = DAY + 3 * 86_400 - 1
    store = MemorySeries(lambda left, right: str(int(left) + int(right)))
    for minute in minutes:
        store.add(DAY + 60 * minute, {KEY: "1"})

    spans = cover(DAY + begin, now, _everything_kept, coarsest=coarsest)

    found = sum(int(text) for s in spans for _, _, text in store.read(s.step, s.begin, s.end))
    assert found == sum(60 * minute >= begin // 60 * 60 for minute in minutes)
    assert all(span.step <= max(coarsest, 60) for span in spans)


@given(
    st.integers(min_value=0, max_value=3 * 86_400 - 61),
    st.integers(min_value=0, max_value=3 * 86_400),
    st.integers(min_value=0, max_value=3 * 86_400),
)
def test_spans_touch_each_other_and_leave_out_nothing(
    begin: int, minutes_from: int, hours_from: int
) -> None:
    kept = {
        Step.MINUTE: DAY + minutes_from // 60 * 60,
        Step.HOUR: DAY + min(minutes_from, hours_from) // 3_600 * 3_600,
        Step.DAY: DAY,
    }
    now = DAY + 3 * 86_400 - 1

    spans = cover(DAY + begin, now, kept.__getitem__)

    assert spans[0].begin <= DAY + begin
    assert spans[0].begin >= DAY + begin - 86_400
    assert spans[-1].end > now
    assert [one.end for one in spans[:-1]] == [two.begin for two in spans[1:]]
    assert [span.begin % span.step for span in spans] == [0] * len(spans)
    # What is told of lies where rows of that length are kept.
    assert all(span.begin >= kept[span.step] for span in spans)
