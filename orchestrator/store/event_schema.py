"""The file of the event log: opened, checked, brought to this version's shape.

A file of its own beside `state.db`: events come by the hundred a second and go again, and neither
the size nor the damage of one file is to be the other's.
"""

import sqlite3
from pathlib import Path
from typing import Final

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.store.base import StoreUnavailable
from orchestrator.store.side_file import open_side_file, set_aside

IN_MEMORY: Final = Path(":memory:")
"""Forgets everything with the process; for tests."""
_MIGRATIONS: Final = (
    """
    CREATE TABLE events (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        event_id TEXT NOT NULL UNIQUE,
        own_id TEXT,
        source TEXT NOT NULL,
        type TEXT NOT NULL,
        subject TEXT NOT NULL,
        at REAL NOT NULL,
        size INTEGER NOT NULL,
        body BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX events_by_own_id ON events (source, own_id) WHERE own_id IS NOT NULL;
    CREATE TABLE deliveries (
        delivery_id INTEGER PRIMARY KEY,
        subscriber TEXT NOT NULL,
        number INTEGER NOT NULL,
        tries INTEGER NOT NULL,
        since REAL NOT NULL
    ) STRICT;
    CREATE INDEX deliveries_by_subscriber ON deliveries (subscriber, delivery_id);
    CREATE INDEX deliveries_by_event ON deliveries (number);
    CREATE TABLE dead (
        dead_id INTEGER PRIMARY KEY,
        subscriber TEXT NOT NULL,
        number INTEGER NOT NULL,
        tries INTEGER NOT NULL,
        reason TEXT NOT NULL,
        at REAL NOT NULL
    ) STRICT;
    CREATE INDEX dead_by_subscriber ON dead (subscriber, dead_id);
    CREATE INDEX dead_by_event ON dead (number);
    """,
    """
    CREATE INDEX dead_by_age ON dead (at);
    CREATE TABLE clock (one INTEGER PRIMARY KEY CHECK (one = 1), ahead REAL NOT NULL) STRICT;
    """,
)
"""What makes version n+1 of a file of version n; a released one never changes."""
TABLES: Final = ("events", "deliveries", "dead", "clock")


class EventLogTooNew(OrchestratorError):
    """A later version of the orchestrator wrote the file."""

    kind, code = Kind.CONFLICT, "event_log_too_new"


def open_event_file(path: Path) -> tuple[sqlite3.Connection, str]:
    """The file, and what was wrong with the one before it: that is set aside, not emptied.

    What can still be read of a damaged file is taken over. Raises StoreUnavailable, EventLogTooNew.
    """
    try:
        return _connect(path), ""
    except sqlite3.OperationalError as error:
        raise StoreUnavailable(f"{path}: cannot be opened: {error}") from error
    except sqlite3.DatabaseError as error:
        aside = set_aside(path)
        connection = _connect(path)
        saved = _salvage(aside, connection)
        trouble = (
            f"{path}: found no valid database ({error}); it was set aside as {aside.name}, and "
            f"{saved} events of it could be read and were taken over"
        )
        return connection, trouble


def _connect(path: Path) -> sqlite3.Connection:
    return open_side_file(path, lambda connection: _migrate(connection, path))


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    [version] = connection.execute("PRAGMA user_version").fetchone()
    if version > len(_MIGRATIONS):
        raise EventLogTooNew(
            f"{path}: found version {version}, expected at most {len(_MIGRATIONS)}: a later "
            "orchestrator wrote it; start that one, or move the file away"
        )
    for number in range(version, len(_MIGRATIONS)):
        connection.executescript(
            f"BEGIN; {_MIGRATIONS[number]}; PRAGMA user_version = {number + 1}; COMMIT;"
        )


def _salvage(aside: Path, connection: sqlite3.Connection) -> int:
    """Copy what a damaged file still gives, table by table, up to the first row it does not."""
    try:
        damaged = sqlite3.connect(f"file:{aside}?mode=ro&immutable=1", uri=True)
    except sqlite3.DatabaseError:
        return 0
    try:
        for table in TABLES:
            _copy(damaged, connection, table)
        connection.execute("DELETE FROM deliveries WHERE number NOT IN (SELECT number FROM events)")
        connection.execute("DELETE FROM dead WHERE number NOT IN (SELECT number FROM events)")
        [saved] = connection.execute("SELECT count(*) FROM events").fetchone()
        return int(saved)
    finally:
        damaged.close()


def _copy(damaged: sqlite3.Connection, connection: sqlite3.Connection, table: str) -> None:
    connection.execute("BEGIN")
    for order in ("ASC", "DESC"):  # from both ends, up to the damage
        try:
            rows = damaged.execute(f"SELECT * FROM {table} ORDER BY rowid {order}")  # noqa: S608 - a name of ours
            width = len(rows.description)
            insert = f"INSERT OR IGNORE INTO {table} VALUES ({', '.join('?' * width)})"  # noqa: S608
            for row in rows:
                _insert(connection, insert, row)
        except sqlite3.DatabaseError:
            continue
        break
    connection.execute("COMMIT")


def _insert(connection: sqlite3.Connection, insert: str, row: tuple[object, ...]) -> None:
    try:
        connection.execute(insert, row)
    except sqlite3.IntegrityError:
        return  # a row that damage made another
