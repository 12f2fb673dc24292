"""RecordStore: small JSON records by kind and key. Whoever owns a kind owns its shape."""

from collections.abc import Mapping
from typing import Protocol

from pydantic import JsonValue

from orchestrator.errors import Kind, OrchestratorError

Record = Mapping[str, JsonValue]


class StoreCorrupt(OrchestratorError):
    """The state file is no database; it was set aside, not emptied."""

    kind, code = Kind.INTERNAL, "store_corrupt"


class StoreUnavailable(OrchestratorError):
    """The state folder cannot be written: full, read-only, or somebody else's."""

    kind, code = Kind.EXHAUSTED, "store_unavailable"


class RecordStore(Protocol):
    """Three verbs; `put_all` is one transaction, so that no reader sees half of it."""

    def load(self, kind: str) -> dict[str, Record]:
        """All records of a kind, by key."""

    def put_all(self, kind: str, records: Mapping[str, Record | None]) -> None:
        """Write or (None) delete records, all or none. Raises StoreUnavailable."""

    def close(self) -> None: ...
