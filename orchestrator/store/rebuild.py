"""A state file that cannot be trusted: set aside, with what can be read of it put into a new one.

Killed at any moment, it goes on with the next start: the new file gets its name `state.rebuilt`
only when it is whole, and from then on it is what counts. Nothing is ever deleted or overwritten.
"""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from orchestrator.store.base import Record, StoreCorrupt, StoreUnavailable
from orchestrator.store.salvage import salvage
from orchestrator.store.sqlite import SIDE_FILES, SqliteStore

REBUILT: Final = "rebuilt"
_KEY: Final = "last"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What became of a state file."""

    at: float
    why: str
    """What was found wrong."""
    aside: str
    """What it is called now; empty if there was none."""
    saved: int
    lost: tuple[str, ...]
    """`kind/key` of records that were found damaged; the damage may be in that name itself."""
    complete: bool
    """Whether all of it could be read, so that nothing is missing but what `lost` names."""

    @property
    def lost_something(self) -> bool:
        return bool(self.lost) or not self.complete

    def __str__(self) -> str:
        named = ", ".join(self.lost)
        rest = "" if self.complete else "part of it could not be read, so that more may be missing"
        loss = "; ".join(part for part in (f"lost: {named}" if named else "", rest) if part)
        kept = f"it was set aside as {self.aside}, " if self.aside else ""
        return f"{self.why}; {kept}{self.saved} records were saved, {loss or 'none was lost'}"

    def lost_of(self, kind: str) -> frozenset[str]:
        """Keys of that kind that were found damaged."""
        return frozenset(
            name.partition("/")[2] for name in self.lost if name.startswith(f"{kind}/")
        )


def open_or_rebuild(path: Path, *, now: float, expected: bool) -> SqliteStore:
    """The store at `path`; if the file is corrupt, one with what could be saved.

    `expected` says whether there must have been one: an audit log lies beside it, say. What was
    rebuilt is told by `last_rebuilt`. Raises StoreTooNew, StoreUnavailable.
    """
    try:
        _finish(path)
        why = _missing(path, expected=expected)
        if not why:
            try:
                return SqliteStore.open(path)
            except StoreCorrupt as error:
                why = str(error).removeprefix(f"{path}: ")
        _rebuild(path, why, now)
        _finish(path)
    except OSError as error:
        raise StoreUnavailable(f"{path}: cannot be opened or set aside: {error}") from error
    return SqliteStore.open(path)


def last_rebuilt(records: Mapping[str, Record]) -> Rebuilt | None:
    """What the records of kind REBUILT tell."""
    record = records.get(_KEY)
    if record is None:
        return None
    lost, at, saved = record.get("lost"), record.get("at"), record.get("saved")
    return Rebuilt(
        at=float(at) if isinstance(at, int | float) else 0.0,
        why=str(record.get("why", "")),
        aside=str(record.get("aside", "")),
        saved=saved if isinstance(saved, int) else 0,
        lost=tuple(map(str, lost)) if isinstance(lost, list) else (),
        complete=record.get("complete") is True,
    )


def forgotten() -> dict[str, Record | None]:
    """What to put under REBUILT once everything is settled."""
    return {_KEY: None}


def set_aside(path: Path) -> list[Path]:
    """State files of this instance that were set aside, oldest first."""
    return sorted(path.parent.glob(f"{path.stem}.corrupt-*{path.suffix}"))


def _missing(path: Path, *, expected: bool) -> str:
    """Why there should be a file and is none; empty if all is well."""
    if path.exists():
        return ""
    if _side(path, "-wal").exists():
        return "found none, only what SQLite keeps beside it"
    return "found none, though this instance has an audit log" if expected else ""


def _rebuild(path: Path, why: str, now: float) -> None:
    draft = path.with_suffix(".draft")
    for each in (draft, *(_side(draft, end) for end in SIDE_FILES)):
        each.unlink(missing_ok=True)
    found = salvage(path)
    aside = _free_name(path, now) if path.exists() or _side(path, "-wal").exists() else ""
    rebuilt = Rebuilt(
        at=now,
        why=why,
        aside=aside,
        saved=sum(len(table) for table in found.records.values()),
        lost=found.damaged,
        complete=found.complete,
    )
    told: dict[str, JsonValue] = {**asdict(rebuilt), "lost": [*rebuilt.lost]}
    store = SqliteStore.open(draft)
    try:
        store.replace({**found.records, REBUILT: {_KEY: told}})
    finally:
        store.close()  # without a reader beside it, this also takes its side files away
    _sync(draft)
    draft.replace(_ready(path))
    _sync(path.parent)


def _finish(path: Path) -> None:
    """Put a whole `state.rebuilt` in the file's place; the file goes to the name that it tells."""
    ready = _ready(path)
    if not ready.exists():
        return
    store = SqliteStore.open(ready)
    try:
        told = last_rebuilt(store.load(REBUILT))
    finally:
        store.close()
    if told is not None and told.aside:
        aside = path.with_name(told.aside)
        for end in ("", *SIDE_FILES):
            with contextlib.suppress(FileNotFoundError):  # moved already, or never there
                _side(path, end).rename(_side(aside, end))
        _sync(path.parent)
    ready.replace(path)
    _sync(path.parent)


def _ready(path: Path) -> Path:
    return path.with_suffix(".rebuilt")


def _side(path: Path, end: str) -> Path:
    return path.with_name(path.name + end)


def _free_name(path: Path, now: float) -> str:
    at = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%S")
    number = 1
    while True:
        more = f"-{number}" if number > 1 else ""
        name = f"{path.stem}.corrupt-{at}{more}{path.suffix}"
        if not any(path.with_name(name + end).exists() for end in ("", *SIDE_FILES)):
            return name
        number += 1


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
