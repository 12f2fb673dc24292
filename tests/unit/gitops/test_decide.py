"""What is done next: exact rows, and laws that hold for any view, with an oracle in other words."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.gitops.decide import Decision, Move, View, decide, drift_key, pause_after
from orchestrator.gitops.state import Attempt, failed_again

NOW = 1_000.0
SHAS = st.sampled_from(["", "a", "b", "c"])


def attempt(of: str, *, tries: int = 1, at: float = NOW, passing: bool = True) -> Attempt:
    return Attempt(of=of, tries=tries, at=at, words="why", passing=passing)


ATTEMPTS = st.none() | st.builds(
    attempt,
    of=SHAS,
    tries=st.integers(1, 40),
    at=st.floats(NOW - 1_000, NOW + 1_000),
    passing=st.booleans(),
)
DRIFT = st.sampled_from([(), ("one",), ("one", "two")])
VIEWS = st.builds(
    View,
    suspended=st.booleans(),
    running=SHAS,
    failing=st.booleans(),
    asked=st.booleans(),
    wanted=SHAS,
    synced=SHAS,
    quarantined=st.booleans(),
    auto=st.booleans(),
    window_open=st.booleans(),
    attempt=ATTEMPTS,
    drifted=DRIFT,
    self_heal=st.booleans(),
    heal=st.none()
    | st.builds(
        attempt,
        of=st.sampled_from(["a one", "b one two", "elsewhere"]),
        tries=st.integers(1, 5),
        at=st.floats(NOW - 100, NOW + 100),
    ),
)
BASE = View(wanted="b", synced="a")


def test_a_new_revision_is_tried_at_once() -> None:
    assert decide(BASE, NOW).move is Move.SYNC
    assert decide(replace(BASE, synced=""), NOW).move is Move.SYNC


def test_what_is_synced_is_left_alone() -> None:
    assert decide(View(wanted="a", synced="a"), NOW) == Decision(move=Move.REST)


def test_nothing_known_is_nothing_to_do() -> None:
    assert decide(View(), NOW) == Decision(move=Move.REST)
    assert decide(View(asked=True), NOW) == Decision(move=Move.REST)


def test_one_attempt_is_made_where_another_could_not_go_better() -> None:
    given_up = replace(BASE, attempt=attempt("b", passing=False, at=0.0))

    assert decide(given_up, NOW * 1_000) == Decision(move=Move.REST)
    assert decide(replace(given_up, asked=True), NOW).move is Move.SYNC
    assert decide(replace(given_up, wanted="c"), NOW).move is Move.SYNC


def test_what_may_pass_is_tried_again_after_pauses_that_double() -> None:
    moments = [
        decide(replace(BASE, attempt=attempt("b", tries=tries)), NOW).until
        for tries in (1, 2, 3, 7, 30)
    ]

    assert moments == [NOW + 5, NOW + 10, NOW + 20, NOW + 300, NOW + 300]
    later = replace(BASE, attempt=attempt("b", tries=2))
    assert decide(later, NOW + 9.9).move is Move.REST
    assert decide(later, NOW + 10).move is Move.SYNC


def test_a_new_revision_waits_for_no_pause_of_another() -> None:
    assert decide(replace(BASE, attempt=attempt("a", tries=9)), NOW).move is Move.SYNC


def test_what_could_partly_not_be_done_is_tried_again_though_it_is_synced() -> None:
    partly = View(wanted="a", synced="a", attempt=attempt("a"))

    assert decide(partly, NOW) == Decision(move=Move.REST, until=NOW + 5)
    assert decide(partly, NOW + 5).move is Move.SYNC


def test_a_quarantine_a_closed_window_and_an_operators_word_hold_a_revision_back() -> None:
    for held in (
        replace(BASE, quarantined=True),
        replace(BASE, window_open=False),
        replace(BASE, auto=False),
    ):
        assert decide(held, NOW) == Decision(move=Move.REST)
        assert decide(replace(held, asked=True), NOW).move is Move.SYNC


def test_a_change_by_hand_is_set_back_whatever_became_of_the_last_sync() -> None:
    drifted = replace(BASE, drifted=("one",), quarantined=True)

    assert decide(drifted, NOW).move is Move.HEAL
    assert decide(replace(drifted, attempt=attempt("b", passing=False)), NOW).move is Move.HEAL
    assert decide(replace(drifted, window_open=False), NOW).move is Move.HEAL
    assert decide(replace(drifted, self_heal=False), NOW).move is Move.REST


def test_a_repair_that_fails_is_tried_with_pauses_of_its_own() -> None:
    drifted = View(wanted="a", synced="a", drifted=("one",), heal=attempt("a one", tries=2))

    assert decide(drifted, NOW) == Decision(move=Move.REST, until=NOW + 10)
    assert decide(replace(drifted, drifted=("one", "two")), NOW).move is Move.HEAL


def test_a_sync_under_way_is_overtaken_by_what_may_be_taken_up_by_itself_only() -> None:
    running = replace(BASE, running="a")

    assert decide(running, NOW).move is Move.SYNC
    assert decide(replace(running, failing=True), NOW).move is Move.GO_ON
    assert decide(replace(running, auto=False), NOW).move is Move.GO_ON
    assert decide(replace(running, auto=False, asked=True), NOW).move is Move.SYNC
    assert decide(replace(running, failing=True, asked=True), NOW).move is Move.GO_ON
    assert decide(replace(running, running="b"), NOW).move is Move.GO_ON


def test_a_try_of_the_future_holds_nothing_up_for_longer_than_its_pause() -> None:
    """The clock was set back by a day since."""
    day = 86_400.0
    waits = replace(BASE, attempt=attempt("b", tries=2, at=NOW + day))
    heals = View(
        wanted="a", synced="a", drifted=("one",), heal=attempt("a one", tries=2, at=NOW + day)
    )

    for view in (waits, heals):
        assert decide(view, NOW) == Decision(move=Move.REST, until=NOW + 10)


def test_tries_are_counted_for_one_thing_at_a_time() -> None:
    first = failed_again(None, "a", at=1.0, words="x", passing=True)
    second = failed_again(first, "a", at=2.0, words="y", passing=True)
    other = failed_again(second, "b", at=3.0, words="z", passing=False)

    assert (first.tries, second.tries, other.tries) == (1, 2, 1)
    assert pause_after(0, first=5.0, most=9.0) == 0.0


def oracle(view: View, now: float) -> set[Move]:
    """Which moves the rules allow, said one by one."""
    if view.suspended:
        return {Move.REST}
    pause = 0.0
    if view.attempt is not None and view.attempt.of == view.wanted:
        pause = min(300.0, 5.0 * 2 ** (view.attempt.tries - 1))
        if not view.attempt.passing:
            pause = float("inf")
    started = min(now, view.attempt.at) if view.attempt is not None and pause else now
    repeats = view.attempt is not None and view.attempt.of == view.wanted and view.attempt.passing
    by_itself = (
        bool(view.wanted)
        and (view.wanted != view.synced or repeats)
        and view.auto
        and view.window_open
        and not view.quarantined
        and now >= started + pause
    )
    if view.running:
        may = by_itself or (view.asked and bool(view.wanted))
        newer = may and view.running != view.wanted and not view.failing
        return {Move.SYNC} if newer else {Move.GO_ON}
    if (view.asked and view.wanted) or by_itself:
        return {Move.SYNC}
    may_heal = bool(view.drifted) and view.self_heal
    if may_heal and view.heal is not None and view.heal.of == drift_key(view):
        may_heal = now >= min(now, view.heal.at) + min(300.0, 5.0 * 2 ** (view.heal.tries - 1))
    return {Move.HEAL} if may_heal else {Move.REST}


@given(VIEWS)
def test_every_view_is_decided_as_the_rules_say(view: View) -> None:
    assert {decide(view, NOW).move} == oracle(view, NOW)


@given(VIEWS)
def test_a_rest_that_ends_by_itself_ends_with_a_move(view: View) -> None:
    decision = decide(view, NOW)
    if decision.until is not None:
        assert decision.move is Move.REST
        assert NOW < decision.until <= NOW + view.retry_most_seconds
        assert decide(view, decision.until).move is not Move.REST


@given(VIEWS, st.floats(0, 10_000))
def test_a_rest_without_an_end_lasts(view: View, later: float) -> None:
    decision = decide(view, NOW)
    if decision == Decision(move=Move.REST):
        assert decide(view, NOW + later) == decision


@given(VIEWS)
def test_a_quarantined_revision_is_begun_by_an_operator_alone(view: View) -> None:
    moved = decide(replace(view, quarantined=True, asked=False), NOW).move
    assert moved is not Move.SYNC
