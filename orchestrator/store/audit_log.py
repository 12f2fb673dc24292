"""AuditLog: who did what, when, why and how it ended; append-only, chained, in files.

Files beside `state.db` rather than a table in it: a table is made to be changed, and one that only
grows would make every backup of the small state a large one. Lines can be followed, searched,
shipped and kept with the tools that an auditor has. Only the newest anchor lies in the database:
a log that was cut at its end would look whole without it.

Each entry is written at once, so that a killed daemon loses none. It is synced to the disk at most
every 0.2 s, so that a burst of refusals costs a few syncs and not thousands: a power cut may take
the last 0.2 s. The anchor is stored after the sync: it never speaks of a record that may be gone.

Nothing here deletes but `release`, what was archived; a segment that is missing otherwise is told
as removed.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final, Self

from pydantic import JsonValue

from orchestrator.clock import Clock
from orchestrator.model.audit import AuditAction, AuditEntry, AuditOutcome
from orchestrator.store.audit_archive import AuditNotArchived, Pieces, copy_out, judge, remove
from orchestrator.store.audit_chain import (
    GENESIS,
    Anchor,
    Break,
    ChainedRecord,
    Verdict,
    against,
    encode,
    link,
    verify,
)
from orchestrator.store.audit_reading import Filter, Snapshot, matches
from orchestrator.store.audit_segments import (
    MAX_LINE_BYTES,
    SegmentWriter,
    after,
    first_line,
    items,
    last_record,
    mend,
    segments,
)
from orchestrator.store.base import Record, RecordStore, StoreUnavailable

SEGMENT_BYTES: Final = 4 << 20
SYNC_SECONDS: Final = 0.2
ANCHOR_KIND: Final = "audit"
_KEY = "newest"
_SHOWN_CHARACTERS = 200
_FOLDER_MODE = 0o700
_LOOKS = 3
"""How often a reader looks anew whose segments were archived meanwhile."""


class AuditLog:
    """An Auditor. `record` may be called by any thread, `keep_synced` and `close` by the store's.

    `lost` and `trouble` are what `status` tells: entries that could not be written, and why.
    """

    def __init__(
        self, folder: Path, *, store: RecordStore, clock: Clock, segment_bytes: int
    ) -> None:
        self._folder, self._store, self._clock = folder, store, clock
        self._segment_bytes = segment_bytes
        self._lock = threading.Lock()
        self._writer: SegmentWriter | None = None
        self._place = self._anchored = GENESIS
        self._closed = False
        self._untold = 0
        self.lost = 0
        self.trouble = ""

    @classmethod
    def open(
        cls, folder: Path, *, store: RecordStore, clock: Clock, segment_bytes: int = SEGMENT_BYTES
    ) -> Self:
        """Open or begin the log; what is wrong with its end becomes a record of its own.

        Raises StoreUnavailable.
        """
        log = cls(folder, store=store, clock=clock, segment_bytes=segment_bytes)
        try:
            folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
            notes = log._find_end()
        except OSError as error:
            raise StoreUnavailable(f"{folder}: the audit log cannot be opened: {error}") from error
        for why, data in notes:
            log.record(log._own(why, data))
        return log

    @property
    def place(self) -> Anchor:
        """Number and hash of the newest record: worth keeping where nobody here can write."""
        return self._place

    def record(self, entry: AuditEntry) -> None:
        """See Auditor."""
        with self._lock:
            if self._untold and self._append(
                self._own(f"{self._untold} entries before this one could not be written")
            ):
                self._untold = 0
            if not self._append(entry):
                self.lost += 1
                self._untold += 1

    async def keep_synced(self) -> None:
        """Sync what was written, until cancelled: a task of the daemon."""
        while True:
            await asyncio.sleep(SYNC_SECONDS)
            if self._place == self._anchored:
                continue
            try:
                place = await asyncio.to_thread(self._sync)
                self._anchor(place)
                self.trouble = ""  # what was lost before stays counted, and is told in the log
            except (OSError, StoreUnavailable) as error:
                self.trouble = str(error)

    def close(self) -> None:
        """Sync and anchor; entries that come later are lost and counted."""
        with self._lock:
            writer, self._writer, self._closed = self._writer, None, True
        try:
            if writer is not None:
                writer.close()
            if self._place != self._anchored:
                self._anchor(self._place)
        except (OSError, StoreUnavailable) as error:
            self.trouble = str(error)

    def read(
        self,
        *,
        plugin: str | None = None,
        since: float | None = None,
        action: AuditAction | None = None,
        limit: int = 100,
    ) -> list[ChainedRecord]:
        """The newest `limit` records that match, newest last.

        It reads from the newest segment back. Lines that are no records are `verify`'s business.
        Takes tens of milliseconds: not for the loop.
        """
        wanted = Filter(plugin=plugin, since=since, action=action)
        return matches(self._snapshot(), wanted, limit)

    def verify(self) -> Verdict:
        """Walk all segments from the first record to the newest. Not for the loop either."""
        for _ in range(_LOOKS):
            with contextlib.suppress(FileNotFoundError):  # archived meanwhile
                return self._judge()
        return self._judge()

    def export(self) -> Iterator[bytes]:
        """Every record as a JSON line, as it lies, up to now's newest. Reading raises OSError."""
        return self._snapshot().record_lines()

    def size_bytes(self) -> int:
        """Of all segments, on the disk. Raises OSError."""
        return sum(path.stat().st_size for path in segments(self._folder))

    # -- archiving ------------------------------------------------------------------------------

    def copy_out(self, folder: Path, *, before: float) -> Pieces | None:
        """Copy the closed segments whose records are all older; nothing is removed yet.

        Not for the loop. Raises AuditNotArchived, also where the log is not whole: damage must
        not be moved out of sight.
        """
        if folder.resolve().is_relative_to(self._folder.resolve()):
            raise AuditNotArchived(f"{folder}: found the log's own folder, expected another")
        verdict = self.verify()
        if verdict.first_break is not None:
            raise AuditNotArchived(f"the audit log is not whole: {verdict.first_break}")
        return copy_out(self._snapshot().paths[:-1], before=before, folder=folder)

    async def release(self, pieces: Pieces, told: AuditEntry) -> None:
        """Take down that they were archived; only once that is on the disk are they removed.

        Raises AuditNotArchived; then they all are still here.
        """
        lost = self.lost
        self.record(replace(told, data={**told.data, **pieces.data()}))
        if self.lost != lost:
            raise AuditNotArchived(f"the record of it cannot be written: {self.trouble}")
        try:
            self._anchor(await asyncio.to_thread(self._sync))
            await asyncio.to_thread(remove, pieces)
        except (OSError, StoreUnavailable) as error:
            raise AuditNotArchived(f"copied, but not removed: {error}") from error

    def segments(self) -> tuple[Anchor, tuple[tuple[Path, int], ...]]:
        """The newest place, and the files with how much of each belongs to it."""
        snapshot = self._snapshot()
        sized = ((path, snapshot.size(path)) for path in snapshot.paths)
        return snapshot.place, tuple(
            (path, path.stat().st_size if size is None else size) for path, size in sized
        )

    def _snapshot(self) -> Snapshot:
        with self._lock:
            paths = tuple(segments(self._folder))
            size = self._writer.size if self._writer is not None else 0
            if paths and (self._writer is None or self._writer.path != paths[-1]):
                size = paths[-1].stat().st_size
            return Snapshot(paths=paths, last_size=size, place=self._place)

    def _judge(self) -> Verdict:
        snapshot = self._snapshot()
        return judge(snapshot.items(), anchor=snapshot.place)

    def _append(self, entry: AuditEntry) -> bool:
        if self._closed:
            self.trouble = "the audit log is closed"
            return False
        try:
            record, line = _fitting(self._place, entry)
            self._writer_for(len(line)).append(line)
        except (OSError, ValueError, TypeError, RecursionError) as error:
            self.trouble = f"{type(error).__name__}: {error}"
            return False
        self._place = record.place
        return True

    def _writer_for(self, size: int) -> SegmentWriter:
        writer = self._writer
        if writer is None:
            newest = next(reversed(segments(self._folder)), None)
            writer = SegmentWriter(newest or after(None, self._folder))
        elif writer.size + size > self._segment_bytes and writer.size:
            writer.close()
            writer = SegmentWriter(after(writer.path, self._folder))
        self._writer = writer
        if not writer.size:
            writer.append(first_line(self._place))
        return writer

    def _sync(self) -> Anchor:
        with self._lock:
            place = self._place
            fd = self._writer.second_descriptor() if self._writer is not None else -1
        if fd >= 0:
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        return place

    def _anchor(self, place: Anchor) -> None:
        self._store.put_all(ANCHOR_KIND, anchor_records(place))
        self._anchored = place

    def _own(self, why: str, data: dict[str, JsonValue] | None = None) -> AuditEntry:
        return AuditEntry(
            at=self._clock.now(),
            actor="orchestrator",
            action=AuditAction.AUDIT_LOG,
            outcome=AuditOutcome.FAILED,
            why=f"audit log: {why}",
            data=data or {},
        )

    def _find_end(self) -> list[tuple[str, dict[str, JsonValue]]]:
        """Where to go on, and what is wrong there."""
        notes: list[tuple[str, dict[str, JsonValue]]] = []
        paths = segments(self._folder)
        if paths and (aside := mend(paths[-1])) is not None:
            size = aside.stat().st_size
            notes.append(
                ("the last line was torn and set aside", {"file": aside.name, "bytes": size})
            )
        newest = next((r for path in reversed(paths) if (r := last_record(path))), None)
        self._place = newest.place if newest is not None else GENESIS
        anchor = self._stored_anchor()
        if anchor is None:
            if newest is not None:
                notes.append(("no anchor was stored: its end is taken as it is found", {}))
            return notes
        self._anchored = anchor
        found = _break_at_end(paths, self._place, anchor)
        if found is not None:
            # The chain goes on from the anchor and not from what was found, so that the break
            # stays in it for every later `verify` to find.
            self._place = replace(anchor, sequence=max(anchor.sequence, self._place.sequence))
            notes.append((str(found), {"sequence": found.sequence, "damage": found.damage.value}))
        return notes

    def _stored_anchor(self) -> Anchor | None:
        record = self._store.load(ANCHOR_KIND).get(_KEY)
        if record is None:
            return None
        return Anchor(sequence=int(str(record["sequence"])), hash=str(record["hash"]))


def anchor_records(place: Anchor) -> dict[str, Record]:
    """What the store holds under ANCHOR_KIND."""
    return {_KEY: {"sequence": place.sequence, "hash": place.hash}}


def _break_at_end(paths: list[Path], place: Anchor, anchor: Anchor) -> Break | None:
    """What the stored anchor says against the log's end; older damage is `verify`'s business."""
    if place.sequence <= anchor.sequence:
        return against(anchor, place) or verify((), start=place, anchor=anchor).first_break
    # Records after the anchor: a killed daemon's. The anchor's own record lies a little before.
    at_anchor = (
        item
        for path in reversed(paths)
        for item in items(path)
        if isinstance(item, ChainedRecord) and item.sequence == anchor.sequence
    )
    record = next(at_anchor, None)
    return against(anchor, record) if record is not None else None


def _fitting(place: Anchor, entry: AuditEntry) -> tuple[ChainedRecord, bytes]:
    """The record after `place` and its line; what JSON or a line cannot hold is left out."""
    sequence = place.sequence + 1
    try:
        record = link(place.hash, sequence, entry)
    except (ValueError, TypeError, RecursionError):
        record = link(place.hash, sequence, replace(entry, data={"left_out": "not JSON"}))
    line = encode(record) + b"\n"
    if len(line) <= MAX_LINE_BYTES:
        return record, line
    cut = replace(
        entry,
        actor=entry.actor[:_SHOWN_CHARACTERS],
        plugin_id=entry.plugin_id[:_SHOWN_CHARACTERS],
        why=entry.why[:_SHOWN_CHARACTERS],
        data={"left_out": f"{len(line)} bytes, expected at most {MAX_LINE_BYTES}"},
    )
    record = link(place.hash, sequence, cut)
    return record, encode(record) + b"\n"
