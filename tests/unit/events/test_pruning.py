"""Pruning: what it does in rounds leaves room for others."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.store import event_forgetting
from orchestrator.store.event_log import EventLog
from tests.unit.events.event_house import EventHouse


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EventHouse]:
    """Its log takes 1 MB; five events go in a round."""
    monkeypatch.setattr(event_forgetting, "PRUNED_AT_ONCE", 5)
    house = EventHouse(tmp_path / "events.db", max_mb=1)
    yield house
    house.close()


def step(house: EventHouse) -> None:
    """One transaction, of what was handed in by now."""
    batch, house.writer.jobs = house.writer.jobs, []
    with house.log.transaction():
        results = [job.work(house.log) for job in batch]
    for job, result in zip(batch, results, strict=True):
        job.done(result)


def fill(house: EventHouse) -> None:
    """Up to where pruning begins."""
    while not house.writer.jobs:
        house.offer(body=b"x" * 10_000)
        step(house)


def rest(house: EventHouse) -> int:
    return len(house.log._connection.execute("SELECT 1 FROM events").fetchall())


def test_others_get_their_turn_between_two_rounds(house: EventHouse) -> None:
    fill(house)
    full = rest(house)
    step(house)
    after_first = rest(house)
    house.offer("z.z", body=b"y")
    house.offer("z.z", body=b"y")
    accepted = len(house.accepted)
    step(house)

    assert after_first == full - 5
    assert len(house.accepted) == accepted + 2
    assert house.writer.jobs, "pruning went on though it was not done"
    house.flush()
    assert house.log.size <= (1 << 20) * 3 / 4


def test_a_run_is_not_begun_twice(house: EventHouse) -> None:
    fill(house)
    house.queues.prune()

    assert len(house.writer.jobs) == 1


def test_a_run_that_ended_is_followed_by_another(house: EventHouse) -> None:
    for _ in range(2):
        fill(house)
        house.flush()

        assert house.log.size <= (1 << 20) * 3 / 4


def test_a_round_that_met_a_full_disk_is_tried_again(house: EventHouse) -> None:
    fill(house)
    full = house.log.size
    house.writer.full = True
    house.flush()
    kept = house.log.size
    house.writer.full = False
    house.flush()

    assert kept == full
    assert house.log.size <= (1 << 20) * 3 / 4


def test_nothing_is_tried_for_ever_where_all_of_it_waits(house: EventHouse) -> None:
    house.subscribe("reader", "*", up=False)
    fill(house)
    full = rest(house)
    house.flush()

    assert rest(house) == full
    assert EventLog.tallies(house.log)[0].count == full
