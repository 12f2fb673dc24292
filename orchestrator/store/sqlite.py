"""SqliteStore: records in one file under the state folder (write-ahead log, full sync).

Writes are few and small (a deployment, a crash), so they are made on the loop's own thread: a
record that was put is on disk when `put_all` returns, and no queue can lose it.
"""

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from orchestrator.store.base import Record, StoreCorrupt, StoreUnavailable

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID
"""
_SCHEMA_VERSION = 1


class SqliteStore:
    """One connection; one process at a time (the daemon's lock sees to that)."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open or make the file. Raises StoreCorrupt (the file is set aside), StoreUnavailable."""
        try:
            return cls(_connect(path))
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise StoreUnavailable(f"{path}: cannot be opened: {error}") from error
            aside = path.with_suffix(".corrupt")
            path.replace(aside)
            raise StoreCorrupt(
                f"{path}: found no valid database ({error}); it was set aside as {aside.name}. "
                "Start again: containers that run are found by their labels, and "
                "`orchestrator up` records the manifests anew"
            ) from error

    def load(self, kind: str) -> dict[str, Record]:
        rows = self._connection.execute("SELECT key, value FROM records WHERE kind = ?", (kind,))
        return {key: json.loads(value) for key, value in rows}

    def put_all(self, kind: str, records: Mapping[str, Record | None]) -> None:
        gone = [(kind, key) for key, record in records.items() if record is None]
        kept = [(kind, k, json.dumps(dict(r))) for k, r in records.items() if r is not None]
        try:
            with self._connection:
                self._connection.executemany("DELETE FROM records WHERE kind = ? AND key = ?", gone)
                self._connection.executemany(
                    "INSERT OR REPLACE INTO records VALUES (?, ?, ?)", kept
                )
        except sqlite3.OperationalError as error:
            raise StoreUnavailable(f"the state could not be written: {error}") from error

    def close(self) -> None:
        self._connection.close()


def _check(connection: sqlite3.Connection) -> None:
    if connection.execute("PRAGMA quick_check").fetchone() != ("ok",):
        raise sqlite3.DatabaseError("the integrity check failed")


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=5)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        _check(connection)
        with connection:
            connection.execute(_SCHEMA)
            connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
    except BaseException:
        connection.close()
        raise
    return connection
