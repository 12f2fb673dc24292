"""Pieces of audit logs that lie about: archived segments and exports, verified without a daemon.

Each is a chain of its own, from its own first line or record on; and each may follow another.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.store.audit_chain import (
    GENESIS,
    Anchor,
    Break,
    ChainedRecord,
    Damage,
    Item,
    verify,
)
from orchestrator.store.audit_segments import items

_PATTERN: Final = "*.jsonl"


class AuditPieceUnreadable(OrchestratorError):
    """A file or folder that is not there, or holds no piece of a log."""

    kind, code = Kind.NOT_FOUND, "audit_piece_unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One file, and what is wrong within it."""

    path: Path
    start: Anchor
    """What it continues."""
    last: Anchor
    records: int
    first_break: Break | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chained:
    """A piece in its place among the others."""

    piece: Piece
    joint: str
    """How it is joined to the one before."""
    first_break: Break | None
    """Within it, or between it and the one before."""


def verify_pieces(paths: Iterable[Path]) -> list[Chained]:
    """In the order of their records. Raises AuditPieceUnreadable."""
    pieces = [_piece(path) for path in _files(paths)]
    pieces.sort(key=lambda piece: (piece.start.sequence, piece.last.sequence, piece.path))
    found: list[Chained] = []
    furthest: Piece | None = None
    for piece in pieces:
        joint, broken = _joint(furthest, piece)
        found.append(Chained(piece=piece, joint=joint, first_break=broken or piece.first_break))
        if furthest is None or piece.last.sequence >= furthest.last.sequence:
            furthest = piece
    return found


def first_break(chained: Iterable[Chained]) -> Chained | None:
    """The one with the first record that is not as it should be."""
    broken = [(it.first_break.sequence, it) for it in chained if it.first_break is not None]
    return min(broken, key=lambda pair: pair[0])[1] if broken else None


def _files(paths: Iterable[Path]) -> list[Path]:
    found: dict[Path, None] = {}
    for path in paths:
        inside = sorted(path.glob(_PATTERN)) if path.is_dir() else [path]
        if not inside:
            raise AuditPieceUnreadable(f"{path}: found no {_PATTERN} in it, expected some")
        found.update(dict.fromkeys(each.resolve() for each in inside))
    return list(found)


def _piece(path: Path) -> Piece:
    try:
        rest = items(path)
        head = next(rest, None)
        start = _continues(head)
        found = verify(chain((head,) if head is not None else (), rest), start=start)
    except OSError as error:
        raise AuditPieceUnreadable(f"{path}: {error.strerror or error}") from error
    if head is None:
        raise AuditPieceUnreadable(f"{path}: found an empty file, expected records")
    return Piece(
        path=path,
        start=start,
        last=found.last,
        records=found.records,
        first_break=found.first_break,
    )


def _continues(head: Item | None) -> Anchor:
    """A segment says it in its first line, an export's first record says it of itself."""
    match head:
        case Anchor():
            return head
        case ChainedRecord():
            return Anchor(sequence=head.sequence - 1, hash=head.previous_hash)
        case _:
            return GENESIS


def _joint(before: Piece | None, piece: Piece) -> tuple[str, Break | None]:
    start = piece.start
    if before is None:
        if start.sequence:
            return f"the first one here; records before {start.sequence + 1} are elsewhere", None
        return "the log's beginning", None
    if start.sequence > before.last.sequence:
        return _gap(before, start)
    known = _hash_at(before, start.sequence)
    if known != start.hash:
        return f"does not follow {before.path.name}", Break(
            sequence=max(1, start.sequence),
            damage=Damage.CHANGED,
            found=f"hash {known} in {before.path.name}",
            expected=f"hash {start.hash}, as {piece.path.name} continues it",
        )
    if start == before.last:
        return f"follows {before.path.name}", None
    return f"overlaps {before.path.name}, and fits", None


def _gap(before: Piece, start: Anchor) -> tuple[str, Break]:
    due = before.last.sequence + 1
    return f"does not follow {before.path.name}", Break(
        sequence=due,
        damage=Damage.REMOVED,
        found=f"record {start.sequence + 1} after record {before.last.sequence}",
        expected=f"records {due} to {start.sequence}",
    )


def _hash_at(piece: Piece, sequence: int) -> str:
    """Of the record of that number in a piece, or of what it continues."""
    if sequence == piece.start.sequence:
        return piece.start.hash
    return next((it.hash for it in _records(piece.path) if it.sequence == sequence), "none")


def _records(path: Path) -> Iterator[ChainedRecord]:
    return (item for item in items(path) if isinstance(item, ChainedRecord))
