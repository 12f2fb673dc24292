"""EventLog: one file that is brought up to date, set aside when damaged, and kept to its size."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.store.base import StoreUnavailable
from orchestrator.store.event_log import EventLog
from orchestrator.store.event_schema import _MIGRATIONS, EventLogTooNew
from orchestrator.store.event_values import Choice, Entry


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture
def log(path: Path) -> Iterator[EventLog]:
    log = EventLog.open(path)
    yield log
    log.close()


def entry(event_id: str, **more: Any) -> Entry:
    plain: dict[str, Any] = {
        "own_id": "",
        "source": "plugin/teller",
        "type": "a.b",
        "subject": "",
        "body": event_id.encode(),
    }
    return Entry(event_id=event_id, **plain | more)


def add(log: EventLog, event_id: str, *subscribers: str, since: float = 100.0, **more: Any) -> None:
    with log.transaction():
        log.add(entry(event_id, **more), subscribers, since=since)


def ids(log: EventLog) -> list[str]:
    return [body.decode().strip("x") for body in latest(log)]


def latest(log: EventLog, **choice: str) -> list[bytes]:
    return log.latest(Choice(**choice), count=1_000, most_bytes=1 << 30)[1]


# -- the file -----------------------------------------------------------------------------------


def test_a_file_is_synced_at_every_commit(log: EventLog) -> None:
    [mode] = log._connection.execute("PRAGMA journal_mode").fetchone()
    [synchronous] = log._connection.execute("PRAGMA synchronous").fetchone()

    assert (mode, synchronous) == ("wal", 2)


def test_what_was_written_is_there_when_the_file_is_opened_again(path: Path) -> None:
    log = EventLog.open(path)
    add(log, "e1", "reader", "other")
    log.close()
    log = EventLog.open(path)
    dues, more = log.due("reader", after=0, count=10, most_bytes=1_000)
    log.close()

    assert [due.event_id for due in dues] == ["e1"]
    assert not more
    assert log.found == ""


def test_a_transaction_that_fails_leaves_nothing(log: EventLog) -> None:
    add(log, "e1")
    log._connection.execute("DROP TABLE deliveries")
    with pytest.raises(StoreUnavailable):
        add(log, "e2", "reader")

    assert [body for (body,) in log._connection.execute("SELECT event_id FROM events")] == ["e1"]
    assert not log._connection.in_transaction


def test_a_file_of_a_later_version_is_left_alone(path: Path) -> None:
    EventLog.open(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()

    with pytest.raises(EventLogTooNew, match="found version 99, expected at most 2"):
        EventLog.open(path)


def test_a_file_that_is_no_database_is_set_aside_and_told(path: Path) -> None:
    path.write_bytes(b"these are no events" * 1_000)
    log = EventLog.open(path)
    add(log, "e1")
    log.close()

    assert path.with_suffix(".corrupt").read_bytes().startswith(b"these are no events")
    assert "set aside as events.corrupt, and 0 events" in log.found


def test_what_can_be_read_of_a_damaged_file_is_taken_over(path: Path) -> None:
    log = EventLog.open(path)
    for number in range(400):
        add(log, f"e{number}", "reader", body=b"x" * 1_000)
    log.close()
    size = path.stat().st_size
    with path.open("r+b") as file:  # a few pages in the middle
        file.seek(size // 2)
        file.write(b"\xff" * 12_288)
    log = EventLog.open(path)
    saved = len(latest(log))
    dues, _ = log.due("reader", after=0, count=1_000, most_bytes=1 << 30)
    log.close()

    assert "could be read and were taken over" in log.found
    assert 200 < saved < 400
    assert 100 < len(dues) <= saved


# -- looking back -------------------------------------------------------------------------------


def test_a_choice_is_by_type_and_by_plugin(log: EventLog) -> None:
    add(log, "e1", type="order.created")
    add(log, "e2", type="order.item.added", source="plugin/shop")
    add(log, "e3", type="orders.none")
    add(log, "e4", type="orchestrator.plugin.died", source="orchestrator/home", subject="shop")
    add(log, "e5", type="order", subject="shop")

    assert latest(log, type="order.*") == [b"e1", b"e2"]
    assert latest(log, type="order.created") == [b"e1"]
    assert latest(log, plugin="shop") == [b"e2", b"e4"]
    assert latest(log, type="order.*", plugin="shop") == [b"e2"]


def test_the_latest_are_bounded_by_number_and_bytes(log: EventLog) -> None:
    for number in range(10):
        add(log, f"e{number}")

    assert log.latest(Choice(), count=3, most_bytes=1_000) == (10, [b"e7", b"e8", b"e9"])
    assert log.latest(Choice(), count=9, most_bytes=4) == (10, [b"e8", b"e9"])


def test_following_goes_on_where_it_was(log: EventLog) -> None:
    for number in range(5):
        add(log, f"e{number}", type="a.b" if number % 2 else "z")
    number, first = log.after(1, Choice(type="a.b"), count=1)
    number, second = log.after(number, Choice(type="a.b"), count=10)

    assert (first, second) == ([b"e1"], [b"e3"])
    assert number == 5
    assert log.after(number, Choice(), count=10) == (5, [])


# -- its size -----------------------------------------------------------------------------------


def test_old_events_go_once_they_are_delivered(log: EventLog) -> None:
    add(log, "old", since=10.0)
    add(log, "waits", "reader", since=10.0)
    add(log, "new", since=90.0)
    with log.transaction():
        log.prune(before=50.0, dead_before=0.0, most_bytes=1 << 30)

    assert ids(log) == ["waits", "new"]
    [due] = log.due("reader", after=0, count=1, most_bytes=1)[0]
    with log.transaction():
        log.settle([due.delivery_id])
        log.prune(before=50.0, dead_before=0.0, most_bytes=1 << 30)
    assert ids(log) == ["new"]


def bury(log: EventLog, subscriber: str, *, at: float) -> None:
    [due] = log.due(subscriber, after=0, count=1, most_bytes=1)[0]
    with log.transaction():
        log.bury(due.delivery_id, tries=1, reason="r", at=at, most=10)


def test_a_dead_letter_goes_by_its_own_age_and_its_event_with_it(log: EventLog) -> None:
    add(log, "e1", "reader", since=10.0)
    bury(log, "reader", at=20.0)
    add(log, "e2", "reader", since=10.0)
    bury(log, "reader", at=40.0)
    with log.transaction():
        early = log.prune(before=50.0, dead_before=20.0, most_bytes=1 << 30)
    before = ids(log)
    with log.transaction():
        late = log.prune(before=50.0, dead_before=30.0, most_bytes=1 << 30)

    assert (early.aged, before) == ({}, ["e1", "e2"])
    assert (late.aged, late.gone) == ({"reader": 1}, {})
    assert ids(log) == ["e2"]
    assert [letter.event_id for letter in log.dead(count=9)] == ["e2"]


def test_dead_letters_are_discarded_of_whom_and_of_which_event_is_said(log: EventLog) -> None:
    for event_id in ("e1", "e2"):
        for name in ("reader", "other"):
            add(log, f"{event_id}-{name}", name, own_id=f"{event_id}-{name}")
            bury(log, name, at=1.0)
    with log.transaction():
        none = log.discard(["nobody"])
        one = log.discard(["reader", "other"], event_id="e1-reader")
        rest = log.discard(["other"])

    assert (none, one, rest) == ({}, {"reader": 1}, {"other": 2})
    assert [letter.event_id for letter in log.dead(count=9)] == ["e2-reader"]


def test_how_far_the_clock_is_ahead_is_kept_in_the_file(path: Path) -> None:
    log = EventLog.open(path)
    new = log.times()
    add(log, "e1", since=70.0)
    add(log, "e2", "reader", since=80.0)
    bury(log, "reader", at=90.0)
    with log.transaction():
        log.set_ahead(1.0)
        log.set_ahead(-3_600.5)
    log.close()
    log = EventLog.open(path)
    kept = log.times()
    log.close()

    assert new == (0.0, 0.0)
    assert kept == (-3_600.5, 90.0)


def test_a_file_of_the_first_version_is_taken_over(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(f"BEGIN; {_MIGRATIONS[0]}; PRAGMA user_version = 1; COMMIT;")
    event = "(1, 'e1', NULL, 's', 'a.b', '', 50.0, 9, x'00')"
    connection.execute(f"INSERT INTO events VALUES {event}")  # noqa: S608 - words of ours
    connection.execute("INSERT INTO dead VALUES (1, 'reader', 1, 3, 'r', 60.0)")
    connection.commit()
    connection.close()
    log = EventLog.open(path)
    found = (log.times(), [letter.event_id for letter in log.dead(count=9)])
    log.close()

    assert found == ((0.0, 60.0), ["e1"])


def test_who_has_most_in_a_full_log_loses_its_oldest_first(log: EventLog) -> None:
    add(log, "quiet")
    for number in range(300):
        add(log, f"e{number}", source="plugin/flooder", body=b"x" * 1_000)
    before = log.size
    with log.transaction():
        log.prune(before=0.0, dead_before=0.0, most_bytes=before - 1_000)

    assert before > log.size > before / 2
    assert b"quiet" in latest(log)


def test_dead_letters_give_way_in_a_full_log_and_what_waits_does_not(log: EventLog) -> None:
    add(log, "dead", "reader")
    add(log, "waits", "other")
    [due] = log.due("reader", after=0, count=1, most_bytes=1)[0]
    with log.transaction():
        log.bury(due.delivery_id, tries=1, reason="r", at=1.0, most=10)
    with log.transaction():
        first = log.prune(before=0.0, dead_before=0.0, most_bytes=0)
        last = log.prune(before=0.0, dead_before=0.0, most_bytes=0, sizes=first.sizes)

    assert (first.gone, first.again) == ({"reader": 1}, True)
    assert (last.gone, last.again) == ({}, True)
    with log.transaction():
        assert not log.prune(before=0.0, dead_before=0.0, most_bytes=0, sizes=last.sizes).again
    assert ids(log) == ["waits"]


def test_the_size_is_what_is_there(path: Path) -> None:
    log = EventLog.open(path)
    for number in range(20):
        add(log, f"e{number}", body=b"x" * 100)
    with log.transaction():
        log.prune(before=0.0, dead_before=0.0, most_bytes=3_000)
    size = log.size
    log.close()
    log = EventLog.open(path)
    again = log.size
    log.close()

    assert size == again
    assert size <= 3_000


def test_a_log_that_was_emptied_gives_the_disk_back(path: Path, log: EventLog) -> None:
    for number in range(200):
        add(log, f"e{number}", body=b"x" * 10_000)
    [full] = log._connection.execute("PRAGMA page_count").fetchone()
    with log.transaction():
        log.prune(before=1e12, dead_before=0.0, most_bytes=1 << 30)
    [empty] = log._connection.execute("PRAGMA page_count").fetchone()

    assert empty < full / 10


def test_a_round_of_forgetting_is_bounded_and_reads_every_event_once_for_all_rounds(
    log: EventLog,
) -> None:
    with log.transaction():
        for number in range(5_000):
            log.add(entry(f"e{number}"), [], since=1.0)
    statements: list[str] = []
    log._connection.set_trace_callback(statements.append)
    sizes, counts, again = None, [5_000], True
    while again:
        with log.transaction():
            ended = log.prune(before=0.0, dead_before=0.0, most_bytes=600, sizes=sizes)
        sizes, again = ended.sizes, ended.again
        counts.append(log._one("SELECT count(*) FROM events")[0])

    assert counts == [5_000, 3_000, 1_000, 1]
    assert sum("GROUP BY source" in each for each in statements) == 1
