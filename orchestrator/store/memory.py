"""MemoryStore: the in-memory twin."""

import json
from collections.abc import Mapping

from orchestrator.store.base import AllRecords, Record


class MemoryStore:
    """Forgets everything with the process."""

    def __init__(self) -> None:
        self._records: dict[str, dict[str, str]] = {}

    def load(self, kind: str) -> dict[str, Record]:
        return {key: json.loads(text) for key, text in self._records.get(kind, {}).items()}

    def put_all(self, kind: str, records: Mapping[str, Record | None]) -> None:
        # As JSON, like its twins: nobody who still holds a record changes what was put.
        texts = {
            key: None if record is None else json.dumps(dict(record))
            for key, record in records.items()
        }
        table = self._records.setdefault(kind, {})
        for key, text in texts.items():
            if text is None:
                table.pop(key, None)
            else:
                table[key] = text

    def dump(self) -> dict[str, dict[str, Record]]:
        return {kind: self.load(kind) for kind, table in self._records.items() if table}

    def replace(self, records: AllRecords) -> None:
        texts = {
            kind: {key: json.dumps(dict(record)) for key, record in table.items()}
            for kind, table in records.items()
        }
        self._records = texts

    def close(self) -> None: ...
