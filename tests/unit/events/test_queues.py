"""EventQueues: at least once and in order, for as long as it takes, within bounds."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.events.queue import MAX_DELAY_SECONDS, WINDOW
from orchestrator.store.base import StoreUnavailable
from tests.unit.events.event_house import STOPPED, EventHouse


@pytest.fixture
def house(tmp_path: Path) -> Iterator[EventHouse]:
    house = EventHouse(tmp_path / "events.db", max_tries=3)
    yield house
    house.close()


# -- accepting ----------------------------------------------------------------------------------


def test_nothing_is_accepted_before_it_is_on_disk(house: EventHouse) -> None:
    house.subscribe("reader")
    house.offer()

    assert house.accepted == []
    assert house.subscribers.carried == []
    house.flush()
    assert house.accepted == [("e1", False)]
    assert house.subscribers.carried == [("reader", "e1")]


def test_what_a_full_disk_did_not_take_is_refused_and_never_delivered(house: EventHouse) -> None:
    house.subscribe("reader")
    house.writer.full = True
    house.publish()
    house.writer.full = False
    house.publish()
    house.crash()

    assert [type(error) for error in house.failures] == [StoreUnavailable]
    assert house.accepted == [("e2", False)]
    assert house.take_all("reader") == ["e2"]
    assert house.queues.pending() == {}


def test_an_event_reaches_who_subscribed_to_its_type_and_nobody_else(house: EventHouse) -> None:
    house.subscribe("all", "a.*")
    house.subscribe("one", "a.b")
    house.subscribe("other", "a.c")
    house.subscribe("longer", "a.b.*")
    house.publish("a.b")

    assert house.subscribers.ways.keys() == {"all", "one"}


def test_a_publisher_does_not_get_its_own_event(house: EventHouse) -> None:
    house.subscribe("teller")
    house.subscribe("reader")
    house.publish()

    assert house.subscribers.ways.keys() == {"reader"}


def test_a_repeat_is_accepted_under_the_first_ones_id_and_not_delivered_again(
    house: EventHouse,
) -> None:
    house.subscribe("reader")
    house.publish(own_id="7")
    house.crash()
    house.publish(own_id="7")
    house.publish(own_id="7", source="plugin/other")
    house.publish(own_id="")
    house.publish(own_id="")

    assert house.accepted[:3] == [("e1", False), ("e1", True), ("e3", False)]
    assert house.take_all("reader") == ["e1", "e3", "e4", "e5"]
    assert house.queues.pending() == {}


def test_a_repeat_within_one_transaction_is_one_too(house: EventHouse) -> None:
    house.subscribe("reader")
    house.offer(own_id="7")
    house.offer(own_id="7")
    house.flush()

    assert house.accepted == [("e1", False), ("e1", True)]
    assert house.take_all("reader") == ["e1"]


# -- order, and coming back -----------------------------------------------------------------------


def test_events_come_one_at_a_time_and_in_order(house: EventHouse) -> None:
    house.subscribe("reader")
    published = [house.publish() for _ in range(3 * WINDOW)]

    assert len(house.subscribers.carried) == 1
    assert house.take_all("reader") == published


def test_more_events_than_the_window_holds_come_in_order_too(house: EventHouse) -> None:
    house.subscribe("reader", up=False)
    published = [house.publish() for _ in range(3 * WINDOW + 5)]
    house.start("reader")
    taken = [house.answer("reader") for _ in range(WINDOW + 1)]
    published += [house.publish() for _ in range(3)]
    taken += house.take_all("reader")

    assert taken == published


def test_large_events_are_not_all_held_in_memory(house: EventHouse) -> None:
    house.subscribe("reader", up=False)
    published = [house.publish(body=b"x" * 60_000) for _ in range(30)]
    [queue] = house.queues._queues.values()

    assert queue._window_bytes < 600_000
    house.start("reader")
    assert house.take_all("reader") == published
    assert queue._window_bytes == 0


def test_an_event_waits_for_a_subscriber_that_does_not_run(house: EventHouse) -> None:
    house.subscribe("reader", up=False)
    house.publish()
    for _ in range(100):
        house.wait(60)

    assert house.dead() == []
    house.start("reader")
    assert house.take_all("reader") == ["e1"]


def test_being_stopped_meanwhile_is_no_try(house: EventHouse) -> None:
    house.subscribe("reader")
    house.publish()
    for _ in range(20):
        house.answer("reader", STOPPED)
        house.wait(MAX_DELAY_SECONDS)

    assert house.dead() == []
    assert house.take_all("reader") == ["e1"]


def test_what_was_not_taken_before_a_crash_comes_after_it(house: EventHouse) -> None:
    house.subscribe("reader")
    published = [house.publish() for _ in range(3)]
    first = house.answer("reader")
    house.crash()

    assert [first, *house.take_all("reader")] == published


def test_what_was_taken_and_not_noted_before_a_crash_comes_twice(house: EventHouse) -> None:
    house.subscribe("reader")
    published = [house.publish() for _ in range(3)]
    house.answer("reader", flush=False)
    house.crash()

    assert house.take_all("reader") == published


def test_what_was_taken_is_noted_also_when_the_disk_was_full_meanwhile(house: EventHouse) -> None:
    house.subscribe("reader")
    house.publish()
    house.publish()
    house.writer.full = True
    house.answer("reader")
    house.flush()
    house.writer.full = False
    house.flush()
    house.crash()

    assert house.take_all("reader") == ["e2"]
