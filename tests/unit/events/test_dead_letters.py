"""What cannot be delivered: tried again, given up, replayed, dropped; and always told."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.events.queue import EXPIRED, MAX_DELAY_SECONDS
from orchestrator.events.writer import Job
from orchestrator.model.events import EventName
from tests.unit.events.event_house import REFUSED, EventHouse


@pytest.fixture
def house(tmp_path: Path) -> Iterator[EventHouse]:
    house = EventHouse(tmp_path / "events.db", max_tries=3)
    yield house
    house.close()


def test_a_failed_delivery_is_tried_again_later_and_holds_the_next_ones_up(
    house: EventHouse,
) -> None:
    house.subscribe("reader")
    published = [house.publish() for _ in range(2)]
    house.answer("reader", REFUSED)

    assert house.subscribers.ways == {}
    house.wait(0.19)
    assert house.subscribers.ways == {}
    house.wait(0.02)
    assert house.take_all("reader") == published


def test_the_pause_doubles_up_to_a_cap(tmp_path: Path) -> None:
    house = EventHouse(tmp_path / "events.db", max_tries=100)
    house.subscribe("reader")
    house.publish()
    pauses = []
    for _ in range(12):
        house.answer("reader", REFUSED)
        before = house.clock.at
        while not house.subscribers.ways:
            house.wait(0.1)
        pauses.append(round(house.clock.at - before, 1))
    house.close()

    assert pauses == pytest.approx(
        [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 60, 60, 60], abs=0.11
    )


def test_after_the_last_try_it_is_a_dead_letter_and_told(house: EventHouse) -> None:
    house.subscribe("reader")
    house.publish()
    house.publish()
    fail(house, "reader", 3)

    assert house.dead() == [("reader", "e1", REFUSED.reason)]
    assert house.take_all("reader") == ["e2"]
    [(name, subject, data)] = house.told
    assert (name, subject) == (EventName.EVENT_DEAD, "reader")
    assert data["event_id"] == "e1"
    assert data["tries"] == 3
    assert house.queues.pending() == {}


def test_tries_count_over_a_crash(house: EventHouse) -> None:
    house.subscribe("reader")
    house.publish()
    fail(house, "reader", 2)
    house.crash()
    fail(house, "reader", 1)

    assert house.dead() == [("reader", "e1", REFUSED.reason)]


def test_one_subscribers_failures_hold_up_nobody_else(house: EventHouse) -> None:
    house.subscribe("bad")
    house.subscribe("good")
    published = [house.publish() for _ in range(5)]
    house.answer("bad", REFUSED)

    assert house.take_all("good") == published


def test_a_letter_about_a_dead_letter_that_is_dead_too_is_told_to_nobody(
    house: EventHouse,
) -> None:
    house.subscribe("reader", "orchestrator.*")
    house.queues.journal(house.entry(EventName.EVENT_DEAD, source="orchestrator/one"))
    house.flush()
    fail(house, "reader", 3)

    assert len(house.dead()) == 1
    assert house.told == []


def test_an_event_that_waited_too_long_is_a_dead_letter(house: EventHouse) -> None:
    house.subscribe("reader", up=False)
    house.publish()
    house.wait(23 * 3_600)
    house.publish()
    house.wait(2 * 3_600)

    assert house.dead() == [("reader", "e1", EXPIRED)]
    house.start("reader")
    assert house.take_all("reader") == ["e2"]


def test_the_oldest_dead_letters_give_way_and_that_is_told(tmp_path: Path) -> None:
    house = EventHouse(tmp_path / "events.db", max_tries=1, max_dead=2)
    house.subscribe("reader")
    house.subscribe("other")
    for _ in range(4):
        house.publish()
        house.answer("reader", REFUSED)
    house.answer("other", REFUSED)
    found = house.dead()
    dropped = [row for row in house.told if row[0] is EventName.EVENT_DROPPED]
    house.close()

    assert [row[:2] for row in found] == [("reader", "e3"), ("reader", "e4"), ("other", "e1")]
    assert [(subject, data["count"]) for _, subject, data in dropped] == [("reader", 1)] * 2


def test_dead_letters_go_when_they_were_dead_for_long_enough_and_that_is_told(
    tmp_path: Path,
) -> None:
    house = EventHouse(tmp_path / "events.db", max_tries=1, dead_retention_hours=48)
    house.subscribe("reader")
    house.publish()
    house.answer("reader", REFUSED)
    house.wait(47 * 3_600)
    house.publish()
    house.answer("reader", REFUSED)
    house.prune()
    before = len(house.dead())
    house.wait(2 * 3_600)
    house.prune()
    found, events = house.dead(), house.events()
    dropped = [row for row in house.told if row[0] is EventName.EVENT_DROPPED]
    house.close()

    assert before == 2
    assert [row[1] for row in found] == ["e2"]
    assert events == ["e2"]
    why = "dead for longer than policy.events.dead_retention_hours"
    assert dropped == [(EventName.EVENT_DROPPED, "reader", {"count": 1, "why": why})]


def test_replayed_letters_come_behind_what_waits_and_with_all_their_tries(
    house: EventHouse,
) -> None:
    house.subscribe("reader")
    house.publish()
    fail(house, "reader", 3)
    house.publish()
    house.publish()
    house.revive("reader")

    assert house.dead() == []
    assert house.answer("reader") == "e2"
    assert house.answer("reader") == "e3"
    fail(house, "reader", 2)
    assert house.take_all("reader") == ["e1"]
    assert house.queues.pending() == {}


def test_one_letter_can_be_replayed_alone(house: EventHouse) -> None:
    house.subscribe("reader")
    for _ in range(2):
        house.publish()
        fail(house, "reader", 3)
    house.revive("reader", event_id="e2")

    assert house.take_all("reader") == ["e2"]
    assert [row[1] for row in house.dead()] == ["e1"]


def test_an_old_letter_that_is_replayed_has_its_time_anew(house: EventHouse) -> None:
    house.subscribe("reader", up=False)
    house.publish()
    house.wait(30 * 3_600)
    house.revive("reader")
    house.start("reader")

    assert house.take_all("reader") == ["e1"]


def test_what_waits_for_a_plugin_that_is_deployed_no_more_is_dropped_and_told(
    house: EventHouse,
) -> None:
    house.subscribe("reader", up=False)
    house.subscribe("other", up=False)
    house.publish()
    house.publish()
    del house.subscribers.wanted["reader"]
    house.wait(1)
    house.crash()

    assert house.told == [
        (EventName.EVENT_DROPPED, "reader", {"count": 2, "why": "not deployed any more"})
    ]
    assert house.queues.pending() == {"other": 2}
    house.subscribe("reader")
    assert house.take_all("reader") == []


def test_what_is_not_subscribed_to_any_more_is_dropped_told_and_holds_nothing_up(
    house: EventHouse,
) -> None:
    house.subscribe("reader", "a.*", "b.*", up=False)
    for event_type in ("a.b", "a.c", "b.c", "a.b"):
        house.publish(event_type)
    house.subscribe("reader", "b.*")

    assert house.take_all("reader") == ["e3"]
    assert [(name, data["count"]) for name, _, data in house.told] == [
        (EventName.EVENT_DROPPED, 2),
        (EventName.EVENT_DROPPED, 1),
    ]
    assert house.queues.pending() == {}
    house.crash()
    assert house.take_all("reader") == []


def test_what_was_taken_just_before_the_drop_is_not_counted_as_dropped(house: EventHouse) -> None:
    house.subscribe("reader")
    for _ in range(3):
        house.publish()

    def between(_: object) -> None:
        """The first one's end is written and not told yet."""
        house.answer("reader", flush=False)
        del house.subscribers.wanted["reader"]
        house.subscribers.up.clear()
        house.queues.drop_absent()

    house.writer.submit(Job(lambda _: None, between, None, urgent=True))
    house.answer("reader", flush=False)
    house.flush()

    assert [data["count"] for _, _, data in house.told] == [1]
    assert house.queues.pending() == {}


def fail(house: EventHouse, name: str, times: int) -> None:
    for _ in range(times):
        house.answer(name, REFUSED)
        house.wait(MAX_DELAY_SECONDS)
