"""What is counted of deliveries, for /metrics: taken, failed, given up."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.events.event_house import REFUSED, EventHouse


@pytest.fixture
def house(tmp_path: Path) -> Iterator[EventHouse]:
    house = EventHouse(tmp_path / "events.db", max_tries=2)
    yield house
    house.close()


def test_taken_events_failed_tries_and_dead_letters_are_counted(house: EventHouse) -> None:
    house.subscribe("reader")
    house.subscribe("other", "c.d")
    for _ in range(3):
        house.publish()
    for _ in range(2):
        house.answer("reader", REFUSED)
        house.wait(1.0)
    house.take_all("reader")

    assert house.queues.delivered == {"reader": 2}
    assert house.queues.failed_tries == {"reader": 2}
    assert house.log.dead_counts() == {"reader": 1}


def test_a_subscriber_that_was_stopped_has_not_failed(house: EventHouse) -> None:
    house.subscribe("reader")
    house.publish()
    house.stop("reader")
    house.start("reader")
    house.wait(1.0)
    house.take_all("reader")

    assert house.queues.failed_tries == {}
    assert house.queues.delivered == {"reader": 1}


def test_one_that_is_deployed_no_more_is_forgotten(house: EventHouse) -> None:
    house.subscribe("reader")
    house.publish()
    house.take_all("reader")
    house.subscribers.wanted.pop("reader")
    house.queues.drop_absent()
    house.flush()

    assert house.queues.delivered == {}
