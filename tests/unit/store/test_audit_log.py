"""AuditLog: what was recorded is read, rotated, synced and exported as it was."""

import asyncio
import json
import os
from typing import Any

import pytest

from orchestrator.model.audit import AuditAction, Auditor
from orchestrator.store.audit_chain import (
    GENESIS,
    Anchor,
    decode,
    verify,
)
from orchestrator.store.audit_log import AuditLog
from orchestrator.store.base import StoreUnavailable
from orchestrator.store.memory import MemoryStore
from tests.unit.store.audit_house import House, entry, named, whys


def test_what_was_recorded_is_read_newest_last(house: House) -> None:
    log: Auditor = house.open()
    for number in range(3):
        log.record(entry(number))
    assert isinstance(log, AuditLog)

    assert whys(log) == ["entry 0", "entry 1", "entry 2"]
    assert log.verify().intact
    assert (log.verify().records, log.lost) == (3, 0)


def test_an_entry_is_in_the_file_when_record_returns(house: House) -> None:
    log = house.open()
    log.record(entry(7))

    assert json.loads(house.lines()[-1])["entry"]["why"] == "entry 7"


def test_a_log_that_was_closed_goes_on_where_it_ended(house: House) -> None:
    house.write(0, 1)
    house.write(2)
    log = house.open()

    assert whys(log) == ["entry 0", "entry 1", "entry 2"]
    assert [record.sequence for record in log.read()] == [1, 2, 3]
    assert log.verify().intact


def test_the_folder_and_its_files_are_the_owners_alone(house: House) -> None:
    house.write(0)

    assert house.folder.stat().st_mode & 0o777 == 0o700
    assert (house.folder / "000001.jsonl").stat().st_mode & 0o777 == 0o600


def test_reading_picks_by_plugin_time_action_and_number(house: House) -> None:
    log = house.open()
    for number in range(10):
        action = AuditAction.EGRESS if number % 2 else AuditAction.QUOTA
        log.record(entry(number, plugin_id=f"p{number % 3}", action=action))

    assert whys(log, plugin="p0") == ["entry 0", "entry 3", "entry 6", "entry 9"]
    assert whys(log, since=8.0) == ["entry 8", "entry 9"]
    assert whys(log, action=AuditAction.QUOTA, plugin="p0") == ["entry 0", "entry 6"]
    assert whys(log, limit=2) == ["entry 8", "entry 9"]
    assert whys(log, plugin="p0", limit=3) == ["entry 3", "entry 6", "entry 9"]
    assert whys(log, limit=0) == []


# -- segments --------------------------------------------------------------------------------------


def test_a_segment_that_is_full_is_followed_by_another(house: House) -> None:
    house.write(*range(20), segment_bytes=1_500)
    log = house.open()

    assert len(house.files) > 3
    assert all((house.folder / name).stat().st_size <= 1_500 for name in house.files)
    assert whys(log) == [f"entry {number}" for number in range(20)]
    assert whys(log, limit=9) == [f"entry {number}" for number in range(11, 20)]
    assert log.verify().records == 20
    assert log.verify().intact


def test_every_segment_can_be_verified_alone(house: House) -> None:
    house.write(*range(20), segment_bytes=1_500)
    for name in house.files:
        first, *records = [decode(line[:-1]) for line in house.lines(name)]
        assert isinstance(first, Anchor)

        assert verify(records, start=first).intact


def test_a_record_longer_than_a_segment_is_written_all_the_same(house: House) -> None:
    house.write(0, 1, segment_bytes=10)

    assert whys(house.open()) == ["entry 0", "entry 1"]
    assert len(house.files) == 2


def test_a_segment_that_is_missing_is_found(house: House) -> None:
    house.write(*range(20), segment_bytes=1_500)
    lost = json.loads(house.lines("000002.jsonl")[1])["sequence"]
    (house.folder / "000002.jsonl").unlink()

    assert named(house.open()) == (lost, "removed")


# -- the anchor ------------------------------------------------------------------------------------


def test_closing_stores_the_newest_place(house: House) -> None:
    house.write(0, 1)

    assert house.anchor == {"sequence": 2, "hash": json.loads(house.lines()[-1])["hash"]}


async def test_what_was_written_is_anchored_within_moments(house: House) -> None:
    log = house.open()
    task = asyncio.ensure_future(log.keep_synced())  # noqa: TID251 - ended below
    log.record(entry(0))
    before = house.anchor
    await asyncio.sleep(0.5)
    task.cancel()

    assert before is None
    assert house.anchor == {"sequence": 1, "hash": log.place.hash}


async def test_a_burst_costs_few_syncs(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = 0
    real = os.fsync

    def counting(fd: int) -> None:
        nonlocal syncs
        syncs += 1
        real(fd)

    log = house.open()
    log.record(entry(0))
    monkeypatch.setattr(os, "fsync", counting)
    task = asyncio.ensure_future(log.keep_synced())  # noqa: TID251 - ended below
    for number in range(1_000):
        log.record(entry(number))
    await asyncio.sleep(0.5)
    task.cancel()

    assert 1 <= syncs <= 3


class CountingStore(MemoryStore):
    puts = 0

    def put_all(self, kind: str, records: Any) -> None:
        self.puts += 1
        super().put_all(kind, records)


async def test_a_log_that_nothing_is_written_to_writes_nothing(house: House) -> None:
    house.write(0)
    counting = CountingStore()
    counting.put_all("audit", {"newest": house.anchor})
    house.store = counting
    log = house.open()
    task = asyncio.ensure_future(log.keep_synced())  # noqa: TID251 - ended below
    await asyncio.sleep(0.5)
    task.cancel()
    log.close()

    assert counting.puts == 1


class FullStore(MemoryStore):
    def put_all(self, kind: str, records: Any) -> None:
        raise StoreUnavailable("no space left")


async def test_an_anchor_that_cannot_be_stored_is_told_and_tried_again(house: House) -> None:
    full = house.store = FullStore()
    log = house.open()
    task = asyncio.ensure_future(log.keep_synced())  # noqa: TID251 - ended below
    log.record(entry(0))
    await asyncio.sleep(0.3)
    trouble, full.__class__ = log.trouble, MemoryStore  # type: ignore[assignment]
    await asyncio.sleep(0.3)
    task.cancel()

    assert (trouble, log.trouble) == ("no space left", "")
    assert house.anchor == {"sequence": 1, "hash": log.place.hash}


# -- export ----------------------------------------------------------------------------------------


def test_an_export_is_every_record_as_a_json_line_and_can_be_verified(house: House) -> None:
    house.write(*range(20), segment_bytes=1_500)
    log = house.open()
    lines = list(log.export())

    assert all(line.endswith(b"\n") for line in lines)
    assert [json.loads(line)["entry"]["why"] for line in lines] == [
        f"entry {number}" for number in range(20)
    ]
    assert verify((decode(line[:-1]) for line in lines), anchor=log.place).intact


def test_an_export_ends_where_the_log_ended_when_it_began(house: House) -> None:
    log = house.open()
    for number in range(3):
        log.record(entry(number))
    exported = [line for line in log.export() if log.record(entry(99)) is None]

    assert len(exported) == 3
    assert len(log.read()) == 6


def test_an_export_keeps_lines_that_are_no_records(house: House) -> None:
    house.write(0, 1)
    house.put([*house.lines(), b"rubbish\n"])

    assert b"rubbish\n" in list(house.open().export())


def test_a_new_log_starts_from_nothing(house: House) -> None:
    log = house.open()

    assert (log.place, log.read(), log.verify().records) == (GENESIS, [], 0)
    assert house.files == []
