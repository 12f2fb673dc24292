"""When a failed plugin may start again: rows, and laws over any run of failures."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.manager.restart import (
    History,
    death_reason,
    end_of,
    next_start,
    note_death,
    note_failure,
)
from orchestrator.model.container import ContainerPhase, ContainerState

HALF_HOUR = 1_800.0
NOW = 1_000_000.0

ENDED = ContainerState(
    container_id="c1",
    name="one",
    labels=(),
    phase=ContainerPhase.EXITED,
    exit_code=1,
    started_at=NOW - 60,
    finished_at=NOW,
)


def failed(*times: float) -> History:
    history = History()
    for at in times:
        history = note_failure(history, "exit_code_1", at=at)
    return history


def test_a_plugin_that_never_failed_starts_at_once() -> None:
    assert next_start(History(), now=NOW) == NOW


@pytest.mark.parametrize(
    ("failures", "delay"),
    [
        (1, 0.5),
        (2, 1.0),
        (3, 2.0),
        (4, 4.0),
        (5, 8.0),
        (6, 16.0),
        (7, 32.0),
        (8, 60.0),
        (9, 60.0),
        (10, 60.0),
    ],
)
def test_the_delay_doubles_with_each_failure_up_to_a_minute(failures: int, delay: float) -> None:
    times = [NOW - failures + number + 1 for number in range(failures)]

    assert next_start(failed(*times), now=NOW) == NOW + delay


def test_the_eleventh_failure_within_half_an_hour_gives_the_plugin_up() -> None:
    times = [NOW + second for second in range(11)]

    assert next_start(failed(*times[:10]), now=NOW + 10) is not None
    assert next_start(failed(*times), now=NOW + 10) is None


def test_a_plugin_once_given_up_stays_so_however_long_one_waits() -> None:
    history = failed(*(NOW + second for second in range(11)))

    assert next_start(history, now=NOW + 100 * HALF_HOUR) is None


def test_failures_before_the_window_are_forgotten_when_the_next_comes() -> None:
    history = failed(*(NOW + second for second in range(10)), NOW + HALF_HOUR + 8.5)

    assert history.failures == (NOW + 9, NOW + HALF_HOUR + 8.5)
    assert next_start(history, now=NOW + HALF_HOUR + 8.5) == NOW + HALF_HOUR + 8.5 + 1.0


def test_after_half_an_hour_of_peace_there_is_no_delay() -> None:
    assert next_start(failed(NOW), now=NOW + HALF_HOUR) == NOW + HALF_HOUR


def test_a_failure_is_remembered_with_its_reason_and_detail() -> None:
    history = note_failure(History(restarts=3), "oom_killed", detail="too much", at=NOW)

    assert history == History(
        failures=(NOW,), restarts=3, reason="oom_killed", detail="too much", noted=""
    )


def test_an_end_is_counted_once_however_often_it_is_seen() -> None:
    once = note_death(History(), ENDED, reason="exit_code_1", detail="it ended")
    twice = note_death(once, ENDED, reason="exit_code_1", detail="it ended")

    assert once.failures == (NOW,)
    assert once.reason == "exit_code_1"
    assert twice == once


def test_the_next_end_of_the_same_container_is_another() -> None:
    once = note_death(History(), ENDED, reason="exit_code_1", detail="")
    again = note_death(once, replace(ENDED, finished_at=NOW + 5), reason="exit_code_2", detail="")

    assert again.failures == (NOW, NOW + 5)
    assert again.reason == "exit_code_2"


def test_an_end_at_the_same_time_of_another_container_is_another() -> None:
    once = note_death(History(), ENDED, reason="exit_code_1", detail="")
    other = note_death(once, replace(ENDED, container_id="c2"), reason="exit_code_1", detail="")

    assert len(other.failures) == 2


@pytest.mark.parametrize("phase", sorted({*ContainerPhase} - {ContainerPhase.EXITED}))
def test_what_has_not_ended_is_no_death(phase: ContainerPhase) -> None:
    alive = replace(ENDED, phase=phase)

    assert note_death(History(), alive, reason="", detail="") == History()


def test_ends_are_told_apart_by_the_microsecond() -> None:
    assert end_of(ENDED) != end_of(replace(ENDED, finished_at=NOW + 1e-6))


@pytest.mark.parametrize(
    ("oom_killed", "oom_seen", "exit_code", "reason"),
    [
        (True, False, 137, "oom_killed"),
        (False, True, 1, "oom_killed"),
        (False, False, 137, "exit_code_137"),
        (False, False, 0, "exit_code_0"),
    ],
)
def test_only_the_engine_can_tell_that_memory_ran_out(
    *, oom_killed: bool, oom_seen: bool, exit_code: int, reason: str
) -> None:
    container = replace(ENDED, oom_killed=oom_killed, exit_code=exit_code)

    assert death_reason(container, oom_seen=oom_seen) == reason


@given(gaps=st.lists(st.floats(0.01, 3_600), max_size=40))
def test_a_start_is_never_held_up_longer_than_a_minute(gaps: list[float]) -> None:
    times = [NOW + sum(gaps[: number + 1]) for number in range(len(gaps))]
    now = times[-1] if times else NOW
    start = next_start(failed(*times), now=now)
    within_window = [at for at in times if at > now - HALF_HOUR]

    assert (start is None) == (len(within_window) > 10)
    assert start is None or now <= start <= now + 60


@given(gaps=st.lists(st.floats(0.01, 30), min_size=1, max_size=9))
def test_one_more_failure_never_shortens_the_delay(gaps: list[float]) -> None:
    times = [NOW + sum(gaps[: number + 1]) for number in range(len(gaps))]
    delays = []
    for number in range(1, len(times) + 1):
        start = next_start(failed(*times[:number]), now=times[number - 1])

        assert start is not None
        delays.append(round(start - times[number - 1], 3))
    assert delays == sorted(delays)
