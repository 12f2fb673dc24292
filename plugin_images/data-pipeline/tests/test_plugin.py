"""The five tools behind the SDK's dispatch, held to the schemas in plugin.yaml."""

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from data_pipeline import DataPipeline, _as_problems
from data_pipeline_engine import DiskFull, OutOfMemory
from orchestrator_sdk import PluginContext, PluginError
from orchestrator_sdk.call import CURRENT, Call
from orchestrator_sdk.testing import Problem
from orchestrator_sdk.tools import tools_of

from orchestrator.model.info import PluginInfo

Start = Callable[..., Callable[..., Any]]
SALES = {"sales": {"share": "datasets", "path": "sales.csv"}}
TOTALS = "SELECT region, sum(amount)::BIGINT AS total FROM sales GROUP BY region ORDER BY region"


def test_a_query_answers_columns_and_rows(start: Start) -> None:
    answer = start()("query", sql=TOTALS, inputs=SALES)

    assert answer == {
        "columns": [{"name": "region", "type": "VARCHAR"}, {"name": "total", "type": "BIGINT"}],
        "rows": [["north", 15], ["south", 20]],
        "row_count": 2,
        "truncated": False,
    }


def test_rows_of_the_call_join_a_file(start: Start) -> None:
    answer = start()(
        "query",
        sql="SELECT head, sum(amount)::INT FROM sales JOIN heads USING (region) GROUP BY ALL"
        " ORDER BY head",
        inputs={
            **SALES,
            "heads": {
                "rows": [{"region": "north", "head": "Ada"}, {"region": "south", "head": "Bo"}]
            },
        },
    )

    assert answer["rows"] == [["Ada", 15], ["Bo", 20]]


def test_the_operator_s_row_limit_comes_before_the_caller_s(start: Start) -> None:
    answer = start(max_rows=2)("query", sql="SELECT * FROM sales", inputs=SALES, limit=3)

    assert (answer["row_count"], answer["truncated"]) == (2, True)


@pytest.mark.parametrize("output_format", ["csv", "json", "parquet"])
def test_an_output_is_kept_listed_read_used_and_deleted(start: Start, output_format: str) -> None:
    call = start()
    output = {"name": "totals", "format": output_format}
    kept = call("transform", sql=TOTALS, inputs=SALES, output=output)
    listed = call("list_outputs")["outputs"]
    first = call("read_output", name="totals", limit=1)
    rest = call("read_output", name="totals", offset=first["next_offset"])
    used = call("query", sql="SELECT sum(total)::INT FROM t", inputs={"t": {"output": "totals"}})
    deleted = call("delete_output", name="totals")

    assert (kept["rows"], kept["replaced"]) == (2, False)
    assert listed == [{key: kept[key] for key in ("name", "format", "bytes", "modified")}]
    assert (first["rows"], first["next_offset"]) == ([["north", 15]], 1)
    assert (rest["rows"], rest["next_offset"]) == ([["south", 20]], None)
    assert used["rows"] == [[35]]
    assert deleted == {"deleted": "totals", "freed_bytes": kept["bytes"]}
    assert call("list_outputs")["outputs"] == []


def test_a_second_transform_replaces_the_first_in_whatever_format(start: Start) -> None:
    call = start()
    call("transform", sql="SELECT 1 AS a", output={"name": "x", "format": "csv"})
    again = call("transform", sql="SELECT 2 AS a", output={"name": "x", "format": "json"})
    listed = call("list_outputs")["outputs"]

    assert again["replaced"]
    assert [(output["name"], output["format"]) for output in listed] == [("x", "json")]
    assert call("read_output", name="x")["rows"] == [[2]]


def test_a_failed_transform_leaves_the_old_output_and_no_work(start: Start) -> None:
    call = start()
    output = {"name": "x", "format": "csv"}
    call("transform", sql="SELECT 1 AS a", output=output)
    with pytest.raises(Problem, match="Could not convert"):
        call("transform", sql="SELECT 'a'::INT AS a FROM range(5000)", output=output)

    assert call("read_output", name="x")["rows"] == [[1]]
    assert list((call.tester.data_dir / "work").iterdir()) == []


@pytest.mark.parametrize(
    ("tool", "arguments", "status", "code"),
    [
        ("query", {"sql": "SELECT * FROM nope"}, 422, "sql_failed"),
        ("query", {"sql": "DROP TABLE x"}, 422, "sql_failed"),
        (
            "query",
            {"sql": "FROM t", "inputs": {"t": {"share": "datasets", "path": "../x.csv"}}},
            422,
            "input_refused",
        ),
        (
            "query",
            {"sql": "FROM t", "inputs": {"t": {"share": "datasets", "path": "x.csv"}}},
            404,
            "input_not_found",
        ),
        (
            "query",
            {"sql": "SELECT array_agg(range) FROM range(40_000_000)"},
            507,
            "query_out_of_memory",
        ),
        ("read_output", {"name": "none"}, 404, "output_not_found"),
        ("read_output", {"name": "../work"}, 422, "invalid_input"),
        ("delete_output", {"name": ".."}, 422, "invalid_input"),
        ("delete_output", {"name": "none"}, 404, "output_not_found"),
    ],
)
def test_what_cannot_be_done_is_a_problem_that_says_whose_fault_it_is(
    start: Start, tool: str, arguments: dict[str, Any], status: int, code: str
) -> None:
    call = start()
    with pytest.raises(Problem) as caught:
        call(tool, **arguments)

    assert (caught.value.status, caught.value.code) == (status, code)


def test_sql_s_own_words_reach_the_caller(start: Start) -> None:
    call = start()
    with pytest.raises(Problem, match=r'column "amuont" not found') as caught:
        call("query", sql="SELECT amuont FROM sales", inputs=SALES)

    assert caught.value.title == "The SQL failed"
    assert 'Candidate bindings: "amount"' in caught.value.detail


@pytest.mark.parametrize("name", ["../x", "a/b", "", "A", "-a", "a.csv"])
def test_an_output_s_name_cannot_be_a_path(start: Start, name: str) -> None:
    plugin = start().tester.plugin

    with pytest.raises(PluginError, match="name: "):
        plugin.transform("SELECT 1", {"name": name, "format": "csv"})


def test_an_output_s_format_is_one_of_three(start: Start) -> None:
    plugin = start().tester.plugin

    with pytest.raises(PluginError, match=r"output\.format: 'xls' found"):
        plugin.transform("SELECT 1", {"name": "x", "format": "xls"})


def test_a_query_ends_before_the_call_s_deadline(start: Start) -> None:
    plugin = start().tester.plugin
    token = CURRENT.set(Call({"x-deadline-ms": "1300"}))
    with pytest.raises(PluginError) as caught:
        plugin.query("SELECT count(*) FROM range(100_000_000_000) a, range(9) b WHERE a.range=3")
    CURRENT.reset(token)

    assert (caught.value.status, caught.value.code) == (504, "query_stopped")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 507, "volume_full"),
        (OSError(errno.EDQUOT, "Quota exceeded"), 507, "volume_full"),
        (DiskFull("No space left on device"), 507, "volume_full"),
        (OutOfMemory("too much"), 507, "query_out_of_memory"),
    ],
)
def test_want_of_room_is_a_507(error: Exception, status: int, code: str) -> None:
    with pytest.raises(PluginError) as caught, _as_problems():
        raise error

    assert (caught.value.status, caught.value.code) == (status, code)


def test_another_fault_of_the_system_is_not_taken_for_a_full_volume() -> None:
    with pytest.raises(OSError, match="Input/output error"), _as_problems():
        raise OSError(errno.EIO, "Input/output error")


def test_without_a_volume_the_start_is_refused() -> None:
    context = PluginContext(plugin_id="data-pipeline", instance_id="1")

    with pytest.raises(PluginError, match="file_system_write is not granted"):
        DataPipeline().initialize({}, context)


def test_what_an_interrupted_call_left_behind_goes_at_the_start(start: Start) -> None:
    plugin, tester = DataPipeline(), start().tester
    left = tester.data_dir / "work" / "call-left"
    left.mkdir()
    plugin.initialize(tester.plugin.config, tester.plugin.context)

    assert not left.exists()


@pytest.mark.parametrize(("min_free_mb", "state"), [(0, "ready"), (65_536 * 1, "degraded")])
def test_a_nearly_full_volume_is_told_by_the_status(
    start: Start, monkeypatch: pytest.MonkeyPatch, min_free_mb: int, state: str
) -> None:
    call = start(min_free_mb=min_free_mb)
    usage = type("Usage", (), {"free": 1 << 20})
    monkeypatch.setattr("data_pipeline.shutil.disk_usage", lambda _: usage)
    status = call.tester.status()

    assert status.state == state
    assert status.metrics == {"outputs": 0, "free_bytes": 1 << 20}


def test_plugin_yaml_is_a_valid_plugin_and_tells_what_the_code_does(info: dict[str, Any]) -> None:
    checked = PluginInfo.model_validate_json(json.dumps(info))
    config = {name: p["default"] for name, p in info["config_schema"]["properties"].items()}
    queries = config["query_memory_mb"] * checked.limits.max_concurrent_requests

    assert {tool.name for tool in checked.tools} == tools_of(DataPipeline()).keys()
    assert queries + 90 <= checked.limits.max_memory_mb
    assert Path(__file__).parents[1].joinpath("data_pipeline.py").exists()
