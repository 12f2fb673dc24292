"""plan for plugins with several containers: replicas, a rolling update, sleep; a row each."""

from typing import Any

import pytest

from orchestrator.manager.actions import (
    IMAGE,
    Adopt,
    Health,
    Launch,
    Pause,
    Plan,
    Prepare,
    Remove,
    Resume,
    Sleep,
    Start,
)
from orchestrator.manager.members import in_service, is_settled
from orchestrator.manager.plan import plan
from orchestrator.model.container import ContainerPhase

NOW = 10_000.0


def planned(want: Any, *seen: Any, busy: Any = (), histories: Any = None) -> Plan:
    return plan(
        {want.plugin_id: want},
        {want.plugin_id: seen},
        histories or {},
        busy={want.plugin_id: busy} if busy else {},
        now=NOW,
    )


def steps(want: Any, *seen: Any, **more: Any) -> list[Any]:
    return list(planned(want, *seen, **more).actions)


def start(replica: int = 0) -> Start:
    return Start(plugin_id="a", sandbox_id=f"a-new-{replica}" if replica else "a-new")


def remove(container_id: str, why: str = "changed") -> Remove:
    return Remove(plugin_id="a", container_id=container_id, why=why)


@pytest.fixture
def old(words: Any) -> Any:
    """Containers of another revision: `old(0)` is ready and takes calls."""

    def make(replica: int = 0, **changes: Any) -> Any:
        plain = {"digest": "a-old", "container_id": f"old-{replica}", "name": f"a-old-{replica}"}
        return words.seen("a", replica=replica, **plain | changes)

    return make


@pytest.fixture
def new(words: Any) -> Any:
    def make(replica: int = 0, **changes: Any) -> Any:
        plain = {"container_id": f"new-{replica}", "name": f"a-new-{replica}"}
        return words.seen("a", replica=replica, **plain | changes)

    return make


# -- replicas -----------------------------------------------------------------------------------


def test_replicas_are_started_side_by_side(words: Any) -> None:
    assert steps(words.want("a", replicas=3)) == [start(), start(1), start(2)]


def test_only_the_replica_that_is_missing_is_started(words: Any, new: Any) -> None:
    assert steps(words.want("a", replicas=3), new(0), new(2)) == [start(1)]


def test_a_replica_more_than_wanted_is_taken_away(words: Any, new: Any) -> None:
    assert steps(words.want("a"), new(0), new(1)) == [remove("new-1", "fewer replicas are wanted")]


def test_each_replica_has_a_back_off_of_its_own(words: Any) -> None:
    result = planned(words.want("a", replicas=2), histories={"a-new-1": words.failed(NOW)})

    assert result.actions == (start(),)
    assert result.waiting == {"a": "restarting in 0.5 s"}


def test_a_step_for_one_replica_does_not_hold_up_the_others(words: Any, new: Any) -> None:
    want = words.want("a", replicas=3)
    stuck = new(0, health=Health.STUCK)

    assert steps(want, stuck, busy=["new-0", "a-new-1"]) == [start(2)]


def test_all_replicas_that_are_ready_take_calls(words: Any, new: Any) -> None:
    want = words.want("a", replicas=3)
    seen = [new(0), new(1, health=Health.STARTING), new(2)]

    assert in_service(want, seen) == [seen[0], seen[2]]
    assert not is_settled(want, seen)
    assert is_settled(want, [new(0), new(1), new(2)])


# -- a rolling update ---------------------------------------------------------------------------


def test_a_changed_plugin_is_started_beside_the_one_that_runs(words: Any, old: Any) -> None:
    assert steps(words.want("a"), old()) == [start()]


def test_the_old_one_takes_the_calls_until_the_new_one_was_well_for_long_enough(
    words: Any, old: Any, new: Any
) -> None:
    want = words.want("a", min_healthy_seconds=2.0)
    for well in (None, 0.0, 1.9):
        seen = [old(), new(well_seconds=well)]

        assert in_service(want, seen) == [seen[0]]
        assert steps(want, *seen) == []
        assert planned(want, *seen).wake_at == (None if well is None else NOW + 2.0 - well)
    seen = [old(), new(well_seconds=2.0)]

    assert in_service(want, seen) == [seen[1]]
    assert steps(want, *seen) == [remove("old-0")]


def test_replicas_are_replaced_one_by_one(words: Any, old: Any, new: Any) -> None:
    want = words.want("a", replicas=2, min_healthy_seconds=2.0)
    begun = [old(0), old(1), new(0, well_seconds=1.0)]
    half = [old(0), old(1), new(0, well_seconds=3.0)]
    last = [old(0), new(0, well_seconds=3.0), new(1, well_seconds=3.0)]

    assert steps(want, old(0), old(1)) == [start()]
    assert steps(want, *begun) == []
    assert steps(want, *half) == [remove("old-1"), start(1)]
    assert in_service(want, half) == [half[2], half[0], half[1]]
    assert steps(want, *last) == [remove("old-0")]
    assert in_service(want, last) == last[1:]


def test_a_new_one_that_keeps_failing_costs_the_old_one_nothing(
    words: Any, old: Any, new: Any
) -> None:
    want = words.want("a", min_healthy_seconds=2.0)
    ended = new(phase=ContainerPhase.EXITED, health=Health.UNKNOWN)
    result = planned(want, old(), ended, histories={"a-new": words.failed(NOW)})

    assert result.actions == ()
    assert in_service(want, [old(), ended]) == [old()]
    assert steps(want, old(), ended) == [Launch(plugin_id="a", container_id="new-0")]


def test_an_old_one_that_ends_is_brought_up_again_if_its_revision_is_known(
    words: Any, old: Any
) -> None:
    ended = old(phase=ContainerPhase.EXITED, health=Health.UNKNOWN)
    known = words.want("a", known=frozenset({"a-old"}))

    assert steps(known, ended) == [Launch(plugin_id="a", container_id="old-0"), start()]
    assert steps(words.want("a"), ended) == [remove("old-0"), start()]


def test_an_old_one_of_an_earlier_daemon_is_adopted_if_its_revision_is_known(
    words: Any, old: Any
) -> None:
    found = old(health=Health.UNKNOWN)
    known = words.want("a", known=frozenset({"a-old"}))

    assert steps(known, found) == [Adopt(plugin_id="a", container_id="old-0"), start()]
    assert steps(words.want("a"), found) == [remove("old-0"), start()]


def test_what_can_run_beside_no_other_is_stopped_first(words: Any, old: Any) -> None:
    want = words.want("a", alone=True)

    assert steps(want, old()) == [remove("old-0")]
    assert steps(want, old(), busy=["old-0"]) == []
    assert steps(want) == [start()]


def test_what_is_stopped_first_runs_until_the_new_image_is_there(words: Any, old: Any) -> None:
    want = words.want("a", alone=True, image_ready=False)

    assert steps(want, old()) == [Prepare(plugin_id="a")]
    assert steps(want, old(), busy=[IMAGE]) == []


@pytest.mark.parametrize("alone", [True, False])
def test_a_paused_rollout_stands_still_and_what_runs_is_tended(
    words: Any, old: Any, new: Any, *, alone: bool
) -> None:
    want = words.want("a", paused=True, alone=alone, known=frozenset({"a-old"}))
    ended = old(phase=ContainerPhase.EXITED, health=Health.UNKNOWN)

    assert steps(want, old()) == []
    assert planned(want, old()).waiting == {"a": "its rollout is paused"}
    assert steps(want, ended) == [Launch(plugin_id="a", container_id="old-0")]
    assert [s for s in steps(want, old(), new()) if isinstance(s, Remove)] == []


def test_a_dependant_that_changed_waits_for_what_it_needs_in_its_wanted_revision(
    words: Any,
) -> None:
    wants = {"a": words.want("a", "b"), "b": words.want("b", min_healthy_seconds=2.0)}
    changing = [words.seen("b", digest="b-old"), words.seen("b", container_id="c-2")]
    seen = {"b": changing}
    ended = {**seen, "a": [words.seen("a", phase=ContainerPhase.EXITED)]}

    assert plan(wants, seen, {}, busy={}, now=NOW).waiting == {"a": "waiting for b"}
    # What only ended can have what it needs from the revision before.
    assert plan(wants, ended, {}, busy={}, now=NOW).actions == (
        Launch(plugin_id="a", container_id="c-a"),
    )


# -- sleep --------------------------------------------------------------------------------------


def test_a_plugin_that_nobody_calls_is_paused_and_then_stopped(words: Any, new: Any) -> None:
    paused = new(phase=ContainerPhase.PAUSED)

    assert steps(words.want("a", sleep=Sleep.PAUSED), new()) == [
        Pause(plugin_id="a", container_id="new-0")
    ]
    assert steps(words.want("a", sleep=Sleep.PAUSED), paused) == []
    assert steps(words.want("a", sleep=Sleep.STOPPED), paused) == [remove("new-0", "idle")]
    assert steps(words.want("a", sleep=Sleep.STOPPED)) == []


def test_a_plugin_that_is_called_wakes_up(words: Any, new: Any) -> None:
    assert steps(words.want("a"), new(phase=ContainerPhase.PAUSED)) == [
        Resume(plugin_id="a", container_id="new-0")
    ]
    assert steps(words.want("a")) == [start()]


def test_a_plugin_that_sleeps_is_there_for_those_that_need_it(words: Any) -> None:
    wants = {"a": words.want("a", "b"), "b": words.want("b", sleep=Sleep.STOPPED)}

    assert plan(wants, {}, {}, busy={}, now=NOW).actions == (
        Start(plugin_id="a", sandbox_id="a-new"),
    )


def test_what_is_to_sleep_is_updated_first(words: Any, old: Any) -> None:
    want = words.want("a", sleep=Sleep.PAUSED, known=frozenset({"a-old"}))

    assert steps(want, old(phase=ContainerPhase.PAUSED)) == [
        Resume(plugin_id="a", container_id="old-0"),
        start(),
    ]
