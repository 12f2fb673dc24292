"""What the recorder writes into the tally, and what no caller can make it write."""

from collections.abc import Set
from typing import Any

import pytest

from orchestrator.monitoring.recorder import CallRecorder, trace_id_of
from orchestrator.monitoring.tally import MAX_CALLERS, MAX_TOOLS, OTHER, PluginTally, Tally
from orchestrator.sandbox.call import Call, FailureCode
from orchestrator.sandbox.observer import CALLER_LEFT, NEVER_BEGUN, OK, PLUGIN_ERROR

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


class Plugins:
    def __init__(self, **tools: Set[str]) -> None:
        self.known = tools

    def tools(self, plugin_id: str) -> Set[str] | None:
        return self.known.get(plugin_id)


class Desk:
    def __init__(self, **tools: Set[str]) -> None:
        self.tally = Tally()
        self.recorder = CallRecorder(self.tally, declared=Plugins(**tools), now=lambda: 7.0)

    def end(self, outcome: str = OK, *, seconds: float = 0.02, **call: Any) -> PluginTally | None:
        plain = {"request_id": "r1", "deadline_seconds": 1.0, "caller": "operator"}
        made = Call(**{**plain, **call})
        self.recorder.ended("notes", made, outcome, seconds, 0.001)
        return self.tally.find("notes")


def test_a_call_is_counted_by_outcome_tool_and_caller() -> None:
    desk = Desk(notes={"add"}, todo=set())

    desk.end(tool="add")
    desk.end(tool="add", outcome=PLUGIN_ERROR, caller="plugin:todo")
    tally = desk.end()

    assert tally is not None
    assert tally.outcomes == {OK: 2, PLUGIN_ERROR: 1}
    assert {name: (it.calls, it.failures) for name, it in tally.tools.items()} == {
        "add": (2, 1),
        "": (1, 0),
    }
    assert tally.callers == {"operator": 2, "plugin:todo": 1}
    assert (tally.spread.count, tally.spread.buckets[5]) == (3, 3)
    assert tally.waited == pytest.approx(0.003)


def test_a_plugin_that_does_not_exist_has_no_tally() -> None:
    assert Desk(todo=set()).end() is None


def test_names_of_tools_that_nobody_declared_are_counted_as_one() -> None:
    desk = Desk(notes={"add"})

    for number in range(10_000):
        desk.end(FailureCode.UNKNOWN_TOOL, tool=f"made-up-{number}")
    tally = desk.end(tool="add")

    assert tally is not None
    assert {name: it.calls for name, it in tally.tools.items()} == {OTHER: 10_000, "add": 1}


def test_declared_tools_and_callers_beyond_a_bound_are_counted_as_one() -> None:
    many = {f"tool{number}" for number in range(200)}
    desk = Desk(notes=many, **{f"p{number}": set() for number in range(200)})
    for number in range(200):
        desk.end(tool=f"tool{number}", caller=f"plugin:p{number}")

    tally = desk.tally.of("notes")

    assert len(tally.tools) == MAX_TOOLS + 1
    assert tally.tools[OTHER].calls == 200 - MAX_TOOLS
    assert len(tally.callers) == MAX_CALLERS + 1
    assert tally.callers[OTHER] == 200 - MAX_CALLERS


def test_every_run_of_handed_in_code_is_the_same_caller() -> None:
    desk = Desk(notes=set(), todo=set())
    for number in range(1_000):
        desk.end(PLUGIN_ERROR, caller=f"plugin:code-python-{number:08x}")
    tally = desk.end(caller="plugin:todo")

    assert tally is not None
    assert tally.callers == {"(code)": 1_000, "plugin:todo": 1}
    assert tally.caller_failures == {"(code)": 1_000}


def test_a_tool_that_an_update_declares_is_counted_by_itself() -> None:
    plugins = Plugins(notes=set())
    desk = Desk()
    desk.recorder._declared = plugins
    desk.end(FailureCode.UNKNOWN_TOOL, tool="add")
    plugins.known["notes"] = {"add"}
    tally = desk.end(tool="add")

    assert tally is not None
    assert {name: it.calls for name, it in tally.tools.items()} == {OTHER: 1, "add": 1}


@pytest.mark.parametrize("outcome", sorted(NEVER_BEGUN))
def test_a_refused_call_is_counted_and_took_no_time(outcome: str) -> None:
    tally = Desk(notes=set()).end(outcome, seconds=0.0)

    assert tally is not None
    assert (tally.outcomes, tally.spread.count, tally.waited) == ({outcome: 1}, 0, 0.0)


def test_a_call_whose_caller_left_took_its_time() -> None:
    tally = Desk(notes=set()).end(CALLER_LEFT, seconds=3.0)

    assert tally is not None
    assert (tally.spread.count, tally.spread.most) == (1, 3.0)


def test_the_latest_trace_of_a_bucket_is_kept() -> None:
    desk = Desk(notes=set())
    desk.end(traceparent="00-" + "1" * 32 + "-b7ad6b7169203331-01")
    desk.end(traceparent=PARENT, seconds=0.021)
    tally = desk.end(traceparent="", seconds=0.022)

    assert tally is not None
    assert tally.exemplars == {5: (PARENT, 0.021, 7.0)}


@pytest.mark.parametrize(
    ("traceparent", "trace_id"),
    [
        (PARENT, TRACE),
        (f"01-{TRACE}-b7ad6b7169203331-01", TRACE),
        (f"00-{TRACE}-b7ad6b7169203331", ""),
        (f"00-{TRACE.upper()}-b7ad6b7169203331-01", ""),
        (f'00-{TRACE[:-1]}"-b7ad6b7169203331-01', ""),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", ""),
        (f"{PARENT}\n", ""),
        ("", ""),
    ],
)
def test_only_a_well_formed_trace_becomes_an_exemplar(traceparent: str, trace_id: str) -> None:
    assert trace_id_of(traceparent) == trace_id
