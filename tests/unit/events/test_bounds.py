"""Bounds of the bus: whoever publishes too much is told so, and nobody else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.events import bounds
from orchestrator.events.bounds import EventsFull
from orchestrator.events.queues import FULL
from orchestrator.model.policy import EventPolicy
from tests.unit.events.event_house import EventHouse


@pytest.fixture
def house(tmp_path: Path) -> Iterator[EventHouse]:
    house = EventHouse(tmp_path / "events.db", max_tries=3)
    yield house
    house.close()


@pytest.mark.parametrize(
    ("bound", "most", "case"),
    [
        ("max_pending", 3, (1, 2, 3)),
        ("max_pending_mb", 1, (1, 300_000, 3)),
        ("max_published", 6, (2, 2, 3)),
        ("max_published_mb", 1, (2, 300_000, 1)),
        ("max_mb", 1, (1, 60_000, 17)),
    ],
)
def test_a_publisher_beyond_a_bound_is_told_to_come_again(
    tmp_path: Path, bound: str, most: int, case: tuple[int, int, int]
) -> None:
    subscribers, size, fit = case
    house = EventHouse(tmp_path / "events.db", **{bound: most})
    for number in range(subscribers):
        house.subscribe(f"reader{number}", up=False)
    for _ in range(fit):
        house.offer(body=b"x" * size)
    with pytest.raises(EventsFull, match=f"{bound} {most}"):
        house.offer(body=b"x" * size)
    house.flush()
    house.crash()
    with pytest.raises(EventsFull, match=f"{bound} {most}"):
        house.offer(body=b"x" * size)
    for number in range(subscribers):
        house.start(f"reader{number}")
        house.answer(f"reader{number}")
    house.queues.prune()
    house.flush()
    house.publish(body=b"x" * size)
    house.close()

    assert len(house.accepted) == fit + 1


def test_a_writer_that_is_behind_takes_no_more(
    house: EventHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "MAX_WAITING_JOBS", 2)
    house.offer()
    house.offer()

    with pytest.raises(EventsFull, match="wait for the disk"):
        house.offer()


def test_one_publisher_at_its_bound_takes_nothing_from_another(tmp_path: Path) -> None:
    house = EventHouse(tmp_path / "events.db", max_published=2)
    house.subscribe("reader", up=False)
    house.publish()
    house.publish()
    with pytest.raises(EventsFull):
        house.publish()
    house.publish(source="plugin/other")
    house.close()

    assert len(house.accepted) == 3


def test_an_own_event_for_a_full_queue_is_a_dead_letter(tmp_path: Path) -> None:
    house = EventHouse(tmp_path / "events.db", max_pending=1)
    house.subscribe("reader", up=False)
    house.publish()
    house.queues.journal(house.entry(source="orchestrator/one"))
    house.flush()
    found = house.dead()
    house.close()

    assert found == [("reader", "e2", FULL)]


def test_an_own_event_waits_for_a_disk_that_is_full(house: EventHouse) -> None:
    house.subscribe("reader")
    house.writer.full = True
    house.queues.journal(house.entry(source="orchestrator/one"))
    house.flush()
    house.writer.full = False
    house.flush()

    assert house.take_all("reader") == ["e1"]


def test_the_defaults_let_no_publisher_fill_a_subscribers_queue_alone() -> None:
    policy = EventPolicy()

    assert policy.max_published < policy.max_pending
    assert policy.max_published_mb < policy.max_pending_mb < policy.max_mb
