"""Story: the revisions of one plugin in few words."""

from typing import Any

from orchestrator.manager.revisions import Note, Outlook, Rollout, Signal, fall_back, judge, take
from orchestrator.model.policy import RolloutPolicy

POLICY = RolloutPolicy(min_healthy_seconds=2.0, progress_deadline_seconds=120)
WELL = Outlook(well_seconds=2.0)


class Story:
    """One plugin's revisions; digests are words, and `inputs` are of no interest here."""

    def __init__(self, inputs: Any) -> None:
        self.inputs = inputs
        self.rollout: Rollout | None = None

    def up(self, digest: str, *, keep: int = 5, **note: Any) -> "Story":
        self.rollout = take(
            self.rollout,
            self.inputs,
            digest,
            note=Note(**{"who": "ada", "why": "up", **note}),
            at=1.0,
            keep=keep,
        )
        return self

    def ends(self, signal: Signal) -> "Story":
        wanted = self.now.wanted.after(signal)
        self.rollout = self.now.with_revision(wanted)
        return self

    def well(self) -> "Story":
        return self.ends(Signal.SUCCEED)

    def fails(self, to: int = 0) -> "Story":
        self.rollout = fall_back(self.now, "it broke", to=to)
        return self

    @property
    def now(self) -> Rollout:
        assert self.rollout is not None
        return self.rollout

    @property
    def told(self) -> list[tuple[int, str, str]]:
        return [(r.number, r.digest, r.state) for r in self.now.revisions]

    def judged(self, outlook: Outlook, elapsed: float = 0.0) -> tuple[Signal, str] | None:
        verdict = judge(self.now, outlook, elapsed=elapsed, policy=POLICY)
        return (verdict.signal, verdict.reason) if verdict is not None else None
