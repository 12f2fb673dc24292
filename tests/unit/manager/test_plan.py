"""plan: an exact row for each state in which a plugin can be found."""

from typing import Any

import pytest

from orchestrator.manager.actions import (
    WHOLE,
    Adopt,
    Health,
    Kill,
    Launch,
    Plan,
    Prepare,
    Remove,
    Resume,
    SetCpu,
    Start,
    Want,
)
from orchestrator.manager.members import GAVE_UP
from orchestrator.manager.plan import plan, removals
from orchestrator.model.container import ContainerPhase

NOW = 10_000.0


def planned(wants: list[Want], *seen: Any, histories: Any = None, busy: Any = None) -> Plan:
    sightings: dict[str, list[Any]] = {}
    for sighting in seen:
        plugin_id = sighting.container.label("orchestrator.plugin")
        sightings.setdefault(plugin_id, []).append(sighting)
    return plan(
        {want.plugin_id: want for want in wants},
        sightings,
        histories or {},
        busy=busy or {},
        now=NOW,
    )


def start(plugin_id: str) -> Start:
    return Start(plugin_id=plugin_id, sandbox_id=f"{plugin_id}-new")


def actions(wants: list[Want], *seen: Any, **more: Any) -> list[Any]:
    return list(planned(wants, *seen, **more).actions)


def test_nothing_wanted_and_nothing_there_is_nothing_to_do() -> None:
    assert planned([]) == Plan(actions=(), waiting={}, wake_at=None)


def test_a_plugin_without_container_is_started(words: Any) -> None:
    assert actions([words.want("a")]) == [start("a")]


def test_a_plugin_without_image_is_prepared_first(words: Any) -> None:
    assert actions([words.want("a", image_ready=False)]) == [Prepare(plugin_id="a")]


def test_an_image_is_prepared_while_dependencies_are_still_absent(words: Any) -> None:
    wants = [words.want("a", "b", image_ready=False), words.want("b")]

    assert actions(wants) == [Prepare(plugin_id="a"), start("b")]


def test_a_ready_plugin_is_left_alone(words: Any) -> None:
    assert planned([words.want("a")], words.seen("a")) == Plan(actions=(), waiting={}, wake_at=None)


def test_a_plugin_that_starts_is_left_alone(words: Any) -> None:
    starting = words.seen("a", health=Health.STARTING, cpu_percent=100)

    assert actions([words.want("a")], starting) == []


def test_a_running_container_of_an_earlier_daemon_is_adopted(words: Any) -> None:
    found = words.seen("a", health=Health.UNKNOWN)

    assert actions([words.want("a")], found) == [Adopt(plugin_id="a", container_id="c-a")]


def test_what_runs_is_adopted_though_its_image_is_not_there_any_more(words: Any) -> None:
    found = words.seen("a", health=Health.UNKNOWN)

    assert actions([words.want("a", image_ready=False)], found) == [
        Adopt(plugin_id="a", container_id="c-a")
    ]


def test_adoption_waits_for_neither_dependencies_nor_back_off(words: Any) -> None:
    found = words.seen("a", health=Health.UNKNOWN)
    wants = [words.want("a", "b"), words.want("b", image_ready=False)]

    assert actions(wants, found, histories={"a-new": words.failed(NOW - 0.1)})[0] == Adopt(
        plugin_id="a", container_id="c-a"
    )


def test_a_stuck_plugin_is_killed_with_its_trouble_as_the_reason(words: Any) -> None:
    stuck = words.seen("a", health=Health.STUCK, trouble="no control connection")

    assert actions([words.want("a")], stuck) == [
        Kill(plugin_id="a", container_id="c-a", why="no control connection")
    ]


@pytest.mark.parametrize("cpu_percent", [0, 9, 100])
def test_a_cpu_quota_that_drifted_is_set_back(words: Any, cpu_percent: int) -> None:
    assert actions([words.want("a")], words.seen("a", cpu_percent=cpu_percent)) == [
        SetCpu(plugin_id="a", container_id="c-a", cpu_percent=10)
    ]


def test_a_dead_container_is_taken_away_before_another_gets_its_name(words: Any) -> None:
    assert actions([words.want("a")], words.seen("a", phase=ContainerPhase.GONE)) == [
        Remove(plugin_id="a", container_id="c-a", why="found gone")
    ]


def test_a_container_that_somebody_paused_goes_on(words: Any) -> None:
    assert actions([words.want("a")], words.seen("a", phase=ContainerPhase.PAUSED)) == [
        Resume(plugin_id="a", container_id="c-a")
    ]


@pytest.mark.parametrize("phase", [ContainerPhase.CREATED, ContainerPhase.EXITED])
def test_a_container_that_does_not_run_is_launched_again(words: Any, phase: ContainerPhase) -> None:
    found = words.seen("a", phase=phase, health=Health.UNKNOWN)

    assert actions([words.want("a")], found) == [Launch(plugin_id="a", container_id="c-a")]


def test_another_revision_goes_on_running_until_the_new_image_is_there(words: Any) -> None:
    old = words.seen("a", digest="a-old")

    assert actions([words.want("a", image_ready=False)], old) == [Prepare(plugin_id="a")]


def test_an_old_revision_beside_the_right_one_is_taken_away(words: Any) -> None:
    seen = (words.seen("a"), words.seen("a", digest="a-old", container_id="c-old"))

    for order in (seen, seen[::-1]):
        assert actions([words.want("a")], *order) == [
            Remove(plugin_id="a", container_id="c-old", why="changed")
        ]


def test_a_container_nobody_wants_is_taken_away(words: Any) -> None:
    assert actions([], words.seen("a")) == [
        Remove(plugin_id="a", container_id="c-a", why="not wanted")
    ]


@pytest.mark.parametrize("phase", ContainerPhase)
def test_a_stopped_plugins_container_is_taken_away_in_every_phase(
    words: Any, phase: ContainerPhase
) -> None:
    assert actions([words.want("a", running=False)], words.seen("a", phase=phase)) == [
        Remove(plugin_id="a", container_id="c-a", why="not wanted")
    ]


def test_a_stopped_plugin_without_container_needs_nothing(words: Any) -> None:
    assert planned([words.want("a", running=False, image_ready=False)]) == Plan(
        actions=(), waiting={}, wake_at=None
    )


def test_every_container_of_an_unwanted_plugin_is_taken_away(words: Any) -> None:
    seen = (words.seen("a"), words.seen("a", digest="a-old", container_id="c-old"))

    assert [action.container_id for action in actions([], *seen)] == ["c-a", "c-old"]


# -- dependencies -------------------------------------------------------------------------------


def test_a_dependant_waits_until_all_its_dependencies_are_ready(words: Any) -> None:
    wants = [words.want("a", "b", "c"), words.want("b"), words.want("c")]
    result = planned(wants, words.seen("c", health=Health.STARTING))

    assert result.actions == (start("b"),)
    assert result.waiting == {"a": "waiting for b, c"}
    assert actions(wants, words.seen("b"), words.seen("c")) == [start("a")]


@pytest.mark.parametrize(
    "changes",
    [
        {"phase": ContainerPhase.EXITED},
        {"phase": ContainerPhase.CREATED},
        {"phase": ContainerPhase.PAUSED},
        {"health": Health.STARTING},
        {"health": Health.UNKNOWN},
        {"health": Health.STUCK},
        {"digest": "b-old"},
    ],
    ids=str,
)
def test_a_dependency_that_would_not_answer_is_not_ready(words: Any, changes: Any) -> None:
    wants = [words.want("a", "b"), words.want("b")]

    assert planned(wants, words.seen("b", **changes)).waiting == {"a": "waiting for b"}


def test_a_dependency_that_nobody_wants_is_waited_for(words: Any) -> None:
    assert planned([words.want("a", "b")]).waiting == {"a": "waiting for b"}


def test_an_ended_container_too_waits_for_dependencies_before_it_is_launched(words: Any) -> None:
    wants = [words.want("a", "b"), words.want("b")]
    ended = words.seen("a", phase=ContainerPhase.EXITED)

    assert actions(wants, ended) == [start("b")]


def test_a_running_plugin_goes_on_though_its_dependency_has_ended(words: Any) -> None:
    wants = [words.want("a", "b"), words.want("b")]
    ended = words.seen("b", phase=ContainerPhase.EXITED)

    assert actions(wants, words.seen("a"), ended) == [Launch(plugin_id="b", container_id="c-b")]


def test_dependants_are_taken_away_before_what_they_require(words: Any) -> None:
    seen = (words.seen("a"), words.seen("b", "a"), words.seen("c", "b"), words.seen("d"))

    assert [action.plugin_id for action in actions([], *seen)] == ["c", "d"]
    assert [action.plugin_id for action in actions([], *seen[:2])] == ["b"]
    assert [action.plugin_id for action in actions([], seen[0])] == ["a"]


def test_what_a_wanted_plugin_required_once_may_go(words: Any) -> None:
    kept = words.seen("b", "a")

    assert [x.plugin_id for x in actions([words.want("b")], words.seen("a"), kept)] == ["a"]


def test_a_circle_of_old_labels_is_taken_away_whole(words: Any) -> None:
    circle = {"a": [words.seen("a", "b")], "b": [words.seen("b", "a")]}

    assert removals({}, circle) == ["a", "b"]


def test_a_container_that_requires_its_own_plugin_can_go(words: Any) -> None:
    assert removals({}, {"a": [words.seen("a", "a")]}) == ["a"]


def test_a_busy_dependant_still_holds_up_what_it_requires(words: Any) -> None:
    assert actions([], words.seen("a"), words.seen("b", "a"), busy={"b": [WHOLE]}) == []


# -- back-off -----------------------------------------------------------------------------------


def test_an_ended_container_is_launched_when_its_back_off_is_over(words: Any) -> None:
    ended = words.seen("a", phase=ContainerPhase.EXITED)
    early = planned([words.want("a")], ended, histories={"a-new": words.failed(NOW - 0.2)})

    assert early.actions == ()
    assert early.waiting == {"a": "restarting in 0.3 s"}
    assert early.wake_at == pytest.approx(NOW + 0.3)
    assert actions([words.want("a")], ended, histories={"a-new": words.failed(NOW - 0.5)}) == [
        Launch(plugin_id="a", container_id="c-a")
    ]


@pytest.mark.parametrize("image_ready", [True, False])
def test_starts_and_builds_follow_the_back_off_too(words: Any, *, image_ready: bool) -> None:
    wants = [words.want("a", image_ready=image_ready)]

    assert planned(wants, histories={"a-new": words.failed(NOW - 0.25)}).waiting == {
        "a": "restarting in 0.2 s"
    }


def test_a_plugin_given_up_is_told_so_and_left_alone(words: Any) -> None:
    ended = words.seen("a", phase=ContainerPhase.EXITED)
    history = words.failed(*(NOW - 20 + number for number in range(11)))
    result = planned([words.want("a")], ended, histories={"a-new": history})

    assert result == Plan(actions=(), waiting={"a": GAVE_UP}, wake_at=None)


def test_the_next_look_is_at_the_first_of_all_starts_that_are_due(words: Any) -> None:
    wants = [words.want("a"), words.want("b"), words.want("c")]
    histories = {"a-new": words.failed(NOW - 3, NOW), "b-new": words.failed(NOW - 0.25)}

    assert planned(wants, histories=histories).wake_at == pytest.approx(NOW + 0.25)


@pytest.mark.parametrize("health", [Health.STUCK, Health.UNKNOWN])
def test_back_off_holds_up_starts_only(words: Any, health: Health) -> None:
    found = words.seen("a", health=health)

    assert len(actions([words.want("a")], found, histories={"a-new": words.failed(NOW)})) == 1


def test_busy_plugins_are_left_alone_and_others_are_not(words: Any) -> None:
    wants = [words.want("a"), words.want("b")]

    assert actions(wants, words.seen("x"), busy={"a": [WHOLE], "x": [WHOLE]}) == [start("b")]


def test_removals_come_first_then_steps_by_name(words: Any) -> None:
    wants = [words.want(name, alone=True) for name in ("c", "a", "b")]
    seen = (words.seen("y"), words.seen("x"), words.seen("b", digest="b-old"))

    assert actions(wants, *seen) == [
        Remove(plugin_id="x", container_id="c-x", why="not wanted"),
        Remove(plugin_id="y", container_id="c-y", why="not wanted"),
        start("a"),
        Remove(plugin_id="b", container_id="c-b", why="changed"),
        start("c"),
    ]
