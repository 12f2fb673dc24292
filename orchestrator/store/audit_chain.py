"""The audit chain: records that each carry the hash of the one before. Pure.

What it finds: any change, removal, move or copy by whoever cannot also rewrite every later record
and the anchor. The hash is no signature: against somebody who owns the whole state folder only an
anchor that is kept elsewhere (an export, a printed line) helps.

The hash is taken over the entry's JSON as it was written, not over an AuditEntry read back from
it, so that records outlive fields and actions that come or go with a version.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from itertools import chain

from pydantic import JsonValue

from orchestrator.model.audit import AuditEntry

_HASH_CHARACTERS = 64
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """A place in the chain: the record of that number has that hash."""

    sequence: int
    hash: str


GENESIS = Anchor(sequence=0, hash="0" * _HASH_CHARACTERS)
"""Before the first record, which is number 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainedRecord:
    """One entry in its place."""

    sequence: int
    previous_hash: str
    entry: Mapping[str, JsonValue]
    """The AuditEntry as JSON, with the fields of the version that wrote it."""
    hash: str

    @property
    def place(self) -> Anchor:
        return Anchor(sequence=self.sequence, hash=self.hash)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A line that nobody here wrote, or that is no longer as it was written."""

    found: str


Item = ChainedRecord | Anchor | Unreadable
"""A line of a segment; an Anchor is its first: where the segment before ended."""


class Damage(StrEnum):
    """What happened to the first record that is not as it should be."""

    CHANGED = "changed"
    REMOVED = "removed"
    REORDERED = "reordered"
    DOUBLED = "doubled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """The first record that is not as it should be."""

    sequence: int
    damage: Damage
    found: str
    expected: str

    def __str__(self) -> str:
        return (
            f"record {self.sequence} was {self.damage}: "
            f"found {self.found}, expected {self.expected}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What `verify` says of a chain."""

    records: int
    """How many are whole and in their place, up to the first break."""
    last: Anchor
    """The newest of them."""
    first_break: Break | None = None

    @property
    def intact(self) -> bool:
        return self.first_break is None


def link(previous_hash: str, sequence: int, entry: AuditEntry) -> ChainedRecord:
    """The record that holds `entry`. Raises ValueError or TypeError for what JSON cannot say."""
    # Through JSON and back: what is hashed now is what a reader of the line will hash.
    as_json: dict[str, JsonValue] = json.loads(
        _canonical(
            {field.name: getattr(entry, field.name) for field in fields(entry)}
            | {"data": dict(entry.data)}
        )
    )
    return ChainedRecord(
        sequence=sequence,
        previous_hash=previous_hash,
        entry=as_json,
        hash=_hash(sequence, previous_hash, as_json),
    )


def encode(item: ChainedRecord | Anchor) -> bytes:
    """One line without its end; `decode` is the inverse."""
    if isinstance(item, Anchor):
        return _canonical({"continues": asdict(item)}).encode()
    return _canonical(
        {
            "sequence": item.sequence,
            "previous": item.previous_hash,
            "entry": dict(item.entry),
            "hash": item.hash,
        }
    ).encode()


def decode(line: bytes) -> Item:
    """A line read back. Another spelling of the same JSON is no record: readers could differ."""
    try:
        item = _item(json.loads(line))
        if encode(item) == line:
            return item
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        pass
    shown = line[:_SHOWN_CHARACTERS].decode(errors="replace")
    return Unreadable(found=f"{shown!r}, which is no record as the log writes them")


def verify(
    items: Iterable[Item], *, start: Anchor = GENESIS, anchor: Anchor | None = None
) -> Verdict:
    """Walk the chain from `start`; `anchor` is the newest record known to have been there.

    Alone, a segment is verified with `start` taken from its own first line.
    """
    rest = iter(items)
    last, records = start, 0
    for item in rest:
        found = _judge(item, last, rest, anchor)
        if found is not None:
            return Verdict(records=records, last=last, first_break=found)
        if isinstance(item, ChainedRecord):
            last, records = item.place, records + 1
    return Verdict(records=records, last=last, first_break=_end(last, anchor))


def _judge(item: Item, last: Anchor, rest: Iterator[Item], anchor: Anchor | None) -> Break | None:
    """What is wrong with the item that comes after `last`."""
    due = last.sequence + 1
    if isinstance(item, Unreadable):
        return _broken(due, Damage.CHANGED, item.found, f"record {due}")
    own_hash = _own_hash(item)
    if own_hash != item.hash:
        return _broken(due, Damage.CHANGED, f"content with hash {own_hash}", f"hash {item.hash}")
    if isinstance(item, Anchor) and item != last:
        following = next(rest, None)
        if isinstance(following, ChainedRecord) and _claims(following) == (due, last.hash):
            wrong = f"a segment that says it continues record {item.sequence}"
            return _broken(due, Damage.CHANGED, wrong, f"one that continues record {last.sequence}")
        rest = chain((following,) if following is not None else (), rest)
    sequence, previous_hash = _claims(item)
    if sequence != due:
        return _out_of_place(sequence, due, rest)
    if previous_hash != last.hash:
        return _torn_link(item, last, rest, anchor)
    return against(anchor, item)


def against(anchor: Anchor | None, item: ChainedRecord | Anchor) -> Break | None:
    """What the anchor says against an item: its own record must have its hash."""
    if anchor is not None and item.hash != anchor.hash and item.sequence == anchor.sequence:
        return _broken(
            anchor.sequence,
            Damage.CHANGED,
            f"hash {item.hash}, so that it or a record before it was written anew",
            f"hash {anchor.hash}, as the anchor says",
        )
    return None


def _out_of_place(sequence: int, due: int, rest: Iterator[Item]) -> Break:
    """A whole record, but another than was due."""
    found, expected = f"record {sequence} in its place", f"record {due}"
    if sequence < due:
        return _broken(sequence, Damage.DOUBLED, "it a second time", f"record {due} there")
    later = any(isinstance(item, ChainedRecord) and item.sequence == due for item in rest)
    return _broken(due, Damage.REORDERED if later else Damage.REMOVED, found, expected)


def _torn_link(
    item: ChainedRecord | Anchor, last: Anchor, rest: Iterator[Item], anchor: Anchor | None
) -> Break:
    """Two whole neighbours that do not fit: the one that its other neighbour disowns is changed."""
    due = last.sequence + 1
    following = next((other for other in rest if not isinstance(other, Unreadable)), None)
    if following is not None:
        item_is_known = _claims(following)[1] == item.hash
    else:
        item_is_known = against(anchor, item) is None
    return _broken(
        last.sequence if item_is_known and last.sequence else due,
        Damage.CHANGED,
        f"hash {last.hash} of record {last.sequence}",
        f"hash {_claims(item)[1]}, as what follows it says",
    )


def _end(last: Anchor, anchor: Anchor | None) -> Break | None:
    if anchor is None or anchor.sequence <= last.sequence:
        return None
    due = last.sequence + 1
    return _broken(
        due, Damage.REMOVED, "the end", f"records up to {anchor.sequence}, as the anchor says"
    )


def _broken(sequence: int, damage: Damage, found: str, expected: str) -> Break:
    return Break(sequence=sequence, damage=damage, found=found, expected=expected)


def _claims(item: ChainedRecord | Anchor | Unreadable) -> tuple[int, str]:
    """(number, hash before it) that an item says of itself; a segment's first line: of the next."""
    match item:
        case ChainedRecord():
            return item.sequence, item.previous_hash
        case Anchor():
            return item.sequence + 1, item.hash
        case Unreadable():
            return 0, ""


def _own_hash(item: ChainedRecord | Anchor) -> str:
    if isinstance(item, Anchor):
        return item.hash
    return _hash(item.sequence, item.previous_hash, item.entry)


def _item(value: object) -> ChainedRecord | Anchor:
    """Raises ValueError, TypeError or KeyError for what is no item."""
    if not isinstance(value, dict):
        raise TypeError
    if "continues" in value:
        place = value["continues"]
        return Anchor(sequence=int(place["sequence"]), hash=str(place["hash"]))
    return ChainedRecord(
        sequence=int(value["sequence"]),
        previous_hash=str(value["previous"]),
        entry=dict(value["entry"]),
        hash=str(value["hash"]),
    )


def _hash(sequence: int, previous_hash: str, entry: Mapping[str, JsonValue]) -> str:
    text = _canonical({"sequence": sequence, "previous": previous_hash, "entry": dict(entry)})
    return hashlib.sha256(text.encode()).hexdigest()


def _canonical(value: Mapping[str, object]) -> str:
    """One spelling for one value: sorted, no blanks, ASCII, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
