"""Somebody sets the machine's clock: no event has waited longer for it, or less long."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.events.queue import EXPIRED
from orchestrator.events.steady import Steady
from tests.unit.events.event_house import REFUSED, EventHouse, HandClock

HOUR, DAY = 3_600.0, 86_400.0
JUMPS = [25 * HOUR, -25 * HOUR, 400 * DAY, -400 * DAY]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[EventHouse]:
    house = EventHouse(
        tmp_path / "events.db", max_tries=1, max_dead=3, retention_hours=24, dead_retention_hours=48
    )
    yield house
    house.close()


@pytest.mark.parametrize("ahead", JUMPS)
@pytest.mark.parametrize("restarts", [False, True])
def test_a_jump_expires_nothing_that_waits(
    house: EventHouse, ahead: float, *, restarts: bool
) -> None:
    house.subscribe("reader", up=False)
    published = [house.publish() for _ in range(10)]
    house.set_clock(ahead)
    if restarts:
        house.crash()
        house.wait(1)
    published.append(house.publish())
    dead = house.dead()
    house.start("reader")

    assert dead == []
    assert house.take_all("reader") == published
    assert house.told == []


@pytest.mark.parametrize("ahead", JUMPS)
@pytest.mark.parametrize("restarts", [False, True])
def test_what_waited_too_long_is_given_up_when_it_would_have_been_without_a_jump(
    house: EventHouse, ahead: float, *, restarts: bool
) -> None:
    house.subscribe("reader", up=False)
    house.publish()
    house.wait(12 * HOUR)
    house.set_clock(ahead)
    if restarts:
        house.crash()
    house.wait(11 * HOUR)
    before = house.dead()
    house.wait(2 * HOUR)

    assert before == []
    assert house.dead() == [("reader", "e1", EXPIRED)]


@pytest.mark.parametrize("ahead", JUMPS)
@pytest.mark.parametrize("restarts", [False, True])
def test_a_jump_makes_nobody_forget_what_was_delivered_or_is_dead(
    house: EventHouse, ahead: float, *, restarts: bool
) -> None:
    house.subscribe("reader")
    house.publish()
    house.answer("reader", REFUSED)
    house.publish()
    house.answer("reader")
    house.set_clock(ahead)
    if restarts:
        house.crash()
    house.prune()
    after_jump = house.events()
    house.wait(25 * HOUR)
    house.prune()
    a_day_later = house.events()
    house.wait(24 * HOUR)
    house.prune()
    house.prune()

    assert after_jump == ["e1", "e2"]
    assert a_day_later == ["e1"]  # it is dead, and a day younger than may be
    assert house.events() == []


def test_a_daemon_that_was_away_counts_the_time_and_takes_no_clock_for_it_that_was_set_back() -> (
    None
):
    clock = HandClock(at=1_000.0, jumped=500.0)
    steady = Steady(clock, ahead=400.0, latest=1_050.0)
    found, ahead = steady.now(), steady.ahead
    set_back = Steady(HandClock(at=1_000.0, jumped=-800.0), ahead=400.0, latest=1_050.0)
    clock.at += 10

    assert (found, ahead) == (1_100.0, 400.0)
    assert steady.now() == 1_110.0
    assert set_back.now() == 1_050.0


def test_only_a_jump_is_worth_a_write() -> None:
    clock = HandClock()
    steady = Steady(clock)
    clock.jumped = 0.4
    slewed = steady.news()
    clock.jumped = 3_600.0

    assert slewed is None
    assert steady.news() == 3_600.0
    assert steady.news() is None
