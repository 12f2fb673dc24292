"""DuckDB as one call sees it: the named inputs, bounded, and nothing else of the world."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from data_pipeline_engine import (
    Bounds,
    DiskFull,
    Engine,
    OutOfMemory,
    QueryFailed,
    QueryStopped,
    Result,
)
from data_pipeline_inputs import Source

BOUNDS = Bounds(memory_mb=64, temp_mb=16, result_bytes=100_000)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    file = tmp_path / "t.csv"
    file.write_text("a,b\n1,x\n2,y\n3,z\n")
    (tmp_path / "other.csv").write_text("a\n9\n")
    return file


def engine(
    table: Path, *, bounds: Bounds = BOUNDS, stop: Callable[[], bool] = lambda: False
) -> Engine:
    source = Source(table="t", file=table, format="csv")
    return Engine(sources=[source], work=table.parent, bounds=bounds, stop=stop)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM t",
        "FROM t",
        "WITH x AS (SELECT * FROM t) SELECT * FROM x",
        "SELECT * FROM t; ",
        "-- first\nSELECT * FROM t -- last",
        "SELECT * FROM t ORDER BY a",
    ],
)
def test_a_select_is_answered_in_any_of_its_shapes(table: Path, sql: str) -> None:
    result = engine(table).query(sql, limit=10)

    assert result == Result(
        columns=[{"name": "a", "type": "BIGINT"}, {"name": "b", "type": "VARCHAR"}],
        rows=[[1, "x"], [2, "y"], [3, "z"]],
        truncated=False,
    )


@pytest.mark.parametrize(
    "path",
    ["other.csv", "/etc/passwd", "/proc/self/environ", "*.csv", "./t.csv/../other.csv"],
)
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('{}')",
        "SELECT * FROM read_text('{}')",
        "SELECT * FROM read_blob('{}')",
        "SELECT * FROM read_json('{}')",
        "SELECT * FROM read_parquet('{}')",
        "SELECT * FROM parquet_metadata('{}')",
        "SELECT * FROM sniff_csv('{}')",
        "SELECT * FROM glob('{}')",
        "SELECT * FROM '{}'",
        "SELECT * FROM query('SELECT * FROM read_text(''{}'')')",
    ],
)
def test_no_file_but_the_inputs_can_be_read(table: Path, sql: str, path: str) -> None:
    absolute = path if path.startswith("/") else str(table.parent / path)
    # A name without a suffix is not even taken for a file.
    with pytest.raises(QueryFailed, match=r"Permission Error|passwd does not|environ does not"):
        engine(table).query(sql.format(absolute), limit=1)


@pytest.mark.parametrize(
    "sql",
    [
        "SET enable_external_access = true",
        "SET threads = 8",
        "RESET enable_external_access",
        "INSTALL httpfs",
        "LOAD httpfs",
        "ATTACH 'x.db'",
        "COPY (SELECT 1) TO '/tmp/leak.csv'",
        "EXPORT DATABASE '/tmp/leak'",
        "CREATE TABLE x AS SELECT 1",
        "DROP VIEW t",
        "PRAGMA database_list",
        "CALL duckdb_settings()",
        "SELECT 1; SELECT 2",
        "SELECT 1; SET threads = 8",
        "",
        ";",
        "-- nothing",
    ],
)
def test_only_one_select_statement_is_run(table: Path, sql: str) -> None:
    with pytest.raises(QueryFailed, match="one SELECT statement expected"):
        engine(table).query(sql, limit=1)


def test_the_view_around_a_statement_cannot_be_closed_from_inside(table: Path) -> None:
    with pytest.raises(QueryFailed, match="syntax error"):
        engine(table).query("SELECT 1) TO '/tmp/leak.csv' --", limit=1)


def test_configuration_stays_locked_and_hardened_inside_a_query(table: Path) -> None:
    sql = "SELECT name, value FROM duckdb_settings()"
    settings = dict(engine(table).query(sql, limit=1_000).rows)

    assert settings["enable_external_access"] == "false"
    assert settings["lock_configuration"] == "true"
    assert settings["autoinstall_known_extensions"] == "false"
    assert settings["autoload_known_extensions"] == "false"
    assert settings["python_enable_replacements"] == "false"
    assert settings["allow_persistent_secrets"] == "false"
    assert settings["threads"] == "1"
    assert settings["memory_limit"] == "64.0 MiB"
    assert settings["max_temp_directory_size"] == "16.0 MiB"


def test_a_variable_of_ours_is_no_table(table: Path) -> None:
    with pytest.raises(QueryFailed, match="does not exist"):
        engine(table).query("SELECT * FROM sources", limit=1)


@pytest.mark.parametrize(
    ("limit", "offset", "rows", "truncated"),
    [
        (2, 0, [1, 2], True),
        (3, 0, [1, 2, 3], False),
        (2, 2, [3], False),
        (1, 1, [2], True),
        (5, 9, [], False),
    ],
)
def test_rows_come_in_pages(
    table: Path,
    limit: int,
    offset: int,
    rows: list[int],
    truncated: bool,  # noqa: FBT001 - a row of the table above
) -> None:
    result = engine(table).query("SELECT a FROM t", limit=limit, offset=offset)

    assert ([row[0] for row in result.rows], result.truncated) == (rows, truncated)


def test_an_answer_stays_within_its_bytes(table: Path) -> None:
    bounds = Bounds(memory_mb=64, temp_mb=16, result_bytes=10_000)
    result = engine(table, bounds=bounds).query(
        "SELECT repeat('x', 500) FROM range(1000)", limit=1_000
    )

    assert 0 < len(result.rows) < 20
    assert result.truncated


def test_a_query_beyond_its_memory_is_told_so(table: Path) -> None:
    with pytest.raises(OutOfMemory, match=r"Out of Memory.*; filter or aggregate earlier"):
        engine(table).query("SELECT array_agg(range) FROM range(30_000_000)", limit=1)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM range(100_000_000_000) a, range(1000) b WHERE a.range % 7 = b.range",
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r",
    ],
)
def test_a_query_is_stopped_while_it_runs(table: Path, sql: str) -> None:
    begun = time.monotonic()
    with pytest.raises(QueryStopped):
        engine(table, stop=lambda: time.monotonic() - begun > 0.3).query(sql, limit=1)

    assert time.monotonic() - begun < 5
    assert not [thread for thread in threading.enumerate() if thread.name == "query-watch"]


def test_a_full_disk_is_told_apart_from_bad_sql(table: Path) -> None:
    with pytest.raises(DiskFull, match="No space left"):
        engine(table).write("SELECT * FROM t", file=Path("/dev/full"), output_format="csv")


@pytest.mark.parametrize("output_format", ["csv", "json", "parquet"])
def test_what_is_written_is_read_back_the_same(table: Path, output_format: str) -> None:
    file = table.parent / f"out.{output_format}"
    rows = engine(table).write("SELECT * FROM t", file=file, output_format=output_format)
    reader = f"read_{output_format}"
    with duckdb.connect() as connection:
        back = connection.execute(f"SELECT a, b FROM {reader}(?)", [str(file)]).fetchall()  # noqa: S608

    assert rows == 3
    assert back == [(1, "x"), (2, "y"), (3, "z")]


def test_a_path_with_a_quote_is_only_a_path(table: Path) -> None:
    odd = table.rename(table.parent / "it's'); DROP.csv")
    result = engine(odd).query("SELECT count(*) FROM t", limit=1)

    assert result.rows == [[3]]
