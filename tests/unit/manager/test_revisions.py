"""Revisions: which are made, what becomes of them, and which one is gone back to."""

import re
from typing import Any

import pytest

from orchestrator.manager.revisions import (
    MAX_FAILED_STARTS,
    TRANSITIONS,
    Candidate,
    Note,
    NothingToUndo,
    Outlook,
    Revision,
    RevisionNotFound,
    RevisionState,
    Rollout,
    Signal,
    choose,
    retry,
    take,
    undo_target,
)
from tests.unit.manager.revision_story import WELL, Story
from tests.unit.pages import section, table

NOTE = Note(who="ada", why="up manifests")
HEALTHY, FAILED = RevisionState.HEALTHY, RevisionState.FAILED


@pytest.fixture
def story(make: Any) -> Story:
    return Story(make.inputs())


# -- which revisions there are ----------------------------------------------------------------


def test_the_same_again_is_no_new_revision(story: Story) -> None:
    story.up("a").well().up("a")

    assert story.told == [(1, "a", "healthy")]


def test_something_else_is_a_new_revision_and_what_was_judged_stays_judged(story: Story) -> None:
    story.up("a").well().up("b").up("c").fails(to=1).up("d")

    assert story.told == [
        (1, "a", "healthy"),
        (2, "b", "superseded"),
        (3, "c", "failed"),
        (4, "d", "progressing"),
    ]
    assert story.now.back_to == 0


def test_what_failed_stays_away_until_something_else_is_wanted(story: Story) -> None:
    story.up("a").well().up("b").fails(to=1).up("b")
    quarantined = (story.now.back_to, story.now.effective.digest)
    story.up("a").up("b")

    assert quarantined == (1, "a")
    assert story.told[-1] == (4, "b", "progressing")
    assert story.now.effective.digest == "b"


def test_only_so_many_are_kept_and_always_the_one_to_go_back_to(story: Story) -> None:
    story.up("good").well()
    for number in range(10):
        story.up(f"bad-{number}", keep=3).fails(to=1)

    assert [r.number for r in story.now.revisions] == [1, 9, 10, 11]
    assert story.now.effective.number == 1


def test_numbers_are_never_given_twice(story: Story) -> None:
    for number in range(10):
        story.up(f"{number}", keep=1)

    assert story.now.wanted.number == 10


def test_an_undone_revision_is_no_one_to_go_back_to(story: Story) -> None:
    story.up("a").well().up("b").well().up("a", undoes=2)

    assert story.told == [(1, "a", "healthy"), (2, "b", "undone"), (3, "a", "progressing")]
    assert [r.number for r in story.now.healthy] == [1]


def test_a_note_tells_who_and_why(make: Any) -> None:
    rollout = take(None, make.inputs(), "a", note=NOTE, at=5.0, keep=5)

    assert (rollout.wanted.who, rollout.wanted.why, rollout.wanted.at) == (
        "ada",
        "up manifests",
        5.0,
    )


# -- what becomes of one ----------------------------------------------------------------------


@pytest.mark.parametrize("state", RevisionState)
@pytest.mark.parametrize("signal", Signal)
def test_no_pair_outside_the_table_changes_a_revision(
    make: Any, state: RevisionState, signal: Signal
) -> None:
    revision = Revision(
        number=1, digest="a", inputs=make.inputs(), at=0.0, who="", why="", state=state
    )

    if (state, signal) in TRANSITIONS:
        assert revision.after(signal).state is TRANSITIONS[state, signal]
    else:
        with pytest.raises(KeyError):
            revision.after(signal)


def test_the_pages_table_and_diagram_are_those_of_the_code() -> None:
    listed = [row[0] for row in table("docs/rollouts.md", "Revisions", first="state")]
    arrows = re.findall(
        r"^    (\w+) --> (\w+): (\w+)$", section("docs/rollouts.md", "Revisions"), re.MULTILINE
    )

    assert listed == list(RevisionState)
    assert sorted(arrows) == sorted(
        (before, after, signal) for (before, signal), after in TRANSITIONS.items()
    )


def test_superseded_and_undone_revisions_stay_what_they_are() -> None:
    ended = {RevisionState.SUPERSEDED, RevisionState.UNDONE}

    assert {state for state, _ in TRANSITIONS} & ended == set()


@pytest.mark.parametrize(
    ("outlook", "elapsed", "verdict"),
    [
        (Outlook(well_seconds=1.9), 5.0, None),
        (Outlook(well_seconds=2.0), 500.0, (Signal.SUCCEED, "")),
        (Outlook(), 119.9, None),
        (Outlook(), 120.0, (Signal.FAIL, "not well within 120 s")),
        (
            Outlook(trouble="start_deadline: it did not dial"),
            120.0,
            (Signal.FAIL, "not well within 120 s: start_deadline: it did not dial"),
        ),
        (Outlook(waits=True), 500.0, None),
        (Outlook(failures=MAX_FAILED_STARTS - 1), 5.0, None),
        (
            Outlook(failures=MAX_FAILED_STARTS, trouble="exit_code_3: it ended"),
            5.0,
            (Signal.FAIL, "failed 3 times in a row: exit_code_3: it ended"),
        ),
        (
            Outlook(failures=11, gave_up=True),
            5.0,
            (Signal.FAIL, "given up after 11 failures"),
        ),
        (Outlook(running=False), 500.0, (Signal.HOLD, "")),
    ],
)
def test_an_update_is_judged_by_how_it_does(
    story: Story, outlook: Outlook, elapsed: float, verdict: tuple[Signal, str] | None
) -> None:
    story.up("a").well().up("b")

    assert story.judged(outlook, elapsed) == verdict


def test_a_first_revision_is_tried_on_as_there_is_nothing_to_go_back_to(story: Story) -> None:
    story.up("a")

    assert story.judged(Outlook(failures=MAX_FAILED_STARTS)) is None
    assert story.judged(Outlook(failures=11, gave_up=True)) == (
        Signal.FAIL,
        "given up after 11 failures",
    )


def test_what_failed_with_nothing_to_go_back_to_may_come_up_after_all(story: Story) -> None:
    story.up("a").fails()

    assert story.judged(Outlook(), 500.0) is None
    assert story.judged(WELL) == (Signal.SUCCEED, "")


def test_what_failed_and_was_gone_back_from_is_not_judged_again(story: Story) -> None:
    story.up("a").well().up("b").fails(to=1)

    assert story.judged(WELL) is None


@pytest.mark.parametrize("outlook", [WELL, Outlook(failures=9), Outlook(gave_up=True)])
def test_a_paused_rollout_is_not_judged(story: Story, outlook: Outlook) -> None:
    story.up("a").well().up("b").ends(Signal.HOLD)
    story.rollout = Rollout(revisions=story.now.revisions, paused=True)
    paused = story.judged(outlook, 500.0)
    story.rollout = Rollout(revisions=story.now.revisions)

    assert paused is None
    assert story.judged(outlook) == (Signal.BEGIN, "")


def test_a_healthy_revision_is_not_judged_again(story: Story) -> None:
    story.up("a").well().up("b").well()

    assert story.judged(Outlook(failures=9, gave_up=True), 500.0) is None


# -- the way back -----------------------------------------------------------------------------


def _candidate(story: Story, number: int, digest: str = "", obstacle: str = "") -> Candidate:
    revision = story.now.find(number)
    assert revision is not None
    return Candidate(revision=revision, digest=digest, obstacle=obstacle)


def test_the_way_back_leads_to_the_newest_that_was_well_and_can_run_today(story: Story) -> None:
    story.up("a").well().up("b").well().up("c").well().up("d")
    found, why = choose(
        [
            _candidate(story, 3, "d"),
            _candidate(story, 2, obstacle="its image is gone"),
            _candidate(story, 1, "a"),
        ],
        "d",
    )

    assert [r.number for r in story.now.healthy] == [3, 2, 1]
    assert found is not None
    assert found.revision.number == 1
    assert why == (
        "revision 3: under today's policy it is the one that failed; revision 2: its image is gone"
    )


def test_where_nothing_was_well_there_is_no_way_back() -> None:
    assert choose([], "a") == (None, "none was well before")


def test_a_retry_wants_what_failed_in_effect_again(story: Story) -> None:
    story.up("a").well().up("b").fails(to=1)
    again = retry(story.now)

    assert (again.back_to, again.effective.digest) == (0, "b")
    assert again.wanted.state is RevisionState.PROGRESSING
    assert again.wanted.reason == ""


@pytest.mark.parametrize(("to", "found"), [(None, 1), (1, 1), (2, 2)])
def test_undo_goes_back_to_the_last_that_was_well_or_to_the_one_named(
    story: Story, to: int | None, found: int
) -> None:
    story.up("a").well().up("b").up("c").well()

    assert undo_target("notes", story.now, to).number == found


@pytest.mark.parametrize(
    ("to", "error", "words"),
    [
        (9, RevisionNotFound, "found revision 9, expected one of 1, 2"),
        (3, NothingToUndo, "found revision 3, which is wanted already"),
        (None, RevisionNotFound, "no earlier revision that was well"),
    ],
)
def test_undo_of_what_cannot_be_undone_is_refused(
    story: Story, to: int | None, error: type[Exception], words: str
) -> None:
    story.up("a").up("b").up("c").well()

    with pytest.raises(error, match=words):
        undo_target("notes", story.now, to)
