"""Revisions: what was wanted of one plugin, one after the other, and what became of each. Pure.

A revision is made whenever something else is wanted than before. It is judged once: it was well
for long enough, or it failed, and then the plugin goes back to the last one that was well. What
failed is not tried again until something else is wanted, or somebody says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.manager.deployment import Inputs
from orchestrator.model.policy import RolloutPolicy
from orchestrator.model.status import LastWords

_NO_WORDS: Final = LastWords()
MAX_FAILED_STARTS: Final = 3
"""In a row, where there is a revision to go back to; without one, restart.py's count holds."""


class RevisionState(StrEnum):
    """What became of a revision."""

    PENDING = "pending"
    """Not begun: its rollout is paused, or the plugin is not to run."""
    PROGRESSING = "progressing"
    HEALTHY = "healthy"
    FAILED = "failed"
    SUPERSEDED = "superseded"
    """Something else was wanted before it was judged."""
    UNDONE = "undone"


class Signal(StrEnum):
    BEGIN = "begin"
    HOLD = "hold"
    SUCCEED = "succeed"
    FAIL = "fail"
    REPLACE = "replace"
    RETRY = "retry"
    UNDO = "undo"


_S, _G = RevisionState, Signal
TRANSITIONS: Final[Mapping[tuple[RevisionState, Signal], RevisionState]] = MappingProxyType(
    {
        (_S.PENDING, _G.BEGIN): _S.PROGRESSING,
        (_S.PENDING, _G.REPLACE): _S.SUPERSEDED,
        (_S.PENDING, _G.UNDO): _S.UNDONE,
        (_S.PROGRESSING, _G.HOLD): _S.PENDING,
        (_S.PROGRESSING, _G.SUCCEED): _S.HEALTHY,
        (_S.PROGRESSING, _G.FAIL): _S.FAILED,
        (_S.PROGRESSING, _G.REPLACE): _S.SUPERSEDED,
        (_S.PROGRESSING, _G.UNDO): _S.UNDONE,
        (_S.HEALTHY, _G.UNDO): _S.UNDONE,
        (_S.FAILED, _G.SUCCEED): _S.HEALTHY,  # with nothing to go back to it is tried on
        (_S.FAILED, _G.RETRY): _S.PROGRESSING,
        (_S.FAILED, _G.UNDO): _S.UNDONE,
    }
)


class RevisionNotFound(OrchestratorError):
    """No such revision of the plugin, or none that could be meant."""

    kind, code = Kind.NOT_FOUND, "revision_not_found"


class NothingToUndo(OrchestratorError):
    """The revision to go back to is the one that is wanted already."""

    kind, code = Kind.CONFLICT, "nothing_to_undo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Who made a revision, and why."""

    who: str
    why: str
    undoes: int = 0
    """The revision that is taken back by it; 0 for none."""
    undoes_of: str = ""
    """Whose: what is wanted is told for all plugins at once."""

    def about(self, plugin_id: str) -> "Note":
        """What it says of one of them."""
        return self if self.undoes_of == plugin_id else replace(self, undoes=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One thing that was wanted of a plugin."""

    number: int
    """Counts from 1; never given twice while the plugin is wanted."""
    digest: str
    """Of the container, under the policy of the time."""
    inputs: Inputs
    at: float
    """Seconds since the epoch."""
    who: str
    why: str
    state: RevisionState = RevisionState.PROGRESSING
    reason: str = ""
    """Why it failed."""
    words: LastWords = _NO_WORDS
    """What it said before that: its container, and the log with it, goes."""

    def after(self, signal: Signal, reason: str = "", words: LastWords = _NO_WORDS) -> "Revision":
        """Raises KeyError for a pair outside the table."""
        return replace(self, state=TRANSITIONS[self.state, signal], reason=reason, words=words)

    def replaced(self) -> "Revision":
        """As it is once something else is wanted: what was judged stays judged."""
        judged = (self.state, Signal.REPLACE) not in TRANSITIONS
        return self if judged else self.after(Signal.REPLACE)


_OPEN: Final = frozenset({RevisionState.PENDING, RevisionState.PROGRESSING, RevisionState.FAILED})
"""States in which more may come of a revision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """The revisions of one plugin, oldest first; the last is the one that is wanted."""

    revisions: tuple[Revision, ...]
    back_to: int = 0
    """The revision that runs instead of the wanted one, which failed; 0 if none does."""
    paused: bool = False

    @property
    def wanted(self) -> Revision:
        return self.revisions[-1]

    @property
    def effective(self) -> Revision:
        """What is to run now."""
        return self.find(self.back_to) or self.wanted

    def find(self, number: int) -> Revision | None:
        return next((r for r in self.revisions if r.number == number), None)

    def with_revision(self, revision: Revision) -> "Rollout":
        """`revision` in place of the one with its number."""
        revisions = (revision if r.number == revision.number else r for r in self.revisions)
        return replace(self, revisions=tuple(revisions))

    @property
    def is_open(self) -> bool:
        """Whether more may come of what is wanted."""
        return self.wanted.state in _OPEN and not self.back_to

    @property
    def healthy(self) -> tuple[Revision, ...]:
        """Those before the wanted one that were well, the newest first."""
        earlier = reversed(self.revisions[:-1])
        return tuple(r for r in earlier if r.state is RevisionState.HEALTHY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """How the wanted revision does, as far as its judgement needs to know."""

    running: bool = True
    """Whether the plugin is to run."""
    well_seconds: float | None = None
    """For how long all of it has been ready and well; None if it is not."""
    failures: int = 0
    """Since it was first tried."""
    gave_up: bool = False
    waits: bool = False
    """For an image, a dependency, an engine: none of this is the revision's own fault."""
    trouble: str = ""
    """What went wrong last, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    signal: Signal
    reason: str = ""


def take(
    rollout: Rollout | None, inputs: Inputs, digest: str, *, note: Note, at: float, keep: int
) -> Rollout:
    """The revisions once `inputs` are wanted. The same digest again makes no new one."""
    if rollout is None:
        first = Revision(number=1, digest=digest, inputs=inputs, at=at, who=note.who, why=note.why)
        return Rollout(revisions=(first,))
    if rollout.wanted.digest == digest and not note.undoes:
        return rollout.with_revision(replace(rollout.wanted, inputs=inputs))
    undone = rollout.find(note.undoes)
    if undone is not None:
        rollout = rollout.with_revision(undone.after(Signal.UNDO, undone.reason, undone.words))
    new = Revision(
        number=rollout.wanted.number + 1,
        digest=digest,
        inputs=inputs,
        at=at,
        who=note.who,
        why=note.why,
    )
    revisions = (*(r.replaced() for r in rollout.revisions), new)
    return trim(Rollout(revisions=revisions, paused=rollout.paused), keep)


def trim(rollout: Rollout, keep: int) -> Rollout:
    """The newest `keep`, and always the one to go back to."""
    needed = {rollout.wanted.number, rollout.back_to}
    needed |= {r.number for r in rollout.healthy[:1]}
    newest = {r.number for r in rollout.revisions[-keep:]}
    kept = tuple(r for r in rollout.revisions if r.number in needed | newest)
    return replace(rollout, revisions=kept)


def judge(
    rollout: Rollout, outlook: Outlook, *, elapsed: float, policy: RolloutPolicy
) -> Verdict | None:
    """What becomes of the wanted revision now; None while nothing does.

    `elapsed` are seconds in which it could have come up, without those in which it had to wait.
    """
    state, stands = rollout.wanted.state, rollout.paused or not outlook.running
    if rollout.back_to:
        return None
    if stands:
        held = state is RevisionState.PROGRESSING
        return Verdict(signal=Signal.HOLD) if held else None
    if state is RevisionState.PENDING:
        return Verdict(signal=Signal.BEGIN)
    if state not in {RevisionState.PROGRESSING, RevisionState.FAILED}:
        return None
    return _judged(rollout, outlook, elapsed, policy)


def _judged(
    rollout: Rollout, outlook: Outlook, elapsed: float, policy: RolloutPolicy
) -> Verdict | None:
    if outlook.well_seconds is not None and outlook.well_seconds >= policy.min_healthy_seconds:
        return Verdict(signal=Signal.SUCCEED)
    reason = _failed(outlook, elapsed, policy, alone=not rollout.healthy)
    if reason and rollout.wanted.state is RevisionState.PROGRESSING:
        return Verdict(signal=Signal.FAIL, reason=reason)
    return None


def _failed(outlook: Outlook, elapsed: float, policy: RolloutPolicy, *, alone: bool) -> str:
    """Why it counts as failed, or nothing."""
    trouble = f": {outlook.trouble}" if outlook.trouble else ""
    if outlook.gave_up:
        return f"given up after {outlook.failures} failures{trouble}"
    if outlook.failures >= MAX_FAILED_STARTS and not alone:
        return f"failed {outlook.failures} times in a row{trouble}"
    if elapsed >= policy.progress_deadline_seconds and not outlook.waits:
        return f"not well within {policy.progress_deadline_seconds} s{trouble}"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A revision to go back to, as it would be today."""

    revision: Revision
    digest: str = ""
    """Under the policy and the grants and revokes of today."""
    obstacle: str = ""
    """Why it cannot run today; empty if it can."""


def choose(candidates: Sequence[Candidate], bad_digest: str) -> tuple[Candidate | None, str]:
    """The first that can run and is something else than what failed; why the others cannot."""
    obstacles: list[str] = []
    for candidate in candidates:
        obstacle = candidate.obstacle
        if not obstacle and candidate.digest != bad_digest:
            return candidate, "; ".join(obstacles)
        obstacle = obstacle or "under today's policy it is the one that failed"
        obstacles.append(f"revision {candidate.revision.number}: {obstacle}")
    return None, "; ".join(obstacles) or "none was well before"


def fall_back(rollout: Rollout, reason: str, *, to: int, words: LastWords = _NO_WORDS) -> Rollout:
    """The wanted revision failed; `to` runs instead (0: nothing does)."""
    failed = rollout.wanted.after(Signal.FAIL, reason, words)
    return replace(rollout.with_revision(failed), back_to=to)


def retry(rollout: Rollout) -> Rollout:
    """What failed is tried again."""
    again = rollout.wanted.after(Signal.RETRY)
    return replace(rollout.with_revision(again), back_to=0)


def undo_target(plugin_id: str, rollout: Rollout, to: int | None) -> Revision:
    """Which revision `undo` goes back to. Raises RevisionNotFound, NothingToUndo."""
    known = ", ".join(str(r.number) for r in rollout.revisions[:-1]) or "none before this one"
    if to is None:
        found = next((r for r in rollout.healthy if r.digest != rollout.wanted.digest), None)
        if found is None:
            raise RevisionNotFound(
                f"{plugin_id}: found no earlier revision that was well, expected one to go back "
                f"to; kept are: {known}"
            )
        return found
    found = rollout.find(to)
    if found is None:
        raise RevisionNotFound(f"{plugin_id}: found revision {to}, expected one of {known}")
    if found.number == rollout.wanted.number:
        raise NothingToUndo(
            f"{plugin_id}: found revision {to}, which is wanted already, expected one of {known}"
        )
    return found
