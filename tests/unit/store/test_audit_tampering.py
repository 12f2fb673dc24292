"""AuditLog: whatever is done to its files is found, and stays found after the log goes on."""

import json

import pytest

from orchestrator.store.audit_chain import (
    Anchor,
    ChainedRecord,
    decode,
    encode,
    link,
)
from orchestrator.store.memory import MemoryStore
from tests.unit.store.audit_house import House, entry, named, whys


@pytest.mark.parametrize(
    ("order", "found"),
    [
        ([0, 1, 3, 4, 5], (2, "removed")),
        ([0, 2, 3, 4, 5], (1, "removed")),
        ([0, 1, 3, 2, 4, 5], (2, "reordered")),
        ([0, 1, 2, 3, 2, 4, 5], (2, "doubled")),
        ([1, 2, 3, 4, 5], None),
    ],
)
def test_the_first_record_that_was_tampered_with_is_named(
    house: House, order: list[int], found: tuple[int, str] | None
) -> None:
    house.write(*range(5))
    whole = house.lines()
    house.put([whole[at] for at in order])

    assert named(house.open()) == found


def test_a_changed_word_is_found(house: House) -> None:
    house.write(*range(5))
    house.put([line.replace(b"entry 2", b"entry 9") for line in house.lines()])

    assert named(house.open()) == (3, "changed")


@pytest.mark.parametrize("left", [0, 1, 3])
def test_an_end_that_was_cut_off_stays_a_break_for_ever(house: House, left: int) -> None:
    house.write(*range(5))
    house.put(house.lines()[: left + 1] if left else [])
    house.write(10, 11)
    log = house.open()

    assert named(log) == (left + 1, "removed")
    assert f"record {left + 1} was removed" in whys(log)[left]
    assert whys(log)[-2:] == ["entry 10", "entry 11"]
    assert [record.sequence for record in log.read()][-3:] == [6, 7, 8]


def test_a_log_that_was_deleted_whole_is_a_break(house: House) -> None:
    house.write(*range(5))
    (house.folder / "000001.jsonl").unlink()

    assert named(house.open()) == (1, "removed")


def test_an_end_that_was_cut_off_while_the_log_is_open_is_found(house: House) -> None:
    log = house.open()
    for number in range(5):
        log.record(entry(number))
    house.put(house.lines()[:3])

    assert named(log) == (3, "removed")


def rewritten(whole: list[bytes], at: int) -> list[bytes]:
    """From record `at` on, as somebody writes it who makes every hash fit."""
    made, place = whole[:at], decode(whole[at - 1][:-1])
    for number, line in enumerate(whole[at:], start=at):
        assert isinstance(place, Anchor | ChainedRecord)
        place = link(place.hash, number, entry(int(json.loads(line)["entry"]["at"]), why="forged"))
        made.append(encode(place) + b"\n")
    return made


def test_an_end_that_was_written_anew_stays_a_break_for_ever(house: House) -> None:
    house.write(*range(5))
    house.put(rewritten(house.lines(), 3))
    house.write(10)
    house.write(11)
    log = house.open()

    assert named(log) == (5, "changed")
    assert "record 5 was changed" in whys(log)[5]


def test_an_end_that_was_written_anew_and_longer_is_found_at_the_anchor(house: House) -> None:
    house.write(*range(5))
    whole = house.lines()
    house.put(rewritten([*whole, whole[-1]], 3))
    house.write(10)
    log = house.open()

    assert named(log) is not None
    assert "record 5 was changed" in whys(log)[6]


def test_a_log_without_its_anchor_is_taken_as_found_and_says_so(house: House) -> None:
    house.write(0, 1)
    house.store = MemoryStore()
    log = house.open()

    assert log.verify().intact
    assert "no anchor" in whys(log)[-1]
