"""The chain: whatever is done to a record, `verify` names the first and says what was done."""

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.model.audit import AuditAction, AuditEntry, AuditOutcome
from orchestrator.store.audit_chain import (
    GENESIS,
    Anchor,
    ChainedRecord,
    Damage,
    Unreadable,
    link,
    verify,
)

LENGTHS = st.integers(4, 9)


def entry(**fields: Any) -> AuditEntry:
    plain: dict[str, Any] = {
        "at": 1_000.5,
        "actor": "plugin:notes",
        "action": AuditAction.EGRESS,
        "outcome": AuditOutcome.REFUSED,
        "plugin_id": "notes",
        "why": "ü→ not granted",
        "data": {"host": "a.example", "port": 443, "nested": [1, None, {"x": True}]},
    }
    return AuditEntry(**plain | fields)


def chain_of(length: int) -> list[Any]:
    records: list[Any] = []
    for number in range(1, length + 1):
        before = records[-1].hash if records else GENESIS.hash
        records.append(link(before, number, entry(at=float(number))))
    return records


def end(records: list[Any]) -> Anchor:
    return Anchor(sequence=records[-1].sequence, hash=records[-1].hash)


def judged(records: list[Any], anchor: Anchor | None) -> tuple[int, str] | None:
    found = verify(records, anchor=anchor).first_break
    return None if found is None else (found.sequence, found.damage.value)


def forged(record: ChainedRecord, **fields: Any) -> ChainedRecord:
    """Changed by somebody who makes the hash fit again."""
    other = replace(record, **fields)
    text = json.dumps(
        {"sequence": other.sequence, "previous": other.previous_hash, "entry": other.entry},
        sort_keys=True,
        separators=(",", ":"),
    )
    return replace(other, hash=hashlib.sha256(text.encode()).hexdigest())


def test_the_hash_is_sha256_over_number_previous_hash_and_entry() -> None:
    record = link("ab", 7, entry())

    assert record.hash == forged(record).hash
    assert (record.sequence, record.previous_hash) == (7, "ab")
    assert record.entry == {
        "at": 1_000.5,
        "actor": "plugin:notes",
        "action": "egress",
        "outcome": "refused",
        "plugin_id": "notes",
        "why": "ü→ not granted",
        "data": {"host": "a.example", "port": 443, "nested": [1, None, {"x": True}]},
    }


@given(length=LENGTHS)
def test_a_chain_as_it_was_written_is_intact(length: int) -> None:
    records = chain_of(length)
    verdict = verify(records, anchor=end(records))

    assert verdict.intact
    assert (verdict.records, verdict.last) == (length, end(records))


def test_an_empty_chain_is_intact_unless_the_anchor_knows_of_records() -> None:
    assert verify([], anchor=None).intact
    assert judged([], end(chain_of(2))) == (1, "removed")


@given(length=LENGTHS, data=st.data(), with_anchor=st.booleans())
def test_a_changed_record_is_named(length: int, data: Any, with_anchor: bool) -> None:  # noqa: FBT001
    records = chain_of(length)
    anchor = end(records) if with_anchor else None
    at = data.draw(st.integers(0, length - 1))
    change = data.draw(
        st.sampled_from(
            [
                {"entry": {**records[at].entry, "why": "it was allowed"}},
                {"previous_hash": "f" * 64},
                {"hash": "f" * 64},
                {"sequence": 77},
            ]
        )
    )
    records[at] = replace(records[at], **change)

    assert judged(records, anchor) == (at + 1, "changed")


@given(length=LENGTHS, data=st.data())
def test_a_record_that_was_forged_with_a_fitting_hash_is_named(length: int, data: Any) -> None:
    records = chain_of(length)
    anchor = end(records)
    at = data.draw(st.integers(0, length - 1))
    records[at] = forged(records[at], entry={**records[at].entry, "why": "it was allowed"})

    assert judged(records, anchor) == (at + 1, "changed")


@given(length=LENGTHS, data=st.data())
def test_a_record_whose_link_was_forged_is_named_and_not_its_neighbour(
    length: int, data: Any
) -> None:
    records = chain_of(length)
    anchor = end(records)
    at = data.draw(st.integers(0, length - 1))
    records[at] = forged(records[at], previous_hash="f" * 64)

    assert judged(records, anchor) == (at + 1, "changed")


def test_a_chain_written_anew_to_its_end_does_not_fit_the_anchor() -> None:
    records = chain_of(5)
    anchor = end(records)
    for at in range(2, 5):
        fields: dict[str, Any] = {"previous_hash": records[at - 1].hash}
        if at == 2:
            fields["entry"] = {**records[at].entry, "why": "it was allowed"}
        records[at] = forged(records[at], **fields)

    assert judged(records, anchor=None) is None
    assert judged(records, anchor) == (5, "changed")


@given(length=LENGTHS, data=st.data())
def test_removed_records_are_named_by_the_first(length: int, data: Any) -> None:
    records = chain_of(length)
    anchor = end(records)
    first = data.draw(st.integers(0, length - 1))
    last = data.draw(st.integers(first + 1, length))
    del records[first:last]

    assert judged(records, anchor) == (first + 1, "removed")


@given(length=LENGTHS, data=st.data())
def test_a_record_that_was_moved_back_is_named(length: int, data: Any) -> None:
    records = chain_of(length)
    anchor = end(records)
    at = data.draw(st.integers(0, length - 2))
    to = data.draw(st.integers(at + 1, length - 1))
    records.insert(to, records.pop(at))

    assert judged(records, anchor) == (at + 1, "reordered")


@given(length=LENGTHS, data=st.data())
def test_a_doubled_record_is_named(length: int, data: Any) -> None:
    records = chain_of(length)
    anchor = end(records)
    at = data.draw(st.integers(0, length - 1))
    to = data.draw(st.integers(at + 1, length))
    records.insert(to, records[at])

    assert judged(records, anchor) == (at + 1, "doubled")


@given(length=LENGTHS, data=st.data())
def test_a_line_that_is_no_record_is_told_at_the_record_it_stands_for(
    length: int, data: Any
) -> None:
    records = chain_of(length)
    anchor = end(records)
    at = data.draw(st.integers(0, length - 1))
    records[at] = Unreadable(found="rubbish")

    assert judged(records, anchor) == (at + 1, "changed")


def test_the_first_break_is_the_one_that_is_told() -> None:
    records = chain_of(9)
    anchor = end(records)
    del records[6]
    records[3] = replace(records[3], hash="f" * 64)
    records.append(records[0])
    verdict = verify(records, anchor=anchor)

    assert verdict.first_break is not None
    assert (verdict.first_break.sequence, verdict.first_break.damage) == (4, Damage.CHANGED)
    assert (verdict.records, verdict.last) == (3, end(chain_of(3)))


def test_a_break_says_what_was_found_and_what_was_expected() -> None:
    records = chain_of(4)
    del records[1]

    assert str(verify(records).first_break) == (
        "record 2 was removed: found record 3 in its place, expected record 2"
    )


def test_records_after_the_anchor_are_no_break() -> None:
    records = chain_of(5)

    assert judged(records, end(records[:3])) is None


# -- segments -----------------------------------------------------------------------------------


def in_segments(records: list[Any]) -> tuple[list[Any], list[Any]]:
    """Two, broken after record 3."""
    return [GENESIS, *records[:3]], [end(records[:3]), *records[3:]]


def test_segments_are_intact_together_and_alone() -> None:
    records = chain_of(6)
    one, two = in_segments(records)

    assert verify([*one, *two], anchor=end(records)).records == 6
    assert verify([*one, *two], anchor=end(records)).intact
    assert verify(two, start=two[0]).intact
    assert verify(two, start=two[0]).last == end(records)


@pytest.mark.parametrize(
    ("one", "two", "named"),
    [
        ((0, 1, 2), (0, 1, 2, 3), (3, "removed")),
        ((0, 1, 2, 3), (0, 2, 3), (4, "removed")),
        ((), (0, 1, 2, 3), (1, "removed")),
        ((0, 1, 2, 3), (0, 1, 2), (6, "removed")),
        ((0, 1, 2, 3), (), (4, "removed")),
        ((0, 2, 1, 3), (0, 1, 2, 3), (1, "reordered")),
        ((0, 1, 2, 3, 3), (0, 1, 2, 3), (3, "doubled")),
    ],
)
def test_what_is_done_to_a_segment_is_found(
    one: tuple[int, ...], two: tuple[int, ...], named: tuple[int, str]
) -> None:
    records = chain_of(6)
    first, second = in_segments(records)
    left = [*(first[at] for at in one), *(second[at] for at in two)]

    assert judged(left, end(records)) == named


def test_segments_that_changed_places_are_found() -> None:
    records = chain_of(6)
    one, two = in_segments(records)

    assert judged([*two, *one], end(records)) == (1, "reordered")
    assert judged([*one, *two, *two], end(records)) == (4, "doubled")


@pytest.mark.parametrize("wrong", [Anchor(sequence=9, hash="f" * 64), Anchor(sequence=3, hash="")])
def test_a_changed_first_line_is_found_and_no_record_is_blamed_for_leaving(wrong: Anchor) -> None:
    records = chain_of(6)
    one, two = in_segments(records)

    assert judged([*one, wrong, *two[1:]], end(records)) == (4, "changed")


def test_a_last_record_that_was_forged_before_a_rotation_is_named() -> None:
    records = chain_of(6)
    one, two = in_segments(records)
    one[-1] = forged(one[-1], entry={"why": "nothing happened"})

    assert judged([*one, *two], end(records)) == (3, "changed")
