"""SqliteSeries: statistics in one file beside `events.db`, written once a minute.

A file of its own: losing it costs charts, and neither its size nor its damage is to be another's.
So a file that is damaged or of a later version is set aside and begun anew, and the daemon starts.
"""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Self

from orchestrator.store.base import StoreUnavailable
from orchestrator.store.series import Kept, Merge, RowKey, Step, forget_before, too_much
from orchestrator.store.side_file import open_side_file, set_aside

VERSION: Final = 1
_PART: Final = 1 / 16
"""Of the rows of one length, forgotten at once where the file is too large."""
_ROUNDS: Final = 64
_SCHEMA: Final = """
    CREATE TABLE rows (
        step INTEGER NOT NULL,
        begin INTEGER NOT NULL,
        plugin TEXT NOT NULL,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (step, begin, plugin, kind, name)
    ) STRICT, WITHOUT ROWID
"""


class SqliteSeries:
    """A SeriesStore. One connection, behind a lock: a minute's rows wait for a report's."""

    def __init__(self, connection: sqlite3.Connection, merge: Merge, trouble: str) -> None:
        self._connection = connection
        self._merge = merge
        self._lock = threading.Lock()
        self.trouble = trouble

    @classmethod
    def open(cls, path: Path, merge: Merge) -> Self:
        """Raises StoreUnavailable."""
        try:
            return cls(open_side_file(path, _bring_up), merge, "")
        except sqlite3.OperationalError as error:
            raise StoreUnavailable(f"{path}: cannot be opened: {error}") from error
        except sqlite3.DatabaseError as error:
            aside = set_aside(path)
            trouble = f"{path}: {error}; it was set aside as {aside.name} and begun anew"
            return cls(open_side_file(path, _bring_up), merge, trouble)

    def add(self, at: float, rows: Mapping[RowKey, str]) -> None:
        with self._transaction():
            for step in Step:
                begin = step.begin(at)
                self._connection.executemany(
                    "REPLACE INTO rows VALUES (?, ?, ?, ?, ?, ?)",
                    [
                        (int(step), begin, *key, self._with_kept(step, begin, key, text))
                        for key, text in rows.items()
                    ],
                )

    def read(self, step: Step, begin: int, end: int) -> list[tuple[int, RowKey, str]]:
        with self._telling(), self._lock:
            rows = self._connection.execute(
                "SELECT begin, plugin, kind, name, body FROM rows "
                "WHERE step = ? AND begin >= ? AND begin < ? ORDER BY begin, plugin, kind, name",
                (int(step), begin, end),
            ).fetchall()
        return [(row[0], (row[1], row[2], row[3]), row[4]) for row in rows]

    def oldest(self, step: Step) -> int | None:
        with self._telling(), self._lock:
            return self._oldest(step)

    def prune(self, now: float, kept: Kept) -> int:
        forgotten = 0
        with self._transaction():
            for step in Step:
                before = forget_before(step, now, kept, oldest=self._oldest(step))
                forgotten += self._forget(step, before)
        for _ in range(_ROUNDS):
            if self._bytes() <= kept.max_bytes:
                break
            with self._transaction():
                forgotten += self._forget_some()
        with self._telling(), self._lock:
            self._connection.execute("PRAGMA incremental_vacuum").fetchall()
        return forgotten

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    # -------------------------------------------------------------------------------------------

    def _with_kept(self, step: Step, begin: int, key: RowKey, text: str) -> str:
        found = self._connection.execute(
            "SELECT body FROM rows WHERE step = ? AND begin = ? AND plugin = ? AND kind = ? "
            "AND name = ?",
            (int(step), begin, *key),
        ).fetchone()
        return self._merge(found[0], text) if found is not None else text

    def _oldest(self, step: Step) -> int | None:
        [oldest] = self._connection.execute(
            "SELECT min(begin) FROM rows WHERE step = ?", (int(step),)
        ).fetchone()
        return None if oldest is None else int(oldest)

    def _forget(self, step: Step, before: int) -> int:
        return self._connection.execute(
            "DELETE FROM rows WHERE step = ? AND begin < ?", (int(step), before)
        ).rowcount

    def _forget_some(self) -> int:
        """The oldest of the finest that there are."""
        counts = dict(
            self._connection.execute("SELECT step, count(*) FROM rows GROUP BY step").fetchall()
        )
        step = too_much([(step, counts.get(int(step), 0)) for step in Step])
        few = int(counts.get(int(step), 0) * _PART)
        row = self._connection.execute(
            "SELECT begin FROM rows WHERE step = ? ORDER BY begin LIMIT 1 OFFSET ?",
            (int(step), few),
        ).fetchone()
        return self._forget(step, row[0] + 1) if row is not None else 0

    def _bytes(self) -> int:
        with self._telling(), self._lock:
            [pages] = self._connection.execute("PRAGMA page_count").fetchone()
            [free] = self._connection.execute("PRAGMA freelist_count").fetchone()
            [size] = self._connection.execute("PRAGMA page_size").fetchone()
        return int((pages - free) * size)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._telling(), self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                # SQLite itself may have ended it: on a full disk, say.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.ProgrammingError:
            raise  # a fault of ours, not of the file
        except sqlite3.Error as error:
            raise StoreUnavailable(f"statistics could not be written or read: {error}") from error


def _bring_up(connection: sqlite3.Connection) -> None:
    [version] = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise sqlite3.DatabaseError(f"found version {version}, expected at most {VERSION}")
    if version < VERSION:
        connection.executescript(f"BEGIN; {_SCHEMA}; PRAGMA user_version = {VERSION}; COMMIT;")
