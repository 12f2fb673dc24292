"""Book: what is followed and how far it is, in mind and on disk."""

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from pydantic import ValidationError

from orchestrator.gitops.entries import TreeBounds
from orchestrator.gitops.state import GITOPS, SyncRecord, save, saved
from orchestrator.manager.deployment import Inputs, from_record, to_record
from orchestrator.model.git import GitSource
from orchestrator.store.base import Record, RecordStore, StoreUnavailable

MAX_ONCE: Final = 1_000
"""Plugins that git no longer has, of which it is remembered what they were granted."""
_SOURCE = "source"
_ONCE: Final = "once/"


class Book:
    """One per daemon; every change is written before what follows from it is done."""

    def __init__(self, store: RecordStore) -> None:
        self._store = store
        self.record = saved(store)
        self.source = _saved_source(store)
        self._once = _saved_once(store)
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

    def once(self, name: str) -> Inputs | None:
        """What a plugin was when it was last taken away, since git no longer had it."""
        return self._once.get(name)

    def remember_once(self, plugins: Mapping[str, Inputs]) -> None:
        """Before they are taken away. Raises StoreUnavailable.

        Else one that comes back would be a first deployment, which waits for nobody's grant.
        """
        known = {name: one for name, one in self._once.items() if name not in plugins} | {**plugins}
        kept = dict([*known.items()][-MAX_ONCE:])
        records: dict[str, Record | None] = {
            f"{_ONCE}{name}": None for name in known.keys() - kept.keys()
        }
        records |= {f"{_ONCE}{name}": to_record(one) for name, one in plugins.items()}
        self._store.put_all(GITOPS, records)
        self._once = kept

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
        self._once = {}


def _place(source: GitSource) -> tuple[str, ...]:
    return source.url, source.ref, source.path, source.environment or ""


def _saved_once(store: RecordStore) -> dict[str, Inputs]:
    found = {}
    for key, record in store.load(GITOPS).items():
        if key.startswith(_ONCE):
            with contextlib.suppress(ValidationError):
                found[key.removeprefix(_ONCE)] = from_record(record)
    return found


def _saved_source(store: RecordStore) -> GitSource | None:
    record = store.load(GITOPS).get(_SOURCE)
    try:
        return GitSource.model_validate(record, strict=False) if record else None
    except ValidationError:
        return None
