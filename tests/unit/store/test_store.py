"""RecordStore: one contract for both stores, and what the one on disk lives through."""

import os
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import Kind
from orchestrator.store.base import RecordStore, StoreUnavailable
from orchestrator.store.memory import MemoryStore
from orchestrator.store.sqlite import SqliteStore

RECORD = {"a": [1, 1.5, None, True, "ü→"], "b": {"c": {}}}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, state: Path) -> Any:
    made: RecordStore = MemoryStore() if request.param == "memory" else SqliteStore.open(state)
    yield made
    made.close()


# -- the contract -------------------------------------------------------------------------------


def test_a_new_store_holds_nothing(store: RecordStore) -> None:
    assert store.load("plugin") == {}


def test_what_is_put_is_loaded_as_it_was(store: RecordStore) -> None:
    store.put_all("plugin", {"one": RECORD, "two": {}})

    assert store.load("plugin") == {"one": RECORD, "two": {}}


def test_kinds_do_not_see_each_other(store: RecordStore) -> None:
    store.put_all("plugin", {"one": {"a": 1}})
    store.put_all("history", {"one": {"a": 2}})
    store.put_all("history", {"one": None})

    assert store.load("plugin") == {"one": {"a": 1}}
    assert store.load("history") == {}


def test_a_record_is_replaced_whole(store: RecordStore) -> None:
    store.put_all("plugin", {"one": {"a": 1, "b": 2}})
    store.put_all("plugin", {"one": {"a": 3}})

    assert store.load("plugin") == {"one": {"a": 3}}


def test_none_deletes_and_deleting_twice_is_quiet(store: RecordStore) -> None:
    store.put_all("plugin", {"one": {"a": 1}, "two": {"a": 2}})
    store.put_all("plugin", {"one": None, "three": {"a": 3}, "never": None})
    store.put_all("plugin", {"one": None})

    assert store.load("plugin") == {"two": {"a": 2}, "three": {"a": 3}}


def test_putting_nothing_changes_nothing(store: RecordStore) -> None:
    store.put_all("plugin", {"one": {"a": 1}})
    store.put_all("plugin", {})

    assert store.load("plugin") == {"one": {"a": 1}}


def test_all_records_are_put_or_none(store: RecordStore) -> None:
    store.put_all("plugin", {"one": {"a": 1}})
    unfit: Any = {"one": None, "two": {"a": 2}, "three": {"a": object()}}
    with pytest.raises(TypeError):
        store.put_all("plugin", unfit)

    assert store.load("plugin") == {"one": {"a": 1}}


def test_what_was_put_does_not_change_with_the_one_who_put_it(store: RecordStore) -> None:
    mine: Any = {"a": [1]}
    store.put_all("plugin", {"one": mine})
    mine["a"].append(2)

    assert store.load("plugin") == {"one": {"a": [1]}}


def test_what_was_loaded_can_be_changed_without_the_store(store: RecordStore) -> None:
    store.put_all("plugin", {"one": {"a": [1]}})
    loaded: Any = store.load("plugin")
    loaded["one"]["a"].append(2)
    del loaded["one"]

    assert store.load("plugin") == {"one": {"a": [1]}}


def test_a_dump_is_everything_and_a_copy(store: RecordStore) -> None:
    store.put_all("plugin", {"one": {"a": [1]}, "two": {}})
    store.put_all("history", {"one": RECORD})
    store.put_all("empty", {"one": None})
    dumped: Any = store.dump()
    dumped["plugin"]["one"]["a"].append(2)

    assert store.dump() == {"plugin": {"one": {"a": [1]}, "two": {}}, "history": {"one": RECORD}}


def test_replacing_leaves_nothing_of_what_was_there(store: RecordStore) -> None:
    store.put_all("plugin", {"one": {"a": 1}})
    store.replace({"history": {"two": RECORD}})

    assert store.dump() == {"history": {"two": RECORD}}


def test_everything_is_replaced_or_nothing(store: RecordStore) -> None:
    store.put_all("plugin", {"one": {"a": 1}})
    unfit: Any = {"plugin": {"two": {"a": 2}}, "history": {"three": {"a": object()}}}
    with pytest.raises(TypeError):
        store.replace(unfit)

    assert store.dump() == {"plugin": {"one": {"a": 1}}}


# -- on disk ------------------------------------------------------------------------------------


def opened(state: Path, then: Callable[[SqliteStore], Any]) -> Any:
    store = SqliteStore.open(state)
    try:
        return then(store)
    finally:
        store.close()


def rows(state: Path) -> Any:
    return opened(state, lambda store: store.load("plugin"))


def test_what_was_put_is_there_when_the_file_is_opened_again(state: Path) -> None:
    opened(state, lambda store: store.put_all("plugin", {"one": RECORD, "two": {"a": 1}}))
    opened(state, lambda store: store.put_all("plugin", {"two": None}))

    assert rows(state) == {"one": RECORD}


def test_what_was_put_is_seen_by_another_reader_at_once(state: Path) -> None:
    def read(store: SqliteStore) -> Any:
        store.put_all("plugin", {"one": {"a": 1}})
        return rows(state)

    assert opened(state, read) == {"one": {"a": 1}}


@pytest.mark.parametrize("place", ["missing/state.db", "file/state.db", "."])
def test_a_place_that_cannot_hold_the_file_is_unavailable(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StoreUnavailable) as caught:
        SqliteStore.open(tmp_path / place)

    assert (caught.value.kind, caught.value.code) == (Kind.EXHAUSTED, "store_unavailable")


def test_a_write_that_the_disk_refuses_is_unavailable_and_changes_nothing(state: Path) -> None:
    def write(store: SqliteStore) -> None:
        store.put_all("plugin", {"one": {"a": 1}})
        # As a full disk does: no page beyond those there are.
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreUnavailable, match="could not be written"):
            store.put_all("plugin", {"one": None, "two": {"text": "x" * 1_000_000}})

        assert store.load("plugin") == {"one": {"a": 1}}

    opened(state, write)


def test_a_locked_file_is_unavailable(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(store: SqliteStore) -> None:
        store._connection.execute("PRAGMA busy_timeout = 1")
        other = sqlite3.connect(state, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        try:
            with pytest.raises(StoreUnavailable, match="locked"):
                store.put_all("plugin", {"one": {"a": 1}})
        finally:
            other.close()

    opened(state, write)


WRITER = """
import sys
from pathlib import Path
from orchestrator.store.sqlite import SqliteStore

store = SqliteStore.open(Path(sys.argv[1]))
for number in range(1_000_000):
    store.put_all("plugin", {"left": {"n": number}, "right": {"n": number}})
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""


@pytest.mark.parametrize("after", [1, 20, 63])
def test_a_killed_writer_loses_nothing_that_was_put(state: Path, python: str, after: int) -> None:
    command = [python, "-c", WRITER, str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for _ in range(after):
            writer.stdout.readline()
        os.kill(writer.pid, signal.SIGKILL)
        told = [after - 1, *map(int, writer.stdout.read().split())][-1]
    found = rows(state)

    assert found["left"] == found["right"]
    # The one more that was put and could not be told any more.
    assert found["left"]["n"] in {told, told + 1}
