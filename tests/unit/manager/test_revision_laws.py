"""Revisions held to laws by a ledger that knows nothing of their functions."""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.manager.revisions import (
    Candidate,
    Outlook,
    RevisionState,
    Rollout,
    Signal,
    choose,
    fall_back,
    judge,
    retry,
    trim,
)
from tests.unit.manager.revision_story import POLICY, WELL, Story

HEALTHY, FAILED = RevisionState.HEALTHY, RevisionState.FAILED


@dataclass
class Ledger:
    """What should be so, kept in other words: plain lists of what happened."""

    asked: list[str] = field(default_factory=list)
    """Digests in the order in which they were wanted, without repetitions in a row."""
    good: set[int] = field(default_factory=set)
    """Places in `asked` of those that were well."""
    bad: set[int] = field(default_factory=set)
    runs: int = -1
    """The place of what is to run."""

    def want(self, digest: str) -> None:
        if not self.asked or self.asked[-1] != digest:
            self.asked.append(digest)
            self.runs = len(self.asked) - 1

    @property
    def last(self) -> int:
        return len(self.asked) - 1

    def succeed(self) -> None:
        if self.runs == self.last:
            self.good.add(self.last)
            self.bad.discard(self.last)

    def fail(self) -> None:
        if self.last in self.good | self.bad:
            return
        self.bad.add(self.last)
        others = [
            place
            for place in sorted(self.good, reverse=True)
            if self.asked[place] != self.asked[-1]
        ]
        if others:
            self.runs = others[0]

    def again(self) -> None:
        if self.last in self.bad:
            self.bad.discard(self.last)
            self.runs = self.last


def _tell(rollout: Rollout, elapsed: float, outlook: Outlook) -> Rollout:
    """As the daemon does with a verdict, every revision weighing today what it weighed then."""
    verdict = judge(rollout, outlook, elapsed=elapsed, policy=POLICY)
    if verdict is None:
        return rollout
    if verdict.signal is not Signal.FAIL:
        return rollout.with_revision(rollout.wanted.after(verdict.signal))
    candidates = [Candidate(revision=r, digest=r.digest) for r in rollout.healthy]
    found, _ = choose(candidates, rollout.wanted.digest)
    return fall_back(rollout, verdict.reason, to=found.revision.number if found else 0)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("want"), st.sampled_from("abcd")),
        st.tuples(st.sampled_from(["succeed", "late", "again", "nothing"]), st.just("")),
    ),
    max_size=40,
)


@given(steps=STEPS)
def test_whatever_happens_what_runs_is_wanted_or_the_last_that_was_well(
    make: Any, steps: list[tuple[str, str]]
) -> None:
    ledger, story = Ledger(), Story(make.inputs())
    for what, digest in [("want", "a"), *steps]:
        match what:
            case "want":
                ledger.want(digest)
                story.up(digest, keep=100)
            case "succeed":
                ledger.succeed()
                story.rollout = _tell(story.now, 1.0, WELL)
            case "late":
                ledger.fail()
                story.rollout = _tell(story.now, 120.0, Outlook())
            case "again":
                ledger.again()
                if story.now.wanted.state is FAILED:
                    story.rollout = retry(story.now)
            case _:
                story.rollout = _tell(story.now, 1.0, Outlook())

        numbers = [r.number for r in story.now.revisions]
        assert numbers == [*range(1, len(ledger.asked) + 1)]
        assert [r.digest for r in story.now.revisions] == ledger.asked
        assert story.now.effective.number == ledger.runs + 1
        assert {r.number - 1 for r in story.now.revisions if r.state is HEALTHY} == ledger.good
        assert {r.number - 1 for r in story.now.revisions if r.state is FAILED} == ledger.bad


@given(steps=STEPS, keep=st.integers(1, 4))
def test_what_is_needed_is_kept_whatever_the_bound(
    make: Any, steps: list[tuple[str, str]], keep: int
) -> None:
    story = Story(make.inputs()).up("a")
    for what, digest in steps:
        if what == "want":
            story.up(digest, keep=keep)
        elif what == "succeed":
            story.rollout = _tell(story.now, 1.0, WELL)
        elif what == "late":
            story.rollout = _tell(story.now, 120.0, Outlook())
        kept = trim(story.now, keep)

        assert len(kept.revisions) <= keep + 2
        assert kept.effective == story.now.effective
        assert kept.wanted == story.now.wanted
        assert kept.healthy[:1] == story.now.healthy[:1]
