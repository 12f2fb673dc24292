"""Salvage: what can still be read of a state file that is damaged. The file is left as it is.

First as a database; then, where that ends at a damaged page, off the pages themselves. A record
counts only if it has the checksum it was written with.
"""

import contextlib
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from orchestrator.store.base import Record, checksum
from orchestrator.store.pages import rows

_MAX_BYTES: Final = 1 << 28
"""More than any state file has; it is read into memory."""


@dataclass(slots=True)
class Salvaged:
    """Records by kind and key, and what is known to be missing."""

    records: dict[str, dict[str, Record]] = field(default_factory=dict)
    spoilt: set[str] = field(default_factory=set)
    complete: bool = False
    """Whether the table could be walked from end to end."""

    @property
    def damaged(self) -> tuple[str, ...]:
        """`kind/key` of records that were seen and not saved."""
        saved = {f"{kind}/{key}" for kind, table in self.records.items() for key in table}
        return tuple(sorted(self.spoilt - saved))

    def take(self, row: tuple[bytes, ...]) -> None:
        """A record that is not as it was written is worse than none: it is named and left out."""
        kind, key, value, *stored = (cell.decode("utf-8", "replace") for cell in row)
        try:
            record = json.loads(value)
        except ValueError:
            record = None
        if isinstance(record, dict) and stored in ([], [checksum(kind, key, value)]):
            self.records.setdefault(kind, {}).setdefault(key, record)
        else:
            self.spoilt.add(f"{kind}/{key}")


def salvage(path: Path) -> Salvaged:
    """All that can be read. Raises OSError when there is no room for a copy of the file."""
    found = Salvaged()
    if not path.is_file() or not 0 < path.stat().st_size < _MAX_BYTES:
        return found
    columns = _read(path, found)
    if not found.complete:
        content = _with_its_log(path)
        for count in (columns,) if columns else (4, 3):
            _take(rows(content, columns=count), found)
            if found.records:
                break  # rows of an earlier version may be what a migration left
    return found


def _read(path: Path, found: Salvaged) -> int:
    """Take what SQLite reads; how many columns the table has, 0 if that is not known."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    names: list[str] = []
    with (
        contextlib.suppress(sqlite3.Error, UnicodeDecodeError),  # its words, too, may be spoilt
        contextlib.closing(sqlite3.connect(uri, uri=True)) as connection,
    ):
        connection.text_factory = bytes
        names = [row[1].decode() for row in connection.execute("PRAGMA table_info(records)")]
        if names:
            select = f"SELECT {', '.join(names)} FROM records"  # noqa: S608 - the table's own
            _take(connection.execute(select), found)
            sound = connection.execute("PRAGMA quick_check(1)").fetchone()
            found.complete = sound == (b"ok",)
    return len(names)


def _take(found_rows: Iterable[tuple[bytes, ...]], found: Salvaged) -> None:
    for row in found_rows:
        found.take(row)


def _with_its_log(path: Path) -> bytes:
    """The file's content; with what its write-ahead log holds, where SQLite can join them."""
    log = path.with_name(f"{path.name}-wal")
    if not log.exists():
        return path.read_bytes()
    with tempfile.TemporaryDirectory(prefix="salvage-", dir=path.parent) as folder:
        copy = Path(folder) / "copy.db"
        shutil.copyfile(path, copy)
        shutil.copyfile(log, copy.with_name("copy.db-wal"))
        with (
            contextlib.suppress(sqlite3.Error, UnicodeDecodeError),  # its words, too, may be spoilt
            contextlib.closing(sqlite3.connect(copy)) as connection,
        ):
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return copy.read_bytes()
