"""plan held to laws, by a world of its own (plan_world.py)."""

from itertools import groupby
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.manager.actions import (
    Health,
    Plan,
    Prepare,
    Start,
)
from orchestrator.model.container import ContainerPhase
from tests.unit.manager.plan_world import NAMES, PASSES, REVISIONS, RUNNING, Box, Wish, World


def boxes(plugin: str) -> st.SearchStrategy[list[Box]]:
    box = st.builds(
        Box,
        plugin=st.just(plugin),
        revision=st.sampled_from(REVISIONS),
        requires=st.lists(st.sampled_from(NAMES), unique=True, max_size=2).map(tuple),
        phase=st.sampled_from(ContainerPhase),
        health=st.sampled_from(Health),
        cpu=st.sampled_from([10, 100]),
    )
    # A container's name holds its revision, and names are unique.
    return st.lists(box, unique_by=lambda one: one.revision, max_size=2)


@st.composite
def worlds(draw: st.DrawFn) -> dict[str, Any]:
    """Wishes that `up` would accept, and any containers at all."""
    wishes: dict[str, Wish] = {}
    for name in draw(st.permutations(NAMES)):
        if not draw(st.booleans()):
            continue
        runs = draw(st.sampled_from([True, True, False]))
        before = [other for other, wish in wishes.items() if wish.runs or not runs]
        needs = draw(st.lists(st.sampled_from(before), unique=True)) if before else []
        built, alone, known = (draw(st.booleans()) for _ in range(3))
        wishes[name] = Wish(tuple(needs), runs, built, alone, known)
    found = [box for name in NAMES for box in draw(boxes(name))]
    failures = draw(
        st.dictionaries(st.sampled_from(NAMES), st.lists(st.floats(9_990, 10_000), max_size=3))
    )
    return {
        "wishes": wishes,
        "boxes": {f"c{number}": box for number, box in enumerate(found)},
        "failures": {name: sorted(times) for name, times in failures.items()},
    }


TURN = st.tuples(
    st.frozensets(st.sampled_from(NAMES), max_size=3),
    st.sampled_from(["", "die", "vanish", "pause", "hang", "tamper", "forget", "update"]),
    st.sampled_from(NAMES),
)


def run(world: World, busy: frozenset[str] = frozenset()) -> Plan:
    result = world.plan(busy)
    for action in result.actions:
        world.check(action, busy)
    for action in result.actions:
        world.obey(action)
    world.pass_time(result.wake_at)
    return result


@given(start=worlds(), turns=st.lists(TURN, max_size=6))
def test_from_anywhere_the_world_becomes_what_is_wanted_and_is_then_left_alone(
    words: Any, start: dict[str, Any], turns: list[tuple[frozenset[str], str, str]]
) -> None:
    world = World(words, **start)
    for busy, what, plugin in turns:
        run(world, busy)
        world.disturb(what, plugin)
    for _ in range(PASSES):
        if world.state() == world.wanted_state():
            break
        run(world)

    assert world.state() == world.wanted_state()
    assert world.plan().actions == ()
    assert world.plan().waiting == {}


@given(start=worlds())
def test_what_runs_in_the_right_revision_is_never_restarted(
    words: Any, start: dict[str, Any]
) -> None:
    world = World(words, **start)
    fine = {
        container_id
        for container_id, box in world.boxes.items()
        if (box.revision, box.phase) == ("new", RUNNING)
        and box.health is not Health.STUCK
        and box.plugin in world.wishes
        and world.wishes[box.plugin].runs
    }
    for _ in range(PASSES):
        run(world)

    assert fine <= world.boxes.keys()


@given(start=worlds(), order=st.integers(1, 5), busy=st.frozensets(st.sampled_from(NAMES)))
def test_a_plan_is_the_same_in_whatever_order_things_are_told(
    words: Any, start: dict[str, Any], order: int, busy: frozenset[str]
) -> None:
    world = World(words, **start)
    one, other = world.plan(busy), world.plan(busy, order=order)

    assert (one.actions, dict(one.waiting), one.wake_at) == (
        other.actions,
        dict(other.waiting),
        other.wake_at,
    )


@given(start=worlds(), busy=st.frozensets(st.sampled_from(NAMES)))
def test_no_container_and_no_wanted_plugin_gets_two_steps_at_once(
    words: Any, start: dict[str, Any], busy: frozenset[str]
) -> None:
    world = World(words, **start)
    actions = world.plan(busy).actions
    wanted = [a.plugin_id for a in actions if getattr(a, "why", "") != "not wanted"]
    touched = [a.container_id for a in actions if not isinstance(a, Prepare | Start)]

    kinds = [(a.plugin_id, type(a)) for a in actions if isinstance(a, Start | Prepare)]

    assert len(kinds) == len(set(kinds))
    assert [name for name, _ in groupby(wanted)] == sorted(set(wanted))
    assert len(touched) == len(set(touched))


@given(start=worlds())
def test_who_gets_no_step_is_all_right_or_told_why_it_waits(
    words: Any, start: dict[str, Any]
) -> None:
    world = World(words, **start)
    result = world.plan()
    for name, wish in world.wishes.items():
        stepped = name in {action.plugin_id for action in result.actions}
        starting = any(
            box.plugin == name and box.phase is RUNNING and box.health is Health.STARTING
            for box in world.boxes.values()
        )
        idle = not wish.runs or world.answering(name) or starting

        assert stepped or idle or result.waiting[name]
        beside = {box.revision for box in world.boxes.values() if box.plugin == name} - {"new"}
        assert not (stepped and name in result.waiting) or beside
