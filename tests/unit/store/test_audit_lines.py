"""A record as a line: read back as it was written, and in no other spelling."""

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
    Unreadable,
    decode,
    encode,
    link,
    verify,
)


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


def end(records: list[Any]) -> Anchor:
    return Anchor(sequence=records[-1].sequence, hash=records[-1].hash)


def forged(record: ChainedRecord, **fields: Any) -> ChainedRecord:
    """Changed by somebody who makes the hash fit again."""
    other = replace(record, **fields)
    text = json.dumps(
        {"sequence": other.sequence, "previous": other.previous_hash, "entry": other.entry},
        sort_keys=True,
        separators=(",", ":"),
    )
    return replace(other, hash=hashlib.sha256(text.encode()).hexdigest())


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Lone surrogates too: file names and hostile hosts hold them.
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(data=st.dictionaries(st.text(), VALUES), why=st.text(), number=st.integers(1, 2**63))
def test_a_record_is_read_back_as_it_was_written(data: Any, why: str, number: int) -> None:
    record = link("0" * 64, number, entry(data=data, why=why))
    line = encode(record)

    assert b"\n" not in line
    assert decode(line) == record


def test_a_first_line_is_read_back_as_it_was_written() -> None:
    assert decode(encode(GENESIS)) == GENESIS


def test_an_entry_of_another_version_is_a_record_like_any() -> None:
    record = forged(link("0" * 64, 1, entry()), entry={"action": "not_yet_invented", "x": 1})

    assert decode(encode(record)) == record
    assert verify([record], anchor=end([record])).intact


LINE = encode(link(GENESIS.hash, 1, entry()))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"rubbish",
        b"[]",
        b"null",
        b'{"continues":{}}',
        b'{"continues":{"hash":"","sequence":1e999}}',
        b'{"continues":{"hash":0,"sequence":1}}',
        b"[" * 100_000,
        b"\xff\xfe",
        LINE[:-1],
        LINE + b" ",
        LINE.replace(b":", b": ", 1),
        LINE.replace(b'"why":', b'"why":"x","why":'),
        LINE.replace(b'"sequence":1', b'"sequence":"1"'),
        LINE.replace(b'"sequence":1', b'"sequence":1,"more":2'),
    ],
)
def test_a_line_in_any_other_spelling_is_no_record(line: bytes) -> None:
    assert isinstance(decode(line), Unreadable)


@given(st.binary())
def test_reading_a_line_never_raises(line: bytes) -> None:
    assert isinstance(decode(line), Unreadable) or encode(decode(line)) == line  # type: ignore[arg-type]
