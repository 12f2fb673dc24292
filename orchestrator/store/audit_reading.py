"""What is read of the audit log: as it was at one moment, while others write and archive.

A segment that was archived meanwhile is gone: `matches` passes it over, the others raise
FileNotFoundError, and whoever asked looks anew.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.model.audit import AuditAction
from orchestrator.store.audit_chain import Anchor, ChainedRecord, Item, decode
from orchestrator.store.audit_segments import items, lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The log as it was at one moment; what is written meanwhile lies beyond."""

    paths: tuple[Path, ...]
    last_size: int
    place: Anchor

    def size(self, path: Path) -> int | None:
        """How much of it belongs to the snapshot; None: all of it."""
        return self.last_size if path == self.paths[-1] else None

    def items(self) -> Iterator[Item]:
        for path in self.paths:
            yield from items(path, size=self.size(path))

    def record_lines(self) -> Iterator[bytes]:
        """Every record's line as it lies, with its end."""
        for path in self.paths:
            for line in lines(path, size=self.size(path)):
                if not isinstance(decode(line), Anchor):
                    yield line + b"\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which records are asked for."""

    plugin: str | None = None
    since: float | None = None
    action: AuditAction | None = None

    def fits(self, record: ChainedRecord) -> bool:
        entry = record.entry
        at = entry.get("at")
        return (
            (self.plugin is None or entry.get("plugin_id") == self.plugin)
            and (self.action is None or entry.get("action") == self.action)
            and (self.since is None or (isinstance(at, int | float) and at >= self.since))
        )


def matches(snapshot: Snapshot, wanted: Filter, limit: int) -> list[ChainedRecord]:
    """The newest `limit` records that match, newest last; one segment's at most in memory."""
    found: deque[ChainedRecord] = deque()
    for path in reversed(snapshot.paths):
        found.extendleft(
            reversed(_matches(path, snapshot.size(path), wanted, max(0, limit - len(found))))
        )
        if len(found) >= limit:
            break
    return list(found)


def _matches(path: Path, size: int | None, wanted: Filter, limit: int) -> deque[ChainedRecord]:
    try:
        return deque(
            (
                item
                for item in items(path, size=size)
                if isinstance(item, ChainedRecord) and wanted.fits(item)
            ),
            maxlen=limit,
        )
    except FileNotFoundError:
        return deque()
