"""AuditLog: nothing gets lost quietly, whatever happens to the process or the disk."""

import errno
import os
import resource
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from orchestrator.store.audit_chain import (
    Anchor,
    decode,
)
from orchestrator.store.audit_segments import MAX_LINE_BYTES, lines
from orchestrator.store.base import StoreUnavailable
from tests.unit.store.audit_house import House, entry, named, whys


@contextmanager
def no_file_grows_beyond(size: int) -> Iterator[None]:
    """As a full disk: a write takes what fits, and the next one nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_raises_nothing_and_is_counted_and_told(house: House) -> None:
    log = house.open()
    log.record(entry(0))
    size = (house.folder / "000001.jsonl").stat().st_size
    with no_file_grows_beyond(size + 100):
        for number in range(1, 4):
            log.record(entry(number))
        lost, trouble = log.lost, log.trouble
        after = (house.folder / "000001.jsonl").stat().st_size
    log.record(entry(4))
    log.record(entry(5))

    assert (lost, after) == (3, size)
    assert "File too large" in trouble
    assert whys(log) == [
        "entry 0",
        "audit log: 3 entries before this one could not be written",
        "entry 4",
        "entry 5",
    ]
    assert log.verify().intact


def test_half_a_line_that_could_not_be_taken_back_is_taken_back_later(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int, size: int) -> None:
        raise OSError(errno.EIO, "bad disk")

    log = house.open()
    log.record(entry(0))
    size = (house.folder / "000001.jsonl").stat().st_size
    with no_file_grows_beyond(size + 100), monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", refuse)
        log.record(entry(1))
    left = (house.folder / "000001.jsonl").stat().st_size
    log.record(entry(2))

    assert (log.lost, left) == (1, size + 100)
    assert whys(log)[-1] == "entry 2"
    assert log.verify().intact


def test_a_rotation_on_a_full_disk_is_made_up_for_later(house: House) -> None:
    log = house.open(segment_bytes=500)
    log.record(entry(0))
    with no_file_grows_beyond(20):
        log.record(entry(1))
    log.record(entry(2))

    assert log.lost == 1
    assert whys(log)[-1] == "entry 2"
    assert log.verify().intact
    assert all(isinstance(decode(house.lines(name)[0][:-1]), Anchor) for name in house.files)


def test_an_entry_after_closing_is_counted(house: House) -> None:
    log = house.open()
    log.close()
    log.record(entry(0))

    assert (log.lost, log.trouble) == (1, "the audit log is closed")


@pytest.mark.parametrize("cut", [1, 30, 200])
def test_a_torn_last_line_is_set_aside_and_noted(house: House, cut: int) -> None:
    house.write(0, 1)
    torn = house.lines()[-1][:cut]
    house.put([*house.lines(), torn])
    log = house.open()
    log.record(entry(2))
    [aside] = [name for name in house.files if name.endswith(".torn")]

    assert (house.folder / aside).read_bytes() == torn
    assert log.read()[-2].entry["data"] == {"file": aside, "bytes": cut}
    assert "torn" in whys(log)[-2]
    assert whys(log)[-1] == "entry 2"
    assert log.verify().intact


def test_a_last_line_that_lacks_only_its_end_is_kept(house: House) -> None:
    house.write(0, 1)
    house.put([*house.lines()[:-1], house.lines()[-1].removesuffix(b"\n")])
    log = house.open()
    log.record(entry(2))

    assert whys(log) == ["entry 0", "entry 1", "entry 2"]
    assert log.verify().intact


def test_a_place_that_cannot_hold_the_log_is_unavailable(house: House) -> None:
    house.folder.write_text("a file", encoding="utf-8")
    with pytest.raises(StoreUnavailable, match="audit log cannot be opened"):
        house.open()


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "data", [{"x": b"bytes"}, {"x": float("nan")}, {"x": object()}, {"x": nested(100_000)}]
)
def test_what_json_cannot_say_is_left_out_and_the_rest_is_kept(house: House, data: Any) -> None:
    log = house.open()
    log.record(entry(1, data=data))
    [record] = log.read()

    assert (record.entry["why"], record.entry["data"]) == ("entry 1", {"left_out": "not JSON"})
    assert log.lost == 0


def test_an_entry_without_a_time_is_counted_as_lost(house: House) -> None:
    log = house.open()
    log.record(entry(at=float("nan")))

    assert log.lost == 1


@pytest.mark.parametrize("field", ["why", "actor", "plugin_id"])
def test_an_entry_of_any_size_makes_a_line_that_a_reader_can_hold(house: House, field: str) -> None:
    log = house.open()
    log.record(entry(1, data={"body": "x" * MAX_LINE_BYTES}, **{field: "ü" * 1_000_000}))
    log.record(entry(2))

    assert all(len(line) <= MAX_LINE_BYTES for line in house.lines())
    assert log.read()[0].entry[field] == "ü" * 200
    assert (whys(log)[1], log.lost, named(log)) == ("entry 2", 0, None)


def test_a_line_without_end_is_a_break_and_fills_no_memory(house: House) -> None:
    house.write(0, 1)
    house.put([*house.lines(), b"x" * 1_000_000, b"\n"])
    log = house.open()
    log.record(entry(2))

    assert whys(log)[-1] == "entry 2"
    assert named(log) == (3, "changed")


def test_no_line_is_held_in_memory_whole(house: House) -> None:
    house.write(0)
    house.put([b"x" * 1_000_000])

    assert max(map(len, lines(house.folder / "000001.jsonl"))) <= MAX_LINE_BYTES + 1


def test_a_torn_line_of_any_length_is_set_aside_whole(house: House) -> None:
    house.write(0, 1)
    house.put([*house.lines(), b"x" * 1_000_000])
    log = house.open()

    assert log.read()[-1].entry["data"]["bytes"] == 1_000_000  # type: ignore[index, call-overload]
    assert named(log) is None


def test_threads_may_record_while_others_read(house: House) -> None:
    log = house.open(segment_bytes=20_000)
    done = threading.Event()
    broken: list[Any] = []

    def look() -> None:
        while not done.is_set():
            broken.extend([named(log)] if named(log) else [])

    def write() -> None:
        for number in range(200):
            log.record(entry(number))

    reader, writers = (
        threading.Thread(target=look),
        [threading.Thread(target=write) for _ in range(3)],
    )
    for thread in [reader, *writers]:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()

    assert broken == []
    assert log.verify().records == 600


WRITER = """
import sys
from pathlib import Path
from orchestrator.clock import SystemClock
from orchestrator.model.audit import AuditAction, AuditEntry, AuditOutcome
from orchestrator.store.audit_log import AuditLog
from orchestrator.store.memory import MemoryStore

log = AuditLog.open(
    Path(sys.argv[1]), store=MemoryStore(), clock=SystemClock(), segment_bytes=20_000
)
for number in range(1_000_000):
    log.record(AuditEntry(at=0.0, actor="operator", action=AuditAction.COMMAND,
                          outcome=AuditOutcome.DONE, why=str(number)))
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""


@pytest.mark.parametrize("after", [1, 20, 300])
def test_a_killed_writer_loses_nothing_that_was_recorded(
    house: House, python: str, after: int
) -> None:
    command = [python, "-c", WRITER, str(house.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for _ in range(after):
            writer.stdout.readline()
        os.kill(writer.pid, signal.SIGKILL)
        told = [after - 1, *map(int, writer.stdout.read().split())][-1]
    log = house.open()
    found = [why for why in whys(log, limit=10_000_000) if why.isdecimal()]

    assert found[: told + 1] == [str(number) for number in range(told + 1)]
    assert len(found) <= told + 2
    assert log.verify().intact
