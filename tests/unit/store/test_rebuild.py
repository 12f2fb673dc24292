"""A state file that is damaged is set aside as it is, and what can be read of it is kept."""

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.store import rebuild
from orchestrator.store.base import StoreCorrupt, StoreUnavailable
from orchestrator.store.rebuild import (
    REBUILT,
    Rebuilt,
    forgotten,
    last_rebuilt,
    open_or_rebuild,
    set_aside,
)
from orchestrator.store.salvage import salvage
from orchestrator.store.sqlite import SqliteStore

NOW = 1_795_390_000.0
PAGE = 4_096
MANY = {
    kind: {f"plugin-{number:03}": {"n": number, "text": "x" * 300} for number in range(60)}
    for kind in ("desired", "history", "override")
}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    path = tmp_path / "state.db"
    store = SqliteStore.open(path)
    store.replace(MANY)
    store.close()
    return path


def opened(path: Path, *, expected: bool = True) -> tuple[dict[str, Any], Rebuilt | None]:
    """All records but the one that tells, and what it tells."""
    store = open_or_rebuild(path, now=NOW, expected=expected)
    records: dict[str, Any] = store.dump()
    store.close()
    return records, last_rebuilt(records.pop(REBUILT, {}))


def spoil(path: Path, *pages: int) -> bytes:
    """Overwrite whole pages, counted from 1; the file as it is then."""
    content = bytearray(path.read_bytes())
    for page in pages:
        content[(page - 1) * PAGE : page * PAGE] = b"\xff" * PAGE
    path.write_bytes(content)
    return bytes(content)


def aside(path: Path) -> Path:
    (found,) = set_aside(path)
    return found


def test_a_sound_file_is_opened_and_nothing_is_told(state: Path) -> None:
    assert opened(state) == (MANY, None)
    assert set_aside(state) == []


def test_a_torn_page_costs_what_was_on_it_and_nothing_else(state: Path) -> None:
    """Any page: also those that only lead to others."""
    sound = state.read_bytes()
    for page in range(2, len(sound) // PAGE + 1):
        state.write_bytes(sound)
        before = spoil(state, page)
        records, told = opened(state)

        assert told is not None
        assert (told.at, told.complete) == (NOW, False)
        assert aside(state).read_bytes() == before
        assert told.aside == aside(state).name
        assert sum(map(len, MANY.values())) - 14 <= told.saved == sum(map(len, records.values()))
        assert all(
            MANY[k][key] == rec for k, table in records.items() for key, rec in table.items()
        )
        aside(state).unlink()


def test_what_was_deleted_does_not_come_back(state: Path) -> None:
    store = SqliteStore.open(state)
    store.put_all("desired", dict.fromkeys(MANY["desired"]))
    store.put_all("override", {"plugin-000": {"n": 9}})
    store.close()
    spoil(state, 1, 2)
    records, _ = opened(state)

    assert "desired" not in records
    assert records["override"]["plugin-000"] == {"n": 9}


def test_records_larger_than_a_page_are_saved(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    large = {"desired": {f"p{n}": {"text": "ü" * n} for n in (1, 300, 900, 1_500, 9_000, 40_000)}}
    store = SqliteStore.open(state)
    store.replace(large)
    store.close()
    spoil(state, 1)

    assert opened(state)[0] == large


@pytest.mark.parametrize("damage", [b"\xff" * PAGE, b"\x00" * PAGE, b"\xff" * 100])
def test_a_file_without_its_first_page_keeps_its_records(state: Path, damage: bytes) -> None:
    content = damage + state.read_bytes()[len(damage) :]
    state.write_bytes(content)
    records, told = opened(state)

    assert records == MANY
    assert told is not None
    assert not told.complete
    assert aside(state).read_bytes() == content


def test_a_record_that_was_changed_is_left_out_and_named(state: Path) -> None:
    content = state.read_bytes()
    state.write_bytes(content.replace(b'{"n": 7, ', b'{"n": 8, ', 1))
    records, told = opened(state)

    assert told is not None
    assert told.lost == ("desired/plugin-007",)
    assert told.complete
    assert told.lost_of("desired") == {"plugin-007"}
    assert told.lost_of("history") == set()
    assert "plugin-007" not in records["desired"]
    assert sum(map(len, records.values())) == 179
    assert str(told).endswith("179 records were saved, lost: desired/plugin-007")


RUBBISH: list[tuple[str, Callable[[Path], Any]]] = [
    ("another program's", lambda path: path.write_bytes(b"these are the words of another\n" * 50)),
    ("empty", lambda path: path.write_bytes(b"")),
    ("cut short", lambda path: path.write_bytes(path.read_bytes()[:2_000])),
]


@pytest.mark.parametrize(("words", "damage"), RUBBISH, ids=[words for words, _ in RUBBISH])
def test_what_holds_nothing_readable_is_set_aside_and_told(
    state: Path, words: str, damage: Callable[[Path], Any]
) -> None:
    damage(state)
    before = state.read_bytes()
    records, told = opened(state)

    assert records == {}
    assert told is not None
    assert (told.saved, told.complete) == (0, False)
    assert aside(state).read_bytes() == before


def test_a_file_that_is_missing_where_one_was_is_told(tmp_path: Path) -> None:
    _, told = opened(tmp_path / "state.db")

    assert told is not None
    assert "found none, though this instance has an audit log" in told.why
    assert (told.aside, told.complete) == ("", False)


def test_the_first_file_of_an_instance_tells_nothing(tmp_path: Path) -> None:
    assert opened(tmp_path / "state.db", expected=False) == ({}, None)


def test_what_is_told_stays_until_it_is_put_away(state: Path) -> None:
    state.write_bytes(b"")
    opened(state)
    assert opened(state)[1] is not None
    store = open_or_rebuild(state, now=NOW, expected=True)
    store.put_all(REBUILT, forgotten())
    store.close()

    assert opened(state)[1] is None


def test_a_second_damaged_file_does_not_overwrite_the_first(state: Path) -> None:
    state.write_bytes(b"first")
    opened(state)
    state.write_bytes(b"second")
    opened(state)

    assert sorted(path.read_bytes() for path in set_aside(state)) == [b"first", b"second"]


def test_what_was_not_yet_in_the_file_itself_is_saved_and_set_aside_with_it(tmp_path: Path) -> None:
    """A kill leaves the newest records in the write-ahead log."""
    live = SqliteStore.open(tmp_path / "live.db")
    live.put_all("desired", {"old": {}})
    live._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    live.put_all("desired", {"new": {"n": 1}})
    state = tmp_path / "state.db"
    for end in ("", "-wal"):
        shutil.copy(tmp_path / f"live.db{end}", tmp_path / f"state.db{end}")
    live.close()
    content = state.read_bytes()
    state.write_bytes(b"\xff" * 100 + content[100:])
    log = (tmp_path / "state.db-wal").read_bytes()
    records, told = opened(state)

    assert records == {"desired": {"old": {}, "new": {"n": 1}}}
    assert told is not None
    assert (tmp_path / f"{told.aside}-wal").read_bytes() == log


@pytest.mark.parametrize("left", [0, 31, 32, 5_000, 9_000])
def test_a_torn_write_ahead_log_costs_whole_writes_only(tmp_path: Path, left: int) -> None:
    live = SqliteStore.open(tmp_path / "live.db")
    for number in range(20):
        live.put_all("pair", {"left": {"n": number}, "right": {"n": number}})
    state = tmp_path / "state.db"
    shutil.copy(tmp_path / "live.db", state)
    log = (tmp_path / "live.db-wal").read_bytes()
    live.close()
    (tmp_path / "state.db-wal").write_bytes(log[: len(log) - left])
    records, told = opened(state)

    assert told is None
    assert records["pair"]["left"] == records["pair"]["right"]


def test_no_room_for_a_new_file_leaves_the_damaged_one(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = spoil(state, 1)

    def full(path: Path) -> Any:
        raise StoreUnavailable("the state could not be written: database or disk is full")

    monkeypatch.setattr(rebuild.SqliteStore, "replace", lambda store, records: full(state))
    with pytest.raises(StoreUnavailable, match="full"):
        open_or_rebuild(state, now=NOW, expected=True)

    assert state.read_bytes() == before
    assert set_aside(state) == []
    monkeypatch.undo()
    assert opened(state)[0] == MANY


KILLED = """
import os, signal, sys
from pathlib import Path
from orchestrator.store import rebuild

place, path = int(sys.argv[1]), Path(sys.argv[2])
steps = 0

def step(real):
    def counted(*arguments, **named):
        global steps
        steps += 1
        if steps == place:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **named)
    return counted

for name in ("rename", "replace", "unlink"):
    setattr(Path, name, step(getattr(Path, name)))
rebuild._sync = step(rebuild._sync)
rebuild.SqliteStore.replace = step(rebuild.SqliteStore.replace)
rebuild.salvage = step(rebuild.salvage)
rebuild.open_or_rebuild(path, now=0.0, expected=True).close()
print(steps)
"""


def test_killed_at_any_step_of_rebuilding_the_next_start_has_all_that_was_saved(
    state: Path, tmp_path: Path, python: str
) -> None:
    damaged = spoil(state, 1)
    place, ended = 0, -signal.SIGKILL
    while ended == -signal.SIGKILL:
        place += 1
        folder = tmp_path / str(place)
        folder.mkdir()
        path = folder / "state.db"
        path.write_bytes(damaged)
        command = [python, "-c", KILLED, str(place), str(path)]
        ended = subprocess.run(command, check=False, capture_output=True).returncode
        records, told = opened(path)

        assert (ended, records) == (ended, MANY), place
        assert told is not None, place
        assert aside(path).read_bytes() == damaged, place
        assert not (folder / "state.rebuilt").exists()
    assert ended == 0
    assert place > 8


def test_a_reader_sets_nothing_aside(state: Path) -> None:
    spoil(state, 2)
    before = {path: path.read_bytes() for path in state.parent.iterdir()}
    with pytest.raises(StoreCorrupt):
        SqliteStore.open_to_read(state)

    assert {n: b for n, b in before.items() if n.read_bytes() != b} == {}
    assert set_aside(state) == []


@example(content=bytes(7) + b"\x80", places=[3_881])  # the error was no text
@settings(max_examples=30)
@given(content=st.binary(max_size=3 * PAGE), places=st.lists(st.integers(0, 22 * PAGE - 1)))
def test_no_content_makes_the_salvage_fail_or_save_what_was_not_written(
    content: bytes, places: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.db"
        store = SqliteStore.open(path)
        store.replace(MANY)
        store.close()
        spoilt = bytearray(path.read_bytes())
        for number, place in enumerate(places):
            piece = content[number * 7 : number * 7 + 400]
            spoilt[place : place + len(piece)] = piece
        path.write_bytes(spoilt if places else content)
        found = salvage(path)

    assert all(
        MANY[k][key] == rec for k, table in found.records.items() for key, rec in table.items()
    )
