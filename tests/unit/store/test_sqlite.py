"""SqliteStore: what the store on disk lives through."""

import os
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import Kind
from orchestrator.store.base import StoreUnavailable
from orchestrator.store.sqlite import SqliteStore

RECORD = {"a": [1, 1.5, None, True, "ü→"], "b": {"c": {}}}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


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
