"""One DuckDB for one call: it sees the call's inputs as tables, and no other file in the world.

The inputs are made known first; then external access ends but for those files (and the file that
a transform writes), and the configuration is locked, so that no SQL can take it back.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

import duckdb
from data_pipeline_inputs import Source
from data_pipeline_values import to_json

_READERS = {"csv": "read_csv", "json": "read_json", "parquet": "read_parquet"}
_WRITE = {
    "csv": "FORMAT csv, HEADER true",
    "json": "FORMAT json, ARRAY true",
    "parquet": "FORMAT parquet, COMPRESSION zstd",
}
_RESULT = "__result"
_BATCH_ROWS = 256
_WATCH_SECONDS = 0.1


class QueryFailed(Exception):
    """DuckDB refused or could not finish; its own words are kept."""


class QueryStopped(Exception):
    """The call's time is over."""


class OutOfMemory(Exception):
    """The query needs more memory, or more room to spill, than it may have."""


class DiskFull(Exception):
    """The plugin's volume is full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    memory_mb: int
    temp_mb: int
    result_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    columns: list[dict[str, str]]
    rows: list[list[Any]]
    truncated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Runs one call's statement; `stop` is asked again and again and ends it."""

    sources: Iterable[Source]
    work: Path
    bounds: Bounds
    stop: Callable[[], bool]

    def query(self, sql: str, *, limit: int, offset: int = 0) -> Result:
        """The first `limit` rows after `offset`, as far as they fit into the answer."""
        with self._connected() as connection:
            cursor = connection.execute(_view(connection, sql))
            cursor.execute(f"SELECT * FROM {_RESULT} LIMIT ? OFFSET ?", [limit + 1, offset])  # noqa: S608 - a constant
            columns = [
                {"name": str(name), "type": str(kind)} for name, kind, *_ in cursor.description
            ]
            rows, whole = self._fetch(cursor, limit)
            return Result(columns=columns, rows=rows, truncated=not whole)

    def write(self, sql: str, *, file: Path, output_format: str) -> int:
        """Write the whole result into `file`; the number of rows."""
        with self._connected(writable=file) as connection:
            connection.execute(_view(connection, sql))
            copy = f"COPY {_RESULT} TO {_quoted(str(file))} ({_WRITE[output_format]})"
            row = connection.execute(copy).fetchone()
            return int(row[0]) if row else 0

    def _fetch(self, cursor: duckdb.DuckDBPyConnection, limit: int) -> tuple[list[Any], bool]:
        rows: list[Any] = []
        size = 0
        while batch := cursor.fetchmany(_BATCH_ROWS):
            for values in batch:
                row, row_size = to_json(values)
                size += row_size
                if len(rows) == limit or size > self.bounds.result_bytes:
                    return rows, False
                rows.append(row)
        return rows, True

    @contextmanager
    def _connected(self, *, writable: Path | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
        with (
            _told_apart(),
            duckdb.connect(":memory:", config=self._config()) as connection,
            _watched(connection, self.stop),
        ):
            allowed = [] if writable is None else [str(writable)]
            for source in self.sources:
                reader = f"{_READERS[source.format]}({_quoted(str(source.file))})"
                connection.execute(
                    f'CREATE VIEW "{source.table}" AS SELECT * FROM {reader}'  # noqa: S608 - a checked name, a quoted path
                )
                allowed.append(str(source.file))
            _lock(connection, allowed)
            yield connection

    def _config(self) -> dict[str, str | bool | int | float | list[str]]:
        return {
            "threads": 1,
            "async_threads": 1,
            "memory_limit": f"{self.bounds.memory_mb}MiB",
            "temp_directory": str(self.work / "spill"),
            "max_temp_directory_size": f"{self.bounds.temp_mb}MiB",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "allow_persistent_secrets": False,
            # Otherwise a table's name may be that of a Python variable of ours.
            "python_enable_replacements": False,
            "home_directory": str(self.work),
        }


def _lock(connection: duckdb.DuckDBPyConnection, allowed: list[str]) -> None:
    paths = ", ".join(_quoted(path) for path in allowed)
    connection.execute(f"SET allowed_paths = [{paths}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _view(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    """The statement that makes a view of `sql`, which must be one SELECT and nothing else."""
    statements = connection.extract_statements(sql)
    kinds = [statement.type for statement in statements]
    if kinds != [duckdb.StatementType.SELECT]:
        found = ", ".join(kind.name for kind in kinds) or "nothing"
        raise QueryFailed(f"sql: {found} found, one SELECT statement expected")
    return f"CREATE TEMP VIEW {_RESULT} AS {statements[0].query}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@contextmanager
def _told_apart() -> Iterator[None]:
    """DuckDB's exceptions as ours, by what the caller can do about them."""
    try:
        yield
    except duckdb.InterruptException as error:
        raise QueryStopped("the query was stopped: the call's time is over") from error
    except duckdb.OutOfMemoryException as error:
        # What DuckDB advises after its first line are settings that are locked here.
        advice = "filter or aggregate earlier, or have query_memory_mb and max_spill_mb raised"
        raise OutOfMemory(f"{str(error).splitlines()[0]}; {advice}") from error
    except duckdb.IOException as error:
        if re.search(r"no space left|disk quota|ENOSPC", str(error), re.IGNORECASE):
            raise DiskFull(_first_lines(error)) from error
        raise QueryFailed(_first_lines(error)) from error
    except duckdb.Error as error:
        raise QueryFailed(_first_lines(error)) from error


def _first_lines(error: Exception) -> str:
    return "\n".join(str(error).splitlines()[:12])[:2_000]


@contextmanager
def _watched(connection: duckdb.DuckDBPyConnection, stop: Callable[[], bool]) -> Iterator[None]:
    """Interrupts the connection once `stop` says so, whatever it is busy with."""
    done = Event()

    def watch() -> None:
        while not done.wait(_WATCH_SECONDS):
            if stop():
                connection.interrupt()

    watcher = Thread(target=watch, name="query-watch", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
