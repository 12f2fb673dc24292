"""SqliteStore: records in one file under the state folder (write-ahead log, full sync).

Writes are few and small (a deployment, a crash), so they are made on the loop's own thread: a
record that was put is on disk when `put_all` returns, and no queue can lose it.
"""

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

from orchestrator.store.base import (
    AllRecords,
    Record,
    StoreCorrupt,
    StoreUnavailable,
    checksum,
)
from orchestrator.store.migrations import pending

SIDE_FILES = ("-wal", "-shm")
"""What SQLite keeps beside a file while it is open, and after a kill."""
_BUSY_SECONDS = 5.0


class SqliteStore:
    """One connection; one writer at a time (the daemon's lock sees to that)."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    def open(cls, path: Path) -> Self:
        """Check the file, bring it to this version, or make it.

        Raises StoreCorrupt, StoreTooNew (the file is as it was) and StoreUnavailable.
        """
        if path.exists():
            check(path)
        with _telling(path):
            connection = _connect(path)
            try:
                _migrate(connection, path)
            except BaseException:
                connection.close()
                raise
        return cls(connection)

    @classmethod
    def open_to_read(cls, path: Path) -> Self:
        """Of any earlier version too, and with a daemon at it; nothing is changed.

        Raises StoreCorrupt, StoreTooNew, StoreUnavailable.
        """
        check(path)
        with _telling(path):
            return cls(_connect_to_read(path))

    def load(self, kind: str) -> dict[str, Record]:
        with _telling():
            rows = self._connection.execute(
                "SELECT key, value FROM records WHERE kind = ?", (kind,)
            ).fetchall()
        return {key: json.loads(value) for key, value in rows}

    def put_all(self, kind: str, records: Mapping[str, Record | None]) -> None:
        gone = [(kind, key) for key, record in records.items() if record is None]
        kept = [_row(kind, key, rec) for key, rec in records.items() if rec is not None]
        with _telling(), _transaction(self._connection):
            self._connection.executemany("DELETE FROM records WHERE kind = ? AND key = ?", gone)
            self._connection.executemany("REPLACE INTO records VALUES (?, ?, ?, ?)", kept)

    def dump(self) -> dict[str, dict[str, Record]]:
        with _telling():
            rows = self._connection.execute("SELECT kind, key, value FROM records").fetchall()
        found: dict[str, dict[str, Record]] = {}
        for kind, key, value in rows:
            found.setdefault(kind, {})[key] = json.loads(value)
        return found

    def replace(self, records: AllRecords) -> None:
        rows = [_row(kind, key, rec) for kind, recs in records.items() for key, rec in recs.items()]
        with _telling(), _transaction(self._connection):
            self._connection.execute("DELETE FROM records")
            self._connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?)", rows)

    def close(self) -> None:
        self._connection.close()


def check(path: Path) -> None:
    """Whether every page and every record is as it was written.

    Through a reader, which leaves the file and what lies beside it as they are.
    Raises StoreCorrupt, StoreTooNew, StoreUnavailable.
    """
    if path.is_file() and path.stat().st_size == 0:
        raise StoreCorrupt(f"{path}: found an empty file, expected a database")
    with _telling(path), contextlib.closing(_connect_to_read(path)) as connection:
        version = _version(connection)
        pending(version, where=str(path))
        found = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != ("ok",):
            raise sqlite3.DatabaseError(str(found[0]).replace("\n", " "))
        if version > 1:
            rows = connection.execute("SELECT kind, key, value, checksum FROM records")
            for kind, key, value, stored in rows:
                if checksum(kind, key, value) != stored:
                    raise sqlite3.DatabaseError(f"record {kind}/{key} is not as it was written")


@contextlib.contextmanager
def _telling(path: Path | None = None) -> Iterator[None]:
    """SQLite's errors in our words."""
    where = f"{path}: " if path is not None else ""
    try:
        yield
    except sqlite3.OperationalError as error:
        does = "cannot be opened" if path is not None else "the state could not be written or read"
        raise StoreUnavailable(f"{where}{does}: {error}") from error
    except sqlite3.ProgrammingError:
        raise  # a fault of ours, not of the file
    except sqlite3.DatabaseError as error:
        raise StoreCorrupt(f"{where}found no valid database: {error}") from error


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite itself may have ended it: on a full disk, say.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _row(kind: str, key: str, record: Record) -> tuple[str, str, str, str]:
    value = json.dumps(dict(record))
    return kind, key, value, checksum(kind, key, value)


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _connect_to_read(path: Path) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode=ro"
    return sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        connection.create_function("md5", 1, _md5, deterministic=True)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        # Early, so that who loses the file beside it does not lose all that was written for days.
        connection.execute("PRAGMA wal_autocheckpoint = 64")
        # What is deleted must not come back when a damaged file is read page by page.
        connection.execute("PRAGMA secure_delete = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    for step in pending(_version(connection), where=str(path)):
        with _transaction(connection):
            for statement in step.sqlite:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {step.version}")


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
