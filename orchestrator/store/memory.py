"""MemoryStore: the in-memory twin."""

from collections.abc import Mapping

from orchestrator.store.base import Record


class MemoryStore:
    """Forgets everything with the process."""

    def __init__(self) -> None:
        self._records: dict[str, dict[str, Record]] = {}

    def load(self, kind: str) -> dict[str, Record]:
        return dict(self._records.get(kind, {}))

    def put_all(self, kind: str, records: Mapping[str, Record | None]) -> None:
        table = self._records.setdefault(kind, {})
        for key, record in records.items():
            if record is None:
                table.pop(key, None)
            else:
                table[key] = dict(record)

    def close(self) -> None: ...
