"""The steps of a sync: in their order, each wave behind the health of the one before."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.gitops.repository import Commit
from orchestrator.gitops.state import Run
from orchestrator.gitops.steps import Condition, Course, Health, Step, next_step

COMMIT = Commit(sha="a" * 40, author="", at=0.0, subject="")
RUN = Run(commit=COMMIT, who="w", why="", began_at=0.0)
COURSE = Course(waves=(("a", "b"), ("c",)), pre_sync=1, post_sync=1, wave_deadline_seconds=60.0)
GOOD = Condition(health=Health.GOOD)
WAITING = Condition(health=Health.WAITING, words="comes up")
FAILED = Condition(health=Health.FAILED, words="it ended")


def advance(run: Run, step: Step) -> Run:
    """What the runner writes down after each step."""
    changes: dict[Step, dict[str, Any]] = {
        Step.CALL_PRE: {"pre_done": run.pre_done + 1},
        Step.SUBMIT: {"submitted": True},
        Step.NEXT_WAVE: {"wave": run.wave + 1, "submitted": False},
        Step.PRUNE: {"pruned": True},
        Step.CALL_POST: {"post_done": run.post_done + 1},
        Step.FAIL: {"failure": "failed"},
    }
    return replace(run, **changes[step])


def path(course: Course, conditions: Mapping[str, Condition]) -> list[Step]:
    run, steps = RUN, []
    while True:
        step = next_step(run, course, conditions, 0.0).step
        steps.append(step)
        if step in {Step.FINISH, Step.REVERT, Step.WAIT}:
            return steps
        run = advance(run, step)


def test_all_goes_in_order_when_all_is_well() -> None:
    assert path(COURSE, {"a": GOOD, "c": GOOD}) == [
        Step.CALL_PRE,
        Step.SUBMIT,
        Step.NEXT_WAVE,
        Step.SUBMIT,
        Step.NEXT_WAVE,
        Step.PRUNE,
        Step.CALL_POST,
        Step.FINISH,
    ]


def test_a_commit_that_changes_nothing_ends_soon() -> None:
    assert path(Course(waves=()), {}) == [Step.PRUNE, Step.FINISH]


def test_a_wave_waits_for_the_one_before() -> None:
    assert path(COURSE, {"a": GOOD, "b": WAITING}) == [Step.CALL_PRE, Step.SUBMIT, Step.WAIT]


def test_a_plugin_that_fails_ends_it_and_all_goes_back() -> None:
    steps = path(COURSE, {"a": FAILED, "b": WAITING})

    assert steps == [Step.CALL_PRE, Step.SUBMIT, Step.FAIL, Step.REVERT]
    submitted = replace(RUN, pre_done=1, submitted=True)
    assert next_step(submitted, COURSE, {"a": FAILED}, 0.0).words == "a: it ended"


def test_a_wave_that_is_never_well_fails_at_its_deadline() -> None:
    run = replace(RUN, pre_done=1, submitted=True, since=100.0)

    assert next_step(run, COURSE, {"a": WAITING}, 159.9).step is Step.WAIT
    late = next_step(run, COURSE, {"a": WAITING}, 160.0)
    assert (late.step, late.words) == (Step.FAIL, "wave not well within 60 s: a: comes up")


CONDITIONS = st.dictionaries(
    st.sampled_from(["a", "b", "c"]), st.sampled_from([GOOD, WAITING, FAILED])
)
COURSES = st.builds(
    Course,
    waves=st.lists(st.just(("a",)), max_size=4),
    pre_sync=st.integers(0, 3),
    post_sync=st.integers(0, 3),
)


@given(COURSES, CONDITIONS)
def test_every_course_ends_and_submits_each_wave_at_most_once(
    course: Course, conditions: Mapping[str, Condition]
) -> None:
    steps = path(course, conditions)

    assert steps.count(Step.SUBMIT) <= len(course.waves)
    assert steps.count(Step.CALL_PRE) == course.pre_sync
    if steps[-1] is Step.FINISH:
        assert steps.count(Step.SUBMIT) == len(course.waves)
        assert steps.count(Step.CALL_POST) == course.post_sync
        assert Step.FAIL not in steps


@given(COURSES, CONDITIONS)
def test_nothing_is_removed_before_all_waves_are_well(
    course: Course, conditions: Mapping[str, Condition]
) -> None:
    steps = path(course, conditions)
    if Step.PRUNE in steps:
        assert steps[: steps.index(Step.PRUNE)].count(Step.NEXT_WAVE) == len(course.waves)
        assert not any(one.health is Health.FAILED for one in conditions.values())
