"""What a tally counted between looks: exact rows, and nothing twice whatever comes and goes."""

import math
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.monitoring.aggregates import Calls, Key, Row, RowKind, united
from orchestrator.monitoring.differences import TallyReader, judged_failures
from orchestrator.monitoring.recorder import CallRecorder
from orchestrator.monitoring.tally import BOUNDS, Tally
from orchestrator.sandbox.call import Call, FailureCode
from orchestrator.sandbox.observer import CALLER_LEFT, OK, PLUGIN_ERROR

TOOLS = frozenset({"scan", "find"})


class _Declared:
    def tools(self, plugin_id: str) -> frozenset[str]:
        return TOOLS


class Counted:
    """A tally as the daemon fills it, and its reader."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.reader = TallyReader(self.tally)
        self._recorder = CallRecorder(self.tally, declared=_Declared(), now=lambda: 0.0)

    def take(self) -> dict[Key, Row]:
        return united(self.reader.take())

    def call(
        self,
        seconds: float,
        outcome: str = OK,
        *,
        plugin: str = "a",
        tool: str = "scan",
        caller: str = "operator",
    ) -> None:
        call = Call(request_id="1", deadline_seconds=1.0, tool=tool, caller=caller)
        self._recorder.ended(plugin, call, outcome, seconds, 0.0)


def _buckets(**numbers: int) -> tuple[int, ...]:
    """`_5ms=2`: two calls of at most 5 ms."""
    places = {"_5ms": 3, "_100ms": 7, "_500ms": 8}
    return tuple(
        sum(number for name, number in numbers.items() if places[name] == index)
        for index in range(len(BOUNDS) + 1)
    )


def test_the_first_minute_is_what_was_counted_until_then() -> None:
    counted = Counted()
    counted.call(0.004)
    counted.call(0.3, PLUGIN_ERROR, tool="", caller="plugin:b")

    assert counted.take() == {
        Key("a"): Row(
            calls=Calls(
                count=2,
                failed=1,
                seconds=0.304,
                least=0.004,
                most=0.3,
                buckets=_buckets(_5ms=1, _500ms=1),
            ),
            counts={"outcome:ok": 1.0, "outcome:plugin_error": 1.0},
        ),
        Key("a", RowKind.TOOL, "scan"): Row(
            calls=Calls(count=1, seconds=0.004, least=0.004, most=0.004, buckets=_buckets(_5ms=1))
        ),
        Key("a", RowKind.TOOL, ""): Row(
            calls=Calls(
                count=1, failed=1, seconds=0.3, least=0.3, most=0.3, buckets=_buckets(_500ms=1)
            )
        ),
        Key("a", RowKind.CALLER, "operator"): Row(calls=Calls(count=1)),
        Key("a", RowKind.CALLER, "plugin:b"): Row(calls=Calls(count=1, failed=1)),
    }


def test_the_second_minute_is_only_what_came_since_with_extremes_of_its_own() -> None:
    counted = Counted()
    counted.call(0.004)
    counted.call(9.0)
    counted.take()
    counted.call(0.06)

    rows = counted.take()
    assert rows[Key("a")] == Row(
        calls=Calls(
            count=1,
            seconds=rows[Key("a")].calls.seconds,
            least=0.06,
            most=0.06,
            buckets=_buckets(_100ms=1),
        ),
        counts={"outcome:ok": 1.0},
    )
    assert math.isclose(rows[Key("a")].calls.seconds, 0.06, rel_tol=1e-6)


def test_a_minute_without_a_call_has_no_rows() -> None:
    counted = Counted()
    counted.call(0.1)
    counted.take()

    assert counted.take() == {}


def test_a_refused_call_counts_and_took_no_time() -> None:
    counted = Counted()
    counted.call(0.0, FailureCode.OVERLOADED)

    row = counted.take()[Key("a")]
    assert (row.calls.count, row.calls.failed, sum(row.calls.buckets)) == (1, 1, 0)
    assert row.counts == {"outcome:overloaded": 1.0}


def test_a_plugin_that_goes_leaves_what_it_did_since_the_last_look() -> None:
    counted = Counted()
    counted.call(0.1)
    counted.take()
    counted.call(0.1)
    counted.tally.forget("a")

    assert counted.take()[Key("a")].calls.count == 1
    assert counted.take() == {}


def test_a_plugin_that_goes_and_comes_back_is_counted_on_both_sides() -> None:
    counted = Counted()
    for _ in range(3):
        counted.call(0.1)
    counted.take()
    counted.call(0.1)
    counted.tally.forget("a")
    for _ in range(5):
        counted.call(0.2)

    assert counted.take()[Key("a")].calls.count == 6


def test_failures_of_the_caller_are_not_the_plugins() -> None:
    outcomes = {OK: 5, CALLER_LEFT: 2, FailureCode.INVALID_INPUT: 3, PLUGIN_ERROR: 1}

    assert judged_failures(outcomes) == 1


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("call"),
            st.sampled_from(["a", "b"]),
            st.sampled_from([OK, PLUGIN_ERROR, FailureCode.OVERLOADED]),
            st.sampled_from(["scan", "find", "", "unheard-of"]),
        ),
        st.tuples(st.just("look"), st.just(""), st.just(""), st.just("")),
        st.tuples(st.just("forget"), st.sampled_from(["a", "b"]), st.just(""), st.just("")),
    ),
    max_size=60,
)


@given(STEPS)
def test_whatever_comes_and_goes_every_call_is_in_exactly_one_minute(
    steps: list[tuple[str, str, str, str]],
) -> None:
    counted, minutes = Counted(), []
    made: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for what, plugin, outcome, tool in steps:
        if what == "call":
            counted.call(0.1, outcome, plugin=plugin, tool=tool)
            made[plugin] += 1
            failed[plugin] += outcome != OK
        elif what == "forget":
            counted.tally.forget(plugin)
        else:
            minutes.append(counted.take())
    minutes.append(counted.take())

    rows = united(minutes)
    for plugin in ("a", "b"):
        whole = rows.get(Key(plugin), Row())
        assert (whole.calls.count, whole.calls.failed) == (made[plugin], failed[plugin])
        for kind in (RowKind.TOOL, RowKind.CALLER):
            parts = [row for key, row in rows.items() if key[:2] == (plugin, kind)]
            assert sum(part.calls.count for part in parts) == made[plugin]
            assert sum(part.calls.failed for part in parts) == failed[plugin]
    assert all(row.calls.seconds >= 0 for minute in minutes for row in minute.values())
