"""A copy of a SQLite file as it is at one moment, while somebody writes to it."""

import contextlib
import sqlite3
from pathlib import Path

from orchestrator.store.base import StoreCorrupt, StoreUnavailable

_BUSY_SECONDS = 5.0


def copy_database(source: Path, target: Path) -> None:
    """Takes time: not for the event loop. Raises StoreUnavailable, StoreCorrupt."""
    uri = f"{source.absolute().as_uri()}?mode=ro"
    try:
        with (
            contextlib.closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS)) as reader,
            contextlib.closing(sqlite3.connect(target)) as writer,
        ):
            reader.backup(writer)
    except sqlite3.OperationalError as error:
        raise StoreUnavailable(f"{source}: cannot be copied: {error}") from error
    check_database(target)


def check_database(path: Path) -> None:
    """Whether every page is as SQLite wrote it. Raises StoreCorrupt."""
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        raise StoreCorrupt(f"{path}: found no valid database: {error}") from error
    if found != ("ok",):
        raise StoreCorrupt(f"{path}: found no valid database: {found[0]}")
