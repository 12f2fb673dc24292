"""RecordStore: one contract for all three stores."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.store.base import RecordStore
from orchestrator.store.memory import MemoryStore
from orchestrator.store.sqlite import SqliteStore

RECORD = {"a": [1, 1.5, None, True, "ü→\x00", "\ud800"], "b": {"c": {}}}


@pytest.fixture(
    params=["memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.docker)],
)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RecordStore]:
    made: RecordStore
    match request.param:
        case "memory":
            made = MemoryStore()
        case "sqlite":
            made = SqliteStore.open(tmp_path / "state.db")
        case _:
            made = request.getfixturevalue("elsewhere").open()
    yield made
    made.close()


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


def test_what_is_awkward_in_sql_is_a_key_as_any_other(store: RecordStore) -> None:
    keys = ["", "%", "a'b", "a;b--", "ü/→", "A", "a"]
    store.put_all("plugin", {key: {"key": key} for key in keys})
    store.put_all("plugin", {"A": None})

    assert store.load("plugin") == {key: {"key": key} for key in keys if key != "A"}
