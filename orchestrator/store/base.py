"""RecordStore: small JSON records by kind and key. Whoever owns a kind owns its shape."""

import hashlib
from collections.abc import Mapping
from typing import Protocol

from pydantic import JsonValue

from orchestrator.errors import Kind, OrchestratorError

Record = Mapping[str, JsonValue]
AllRecords = Mapping[str, Mapping[str, Record]]
"""Kind → key → record."""


class StoreCorrupt(OrchestratorError):
    """The state cannot be read as it was written; nothing was changed."""

    kind, code = Kind.INTERNAL, "store_corrupt"


class StoreTooNew(OrchestratorError):
    """A later version of the orchestrator wrote the state; nothing was changed."""

    kind, code = Kind.CONFLICT, "store_too_new"


class StoreUnavailable(OrchestratorError):
    """The state cannot be read or written now: a full disk, a database that does not answer."""

    kind, code = Kind.EXHAUSTED, "store_unavailable"


class StoreTaken(StoreUnavailable):
    """Another daemon holds this instance's state, or took it over."""

    kind, code = Kind.CONFLICT, "store_taken"


class RecordStore(Protocol):
    """Five verbs; each write is one transaction, so that no reader sees half of it."""

    def load(self, kind: str) -> dict[str, Record]:
        """All records of a kind, by key. Raises StoreUnavailable."""

    def put_all(self, kind: str, records: Mapping[str, Record | None]) -> None:
        """Write or (None) delete records, all or none. Raises StoreUnavailable."""

    def dump(self) -> dict[str, dict[str, Record]]:
        """Everything as it is at one moment, for a backup. Raises StoreUnavailable."""

    def replace(self, records: AllRecords) -> None:
        """Make this everything there is, all or none. Raises StoreUnavailable."""

    def close(self) -> None: ...


def checksum(kind: str, key: str, value: str) -> str:
    """What a record was when it was written: finds a flipped bit, and is no proof against people.

    MD5, because both databases can compute it where they migrate.
    """
    text = f"{kind}/{key}/{value}"
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
