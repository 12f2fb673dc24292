"""A state file of an earlier version is brought to this one, of a later one is left alone."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import Kind
from orchestrator.store import sqlite
from orchestrator.store.base import StoreCorrupt, StoreTooNew
from orchestrator.store.migrations import LATEST, STEPS, Step, pending
from orchestrator.store.rebuild import open_or_rebuild, set_aside
from orchestrator.store.sqlite import SqliteStore

VERSION_1 = """
CREATE TABLE IF NOT EXISTS records (
    kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID
"""
"""As the first version made it, in its own words: nothing here may change with the code."""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "state.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(VERSION_1)
    connection.execute("PRAGMA user_version = 1")
    with connection:
        connection.execute(
            "INSERT INTO records VALUES ('desired', 'notes', '{\"a\": \"\\u00fc\"}')"
        )
        connection.execute("INSERT INTO records VALUES ('history', 'notes', '{}')")
    connection.close()
    return path


def version(path: Path) -> int:
    connection = sqlite3.connect(path)
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.close()
    return found


def rebuilding(path: Path) -> object:
    return open_or_rebuild(path, now=0.0, expected=True)


def test_the_steps_are_numbered_from_one_without_a_gap() -> None:
    assert [step.version for step in STEPS] == list(range(1, LATEST + 1))


def test_a_file_of_version_1_keeps_its_records_and_gets_the_version_of_today(old: Path) -> None:
    store = SqliteStore.open(old)
    store.put_all("history", {"other": {"n": 1}})

    assert store.dump() == {
        "desired": {"notes": {"a": "ü"}},
        "history": {"notes": {}, "other": {"n": 1}},
    }
    store.close()
    assert version(old) == LATEST
    sqlite.check(old)


def test_a_reader_of_a_file_of_version_1_changes_nothing(old: Path) -> None:
    store = SqliteStore.open_to_read(old)

    assert store.load("desired") == {"notes": {"a": "ü"}}
    store.close()
    assert version(old) == 1


def test_a_step_that_fails_leaves_the_version_before(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Step(
        version=LATEST + 1,
        brings="nothing",
        sqlite=("CREATE TABLE half (a)", "DELETE FROM records", "SELECT nothing()"),
        postgresql=(),
    )
    monkeypatch.setattr(sqlite, "pending", lambda at, where: (*pending(at, where=where), broken))
    with pytest.raises(Exception, match="nothing"):
        SqliteStore.open(old)
    monkeypatch.undo()

    assert version(old) == LATEST
    store = SqliteStore.open(old)
    assert store.load("desired") == {"notes": {"a": "ü"}}
    store.close()


@pytest.mark.parametrize("opening", [SqliteStore.open, SqliteStore.open_to_read, rebuilding])
def test_a_file_of_a_later_version_is_refused_and_left_as_it_is(
    old: Path, opening: Callable[[Path], object]
) -> None:
    connection = sqlite3.connect(old)
    connection.execute(f"PRAGMA user_version = {LATEST + 1}")
    connection.close()
    before = old.read_bytes()
    with pytest.raises(
        StoreTooNew, match=f"found state of version {LATEST + 1}, expected at most"
    ) as caught:
        opening(old)

    assert (caught.value.kind, caught.value.code) == (Kind.CONFLICT, "store_too_new")
    assert old.read_bytes() == before
    assert {path.suffix for path in old.parent.iterdir()} <= {".db", ".db-wal", ".db-shm"}
    assert set_aside(old) == []


def test_a_record_whose_content_changed_on_the_disk_is_found(old: Path) -> None:
    store = SqliteStore.open(old)
    store.put_all("desired", {"notes": {"memory": 128}})
    store.close()
    content = old.read_bytes()
    assert content.count(b'"memory": 128') == 1
    old.write_bytes(content.replace(b'"memory": 128', b'"memory": 928'))
    with pytest.raises(StoreCorrupt, match="record desired/notes is not as it was written"):
        SqliteStore.open(old)
