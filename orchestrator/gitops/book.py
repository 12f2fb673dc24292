"""Book: what is followed and how far it is, in mind and on disk."""

from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from orchestrator.gitops.entries import TreeBounds
from orchestrator.gitops.state import GITOPS, SyncRecord, save, saved
from orchestrator.model.git import GitSource
from orchestrator.store.base import RecordStore, StoreUnavailable

_SOURCE = "source"


class Book:
    """One per daemon; every change is written before what follows from it is done."""

    def __init__(self, store: RecordStore) -> None:
        self._store = store
        self.record = saved(store)
        self.source = _saved_source(store)
        self.trouble = ""
        """Why the last change is not on disk; empty if it is."""

    @property
    def is_open(self) -> bool:
        """Whether a repository is followed."""
        return self.source is not None

    def tree_bounds(self) -> TreeBounds:
        """How much a commit of what is followed may hold."""
        if self.source is None:
            return TreeBounds()
        return TreeBounds(
            max_files=self.source.max_files,
            max_bytes=self.source.max_mb << 20,
            all_bytes=self.source.trees_mb << 20,
        )

    def put(self, **changes: Any) -> SyncRecord:
        """Change the record's fields. A full disk holds up nobody: git says all of it anew."""
        self.write(replace(self.record, **changes))
        return self.record

    def write(self, record: SyncRecord) -> None:
        """In mind, and on disk if that can be; nowhere if nothing is followed any more."""
        if self.source is None:
            return
        self.record = record
        try:
            save(self._store, record)
        except StoreUnavailable as error:
            self.trouble = str(error)
        else:
            self.trouble = ""

    def follow(self, source: GitSource) -> bool:
        """From now on; whether it is another place than before. Raises StoreUnavailable.

        What came from the place before is still what git made: what the new one lacks of it is
        gone from git, and `prune` says what becomes of it.
        """
        before = self.source
        moved = before is None or _place(before) != _place(source)
        self._store.put_all(GITOPS, {_SOURCE: source.model_dump(mode="json")})
        self.source = source
        if moved:
            record = self.record
            self.write(
                SyncRecord(
                    applied=record.applied,
                    history=record.history,
                    syncs_total=record.syncs_total,
                    failures_total=record.failures_total,
                    heals_total=record.heals_total,
                )
            )
        return moved

    def close(self) -> None:
        """Follow nothing any more. Raises StoreUnavailable."""
        self._store.put_all(GITOPS, dict.fromkeys(self._store.load(GITOPS)))
        self.source = None
        self.record = SyncRecord()


def _place(source: GitSource) -> tuple[str, ...]:
    return source.url, source.ref, source.path, source.environment or ""


def _saved_source(store: RecordStore) -> GitSource | None:
    record = store.load(GITOPS).get(_SOURCE)
    try:
        return GitSource.model_validate(record, strict=False) if record else None
    except ValidationError:
        return None
