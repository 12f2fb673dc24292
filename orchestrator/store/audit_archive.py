"""Archiving: closed segments of the audit log go to another folder, and the chain says so.

First all of them are copied, synced and read back; then a record with their closing hash, numbers
and digests is written, synced and anchored; only then are they removed, the oldest first. Whatever
is killed in between, each record is in one of the two places at least, and what is left here begins
where the record says, or before. A segment that is gone without such a record is found by
`judge`, as the record is in the chain and cannot be added later.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.model.audit import AuditAction, AuditOutcome
from orchestrator.store.audit_chain import (
    GENESIS,
    Anchor,
    Break,
    ChainedRecord,
    Damage,
    Item,
    Verdict,
    verify,
)
from orchestrator.store.audit_segments import items, sync_path

ARCHIVED: Final = "archived"
"""In the data of the record: the place where what was archived ends."""
MOST_SEGMENTS: Final = 200
"""At once: their record is one line. 800 MiB."""
_FOLDER_MODE: Final = 0o700


class AuditNotArchived(OrchestratorError):
    """Nothing was removed: the log is damaged, or the copies cannot be made."""

    kind, code = Kind.CONFLICT, "audit_not_archived"


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A segment that was copied."""

    path: Path
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """Copied, and not removed yet."""

    folder: Path
    first: int
    """Number of the first record in them."""
    end: Anchor
    pieces: tuple[Piece, ...]

    def data(self) -> dict[str, JsonValue]:
        """For the record in the chain."""
        return {
            ARCHIVED: {"sequence": self.end.sequence, "hash": self.end.hash},
            "first": self.first,
            "folder": str(self.folder),
            "segments": [
                {"file": piece.path.name, "bytes": piece.bytes, "sha256": piece.sha256}
                for piece in self.pieces
            ],
        }


# -- verifying ----------------------------------------------------------------------------------


def judge(log: Iterable[Item], *, anchor: Anchor | None = None) -> Verdict:
    """`verify` of a log whose beginning may have been archived: its own records have to say so."""
    rest = iter(log)
    head = next(rest, None)
    start = head if isinstance(head, Anchor) else GENESIS
    seen = _Archivings(chain((head,) if head is not None else (), rest))
    found = verify(seen, start=start, anchor=anchor)
    if start == GENESIS:
        return found
    for _ in seen:  # behind a break: what is said there of the beginning still counts
        pass
    if any(_covers(place, start) for place in seen.places):
        return found
    told = max((it.sequence for it in seen.places if it.sequence < start.sequence), default=0)
    return Verdict(
        records=0,
        last=start,
        first_break=Break(
            sequence=told + 1,
            damage=Damage.REMOVED,
            found=f"record {start.sequence + 1} as the first one, and none that says that those "
            "before it were archived",
            expected=f"record {told + 1}",
        ),
    )


class _Archivings:
    """Items as they pass, and the places up to which they say that the log was archived."""

    def __init__(self, log: Iterable[Item]) -> None:
        self._log = iter(log)
        self.places: list[Anchor] = []

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        item = next(self._log)
        if isinstance(item, ChainedRecord) and (place := archived_place(item.entry)) is not None:
            self.places.append(place)
        return item


def archived_place(entry: Mapping[str, JsonValue]) -> Anchor | None:
    """Where the archived part ended, if that is what the entry tells."""
    data = entry.get("data")
    place = data.get(ARCHIVED) if isinstance(data, Mapping) else None
    told = (entry.get("action"), entry.get("outcome")) == (
        AuditAction.AUDIT_LOG,
        AuditOutcome.DONE,
    )
    match place:
        case {"sequence": int() as sequence, "hash": str() as digest} if told:
            return Anchor(sequence=sequence, hash=digest)
        case _:
            return None


def _covers(place: Anchor, start: Anchor) -> bool:
    """Before it: archived too, and its removal was cut short."""
    return start == place or start.sequence < place.sequence


# -- copying ------------------------------------------------------------------------------------


def copy_out(closed: Iterable[Path], *, before: float, folder: Path) -> Pieces | None:
    """Copy what lies wholly before that moment, the oldest first; None: nothing does.

    Raises AuditNotArchived.
    """
    chosen = _wholly_before(closed, before)
    if not chosen:
        return None
    try:
        folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        pieces = tuple(_copy(path, folder / path.name) for path in chosen)
        sync_path(folder)
    except OSError as error:
        raise AuditNotArchived(f"{folder}: the copies cannot be made: {error}") from error
    found = verify(
        chain.from_iterable(items(folder / path.name) for path in chosen),
        start=(start := _start(folder / chosen[0].name)),
    )
    if found.first_break is not None:
        raise AuditNotArchived(f"{folder}: {found.first_break}")
    return Pieces(folder=folder, first=start.sequence + 1, end=found.last, pieces=pieces)


def remove(pieces: Pieces) -> None:
    """The oldest first, so that what is left is one chain at any moment. Raises OSError."""
    for piece in pieces.pieces:
        piece.path.unlink(missing_ok=True)
        sync_path(piece.path.parent)


def _wholly_before(closed: Iterable[Path], before: float) -> list[Path]:
    chosen: list[Path] = []
    for path in closed:
        times = [_at(item) for item in items(path) if isinstance(item, ChainedRecord)]
        if len(chosen) == MOST_SEGMENTS or any(at >= before for at in times):
            break
        chosen.append(path)
    return chosen


def _at(record: ChainedRecord) -> float:
    at = record.entry.get("at")
    return float(at) if isinstance(at, int | float) else 0.0


def _start(path: Path) -> Anchor:
    head = next(iter(items(path)), None)
    return head if isinstance(head, Anchor) else GENESIS


def _copy(path: Path, target: Path) -> Piece:
    """A copy that was made before, by a command that was cut short, is the same or in the way."""
    digest = _digest(path)
    if not target.exists():
        draft = target.with_name(f"{target.name}.draft")
        with path.open("rb") as source, draft.open("wb") as copy:
            draft.chmod(0o600)
            shutil.copyfileobj(source, copy, 1 << 20)
            copy.flush()
            os.fsync(copy.fileno())
        draft.rename(target)
    if _digest(target) != digest:
        raise AuditNotArchived(
            f"{target}: found another file, expected none, or a copy of {path.name}: "
            "archive to another folder"
        )
    return Piece(path=path, bytes=target.stat().st_size, sha256=digest)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
