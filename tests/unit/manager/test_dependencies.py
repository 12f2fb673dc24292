"""What is at the root of a plugin's waiting, or of its trouble: one row a situation."""

from typing import Final

import pytest

from orchestrator.manager.dependencies import (
    Cause,
    Member,
    blockers,
    degraded_words,
    troubles,
    waiting_words,
)
from orchestrator.model.status import SubState

S: Final = SubState
CRASH: Final = "exit_code_1: it ended"


def member(sub_state: SubState, *needs: str, why: str = "") -> Member:
    return Member(needs=needs, sub_state=sub_state, why=why)


def roots(causes: tuple[Cause, ...]) -> list[tuple[str, str]]:
    return [(cause.root, cause.via) for cause in causes]


def test_who_waits_for_a_plugin_that_failed_is_told_why_it_did() -> None:
    members = {"a": member(S.WAITING, "search"), "search": member(S.BACKING_OFF, why=CRASH)}

    assert waiting_words(blockers("a", members)) == (
        "waiting for search (error: exit_code_1: it ended)"
    )


def test_who_waits_for_one_that_waits_is_told_what_both_wait_for() -> None:
    members = {
        "a": member(S.WAITING, "b"),
        "b": member(S.WAITING, "c"),
        "c": member(S.WAITING, "d"),
        "d": member(S.STARTING),
    }

    assert waiting_words(blockers("a", members)) == "waiting for b, held by d (starting)"
    assert waiting_words(blockers("c", members)) == "waiting for d (starting)"


def test_only_what_is_missing_is_waited_for() -> None:
    members = {
        "a": member(S.WAITING, "b", "c", "d", "e"),
        "b": member(S.RUNNING),
        "c": member(S.DEGRADED),
        "d": member(S.IDLE),
        "e": member(S.PREPARING),
    }

    assert roots(blockers("a", members)) == [("e", "")]


def test_one_root_is_named_once_and_as_directly_as_can_be() -> None:
    members = {
        "a": member(S.WAITING, "b", "c"),
        "b": member(S.WAITING, "c"),
        "c": member(S.STARTING),
    }

    assert roots(blockers("a", members)) == [("c", "")]


@pytest.mark.parametrize(
    ("sub_state", "hopeless"),
    [
        (S.STARTING, False),
        (S.PREPARING, False),
        (S.STOPPED, True),
        (S.GAVE_UP, True),
        (S.RESTARTING, True),
        (S.UNFIT, True),
    ],
)
def test_waiting_mends_nothing_when_the_root_failed_or_is_stopped(
    sub_state: SubState, *, hopeless: bool
) -> None:
    members = {
        "a": member(S.WAITING, "b"),
        "b": member(S.WAITING, "c"),
        "c": member(sub_state),
    }
    [cause] = blockers("a", members)

    assert cause.hopeless is hopeless


def test_a_plugin_that_nobody_deployed_is_a_root_as_well() -> None:
    members = {"a": member(S.RUNNING, "b")}

    assert degraded_words(troubles("a", members)) == "b is down (stopped: it is not deployed)"


def test_a_running_plugin_is_told_which_of_its_needs_is_down() -> None:
    members = {"a": member(S.RUNNING, "b"), "b": member(S.GAVE_UP, why=CRASH)}

    assert degraded_words(troubles("a", members)) == "b is down (error: exit_code_1: it ended)"


def test_trouble_comes_through_a_plugin_that_runs_and_is_told_with_it() -> None:
    members = {
        "a": member(S.RUNNING, "b"),
        "b": member(S.RUNNING, "c"),
        "c": member(S.RUNNING, "d"),
        "d": member(S.STOPPING),
    }

    assert degraded_words(troubles("a", members)) == "d is down (stopping), which b needs"
    assert degraded_words(troubles("c", members)) == "d is down (stopping)"


def test_a_need_that_is_in_error_and_answers_all_the_same_is_not_called_down() -> None:
    members = {"a": member(S.RUNNING, "b"), "b": member(S.UNHEALTHY, why="says of itself: full")}

    assert degraded_words(troubles("a", members)) == "b is in error (says of itself: full)"


@pytest.mark.parametrize("sub_state", [S.PENDING, S.ADOPTING, S.RUNNING, S.IDLE, S.UPDATING])
def test_of_a_plugin_that_may_well_run_nobody_is_told_that_it_is_down(sub_state: SubState) -> None:
    members = {"a": member(S.RUNNING, "b"), "b": member(sub_state)}

    assert troubles("a", members) == ()


def test_plugins_that_need_each_other_in_a_circle_are_no_endless_story() -> None:
    members = {
        "a": member(S.WAITING, "b"),
        "b": member(S.WAITING, "a"),
        "x": member(S.RUNNING, "y"),
        "y": member(S.RUNNING, "x"),
    }

    assert roots(blockers("a", members)) == [("a", "b")]
    assert troubles("x", members) == ()


def test_every_plugin_is_looked_at_once_however_many_ways_lead_to_it() -> None:
    layers = 40
    members = {
        f"{side}{number}": member(S.RUNNING, f"l{number + 1}", f"r{number + 1}")
        for number in range(layers)
        for side in "lr"
    }
    members |= {f"{side}{layers}": member(S.STOPPED) for side in "lr"}

    assert {cause.root for cause in troubles("l0", members)} == {f"l{layers}", f"r{layers}"}
