"""A file of SQLite beside `state.db`: opened and checked; set aside where it is damaged.

What is in it can be done without: a damaged one costs no start, and nothing of it is thrown away.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

_BUSY_SECONDS: Final = 5.0


def open_side_file(
    path: Path, bring_up: Callable[[sqlite3.Connection], None]
) -> sqlite3.Connection:
    """The file, whole and in the shape that `bring_up` gives it. Raises sqlite3.DatabaseError.

    Made by one thread and used by others, one at a time.
    """
    connection = sqlite3.connect(
        path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_size_limit = 16777216")
        _check(connection)
        bring_up(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection) -> None:
    if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
        raise sqlite3.DatabaseError("the integrity check failed")


def set_aside(path: Path) -> Path:
    """Give the file another name, under which it can be looked at; the one from before it goes."""
    aside = path.with_suffix(".corrupt")
    path.replace(aside)
    for tail in ("-wal", "-shm"):
        path.with_name(path.name + tail).unlink(missing_ok=True)
    return aside
