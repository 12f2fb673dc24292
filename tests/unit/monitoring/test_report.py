"""The report: its sums against the rows that it was made from, and what it leaves to somebody."""

import json
from typing import Any

import pytest

from orchestrator.model.permissions import ExternalApi
from orchestrator.model.policy import AnalyticsPolicy, SecurityPolicy
from orchestrator.monitoring.aggregates import Calls, Key, Row, RowKind
from orchestrator.monitoring.figures import Timeframe, calls_made_by, figures, together
from orchestrator.monitoring.plugin_metrics import Facts, plugin_metrics
from orchestrator.monitoring.report import ErrorBudget, Surroundings, report
from orchestrator.monitoring.report_words import worth_doing
from orchestrator.monitoring.sketch import Gauge
from tests.unit.monitoring.showcase import FACTS, NOW, rows, sample_report, timeframe

AROUND = Surroundings(
    instance="default", policy=AnalyticsPolicy(), ceilings=SecurityPolicy().ceilings
)
FRAME = Timeframe(name="15m", begin=NOW - 900, end=NOW, point_seconds=60)
MINUTE = int(NOW - 600)


@pytest.fixture(scope="module")
def day() -> dict[str, Any]:
    return sample_report()


def _calls(count: int, failed: int, *, seconds: float = 0.004) -> Calls:
    buckets = (0, 0, 0, count, *[0] * 8)
    return Calls(
        count=count,
        failed=failed,
        seconds=count * seconds,
        least=seconds,
        most=seconds,
        buckets=buckets,
    )


def _row(count: int, **outcomes: float) -> Row:
    failed = int(sum(number for name, number in outcomes.items() if name != "ok"))
    counts = {f"outcome:{name}": number for name, number in outcomes.items()}
    return Row(calls=_calls(count, failed), counts=counts)


def test_a_plugins_metrics_are_the_specifications_four_groups() -> None:
    row = _row(10, ok=7.0, plugin_error=1.0, invalid_input=2.0)
    events = {"event:restarted": 2.0, "event:stuck": 1.0, "refused:host_not_granted": 4.0}
    states = {"state:active": 6.0, "state:error": 2.0, "state:inactive": 2.0}
    found = figures(
        [
            (MINUTE, Key("a"), row),
            (MINUTE, Key("a", RowKind.TOOL, "scan"), Row(calls=_calls(10, 3))),
            (MINUTE, Key("a", RowKind.CALLER, "operator"), Row(calls=Calls(count=10, failed=3))),
            (MINUTE + 60, Key("a"), Row(counts={**events, **states})),
            (MINUTE + 60, Key("a"), Row(gauges={"memory": Gauge.of(50.0, 100.0)})),
        ],
        FRAME,
    )
    facts = Facts(
        plugin_id="a",
        version="1.2.3",
        status="active",
        sub_state="degraded",
        detail="degraded: b is down",
        dependencies={"b": "error"},
        permissions=(ExternalApi(),),
    )

    told = plugin_metrics(facts, found["a"], FRAME).as_dict()

    assert list(told)[-4:] == ["performance", "usage", "health", "security"]
    performance = told["performance"]
    assert performance["execution_seconds"] == {
        "average": pytest.approx(0.004),
        "min": 0.004,
        "max": 0.004,
        "p50": 0.004,
        "p95": 0.004,
        "p99": 0.004,
    }
    assert performance["success_rate"] == 7 / 8  # two were their caller's own fault
    assert performance["memory_bytes"] == {
        "average": 50.0,
        "p95": 50.0,
        "max": 50.0,
        "limit": 100 * 1_048_576.0,
    }
    assert performance["throughput_per_minute"] == 1.0  # of the ten minutes that it was there
    assert performance["throughput_per_hour"] == 60.0
    assert told["usage"]["calls"] == 10
    assert told["usage"]["failed"] == 1
    assert told["usage"]["outcomes"] == {"ok": 7, "plugin_error": 1, "invalid_input": 2}
    assert [tool["name"] for tool in told["usage"]["tools"]] == ["scan"]
    assert told["health"]["availability"] == 0.75
    assert told["health"]["dependency_health"] == {"b": "error"}
    assert told["health"]["restarts"] == 2
    assert told["security"]["alerts"] == {"stuck": 1}
    assert told["security"]["violations"] == {"host_not_granted": 4}
    assert [use["verdict"] for use in told["security"]["permissions"]] == ["unused"]


def test_a_plugin_of_which_nothing_is_known_has_no_figures_rather_than_wrong_ones() -> None:
    told = plugin_metrics(Facts(plugin_id="a"), figures([], FRAME).get("a") or _nobody(), FRAME)

    assert told.performance.success_rate is None
    assert told.performance.execution_seconds.p95 is None
    assert told.performance.memory_bytes.max is None
    assert told.health.availability is None
    assert told.performance.throughput_per_minute == 0.0


def _nobody() -> Any:
    return figures([(MINUTE, Key("b"), Row())], FRAME)["b"]


def test_the_report_adds_up_to_the_rows_that_it_was_made_from(day: dict[str, Any]) -> None:
    made = [(key, row) for _, key, row in rows(86_400.0) if key.kind == RowKind.PLUGIN]

    assert day["summary"]["calls"] == sum(row.calls.count for _, row in made)
    assert day["summary"]["calls"] == sum(one["usage"]["calls"] for one in day["plugins"])
    assert day["summary"]["calls"] == sum(point["calls"] for point in day["series"]["points"])
    assert day["summary"]["failed"] == sum(row.calls.failed for _, row in made)
    by_tool = {
        tool["name"]: tool["calls"]
        for one in day["plugins"]
        if one["plugin_id"] == "knowledge-search"
        for tool in one["usage"]["tools"]
    }
    [search] = [one for one in day["plugins"] if one["plugin_id"] == "knowledge-search"]
    assert sum(by_tool.values()) == search["usage"]["calls"]


def test_the_report_is_what_json_can_hold(day: dict[str, Any]) -> None:
    assert json.loads(json.dumps(day, allow_nan=False)) == json.loads(json.dumps(day))
    json.dumps(sample_report(empty=True), allow_nan=False)


def test_busiest_and_slowest_are_in_order(day: dict[str, Any]) -> None:
    assert [row["plugin_id"] for row in day["busiest"]["plugins"]] == [
        "knowledge-search",
        "data-pipeline",
        "secret-scanner",
        "mail-relay",
    ]
    slow = [row["execution_seconds"]["p95"] for row in day["slowest"]["tools"]]
    assert slow == sorted(slow, reverse=True)
    assert day["slowest"]["plugins"][0]["plugin_id"] == "data-pipeline"


def test_a_plugin_that_is_gone_is_told_of_as_gone() -> None:
    found = figures([(MINUTE, Key("left"), _row(3, ok=3.0))], FRAME)

    told = report([], found, FRAME, AROUND)

    assert [(one["plugin_id"], one["deployed"]) for one in told["plugins"]] == [("left", False)]
    assert told["summary"]["plugins"] == 0
    assert (told["advice"], told["permissions"]) == ([], [])


@pytest.mark.parametrize(
    ("calls", "failed", "slo", "allowed", "burn"),
    [(1_000, 5, 99.0, 10.0, 0.5), (1_000, 20, 99.0, 10.0, 2.0), (0, 0, 99.0, 0.0, None)],
)
def test_an_error_budget_is_what_the_promise_leaves(
    calls: int, failed: int, slo: float, allowed: float, burn: float | None
) -> None:
    budget = ErrorBudget.of(calls, failed, slo)

    assert (budget.allowed, budget.burn) == (pytest.approx(allowed), burn and pytest.approx(burn))


def test_callers_own_faults_spend_no_error_budget() -> None:
    found = figures([(MINUTE, Key("a"), _row(100, ok=50.0, invalid_input=50.0))], FRAME)

    told = report([Facts(plugin_id="a")], found, FRAME, AROUND)

    assert (told["error_budget"]["calls"], told["error_budget"]["burn"]) == (50, 0.0)


def test_calls_between_plugins_show_who_called() -> None:
    found = figures(
        [(MINUTE, Key("b", RowKind.CALLER, "plugin:a"), Row(calls=Calls(count=4)))], FRAME
    )

    assert (calls_made_by("a", found), calls_made_by("b", found)) == (4, 0)


def test_what_is_worth_doing_comes_with_the_worst_first(day: dict[str, Any]) -> None:
    told = [(todo.weight, todo.plugin_id, todo.what) for todo in worth_doing(day)]

    assert told[:3] == [
        ("bad", "mail-relay", "it does not run"),
        ("bad", "mail-relay", "it spent 6.4 times its error budget"),
        ("warn", "knowledge-search", "raise max_memory_mb from 256 to 384 MiB"),
    ]
    assert ("hint", "knowledge-search", "update 1.4.0 to 1.5.0") in told


def test_after_a_week_unused_permissions_are_to_be_dropped() -> None:
    week = timeframe("7d", 7 * 86_400.0, 21_600)
    told = report(list(FACTS), figures(rows(week.seconds), week), week, AROUND)

    dropped = [
        (row["plugin_id"], row["permission"]) for row in told["permissions"] if row["advise_drop"]
    ]
    assert dropped == [
        ("knowledge-search", "file_system_write"),
        ("knowledge-search", "user_interface"),
        ("mail-relay", "external_api"),
    ]
    assert ("secret-scanner", "external_api") not in dropped  # its broker refused it some tries
    assert "take external_api away" in {todo.what for todo in worth_doing(told)}


def test_a_point_of_a_chart_holds_what_lies_within_it() -> None:
    frame = Timeframe(name="2h", begin=NOW - 7_200, end=NOW, point_seconds=600)
    found = figures(
        [
            (int(NOW) - 6_660, Key("a"), _row(2, ok=2.0)),
            (int(NOW) - 6_600, Key("a"), _row(3, ok=3.0)),
        ],
        frame,
    )

    points = report([Facts(plugin_id="a")], found, frame, AROUND)["series"]["points"]

    assert {point["at"] - int(NOW): point["calls"] for point in points if point["calls"]} == {
        -7_200: 2,
        -6_600: 3,
    }
    assert len(points) == 13


def test_parts_of_a_timeframe_make_the_whole_of_it() -> None:
    frame = timeframe()
    every = list(rows(frame.seconds))
    cut = len(every) // 3

    found = together(figures(every[:cut], frame), figures(every[cut:], frame))

    whole = figures(every, frame)
    assert found.keys() == whole.keys()
    told = [report(list(FACTS), each, frame, AROUND)["summary"] for each in (found, whole)]
    assert _close(*told)
    assert {name: one.first for name, one in found.items()} == {
        name: one.first for name, one in whole.items()
    }
    for name, one in whole.items():
        assert {at: row.calls.count for at, row in one.points.items()} == {
            at: row.calls.count for at, row in found[name].points.items()
        }


def _close(left: dict[str, Any], right: dict[str, Any]) -> bool:
    """`approx` knows no dictionaries within dictionaries."""
    times = [one.pop("execution_seconds") for one in (left, right)]
    return left == pytest.approx(right) and times[0] == pytest.approx(times[1])
