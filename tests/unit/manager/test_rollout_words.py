"""What `plan` tells of rollouts: how a change takes over, and what would not be tried again."""

from typing import Any

import pytest

from orchestrator.manager.revisions import Note, Rollout, Signal, fall_back, take
from orchestrator.manager.rollout_words import quarantined, strategy
from orchestrator.model.policy import RolloutPolicy

POLICY = RolloutPolicy(min_healthy_seconds=2.0)
NOTE = Note(who="ada", why="up")


@pytest.mark.parametrize(
    ("permission", "words"),
    [
        (None, "started beside what runs; takes over when it was well for 2 s"),
        ("external_api", "started beside what runs; takes over when it was well for 2 s"),
        ("file_system_write", "what runs is stopped first: its /data is no other container's"),
        ("network_access", "what runs is stopped first: its network is no other container's"),
    ],
)
def test_a_change_says_how_it_takes_over_and_why(
    make: Any, permission: str | None, words: str
) -> None:
    asked: list[Any] = [permission] if permission else []
    if permission == "external_api":
        asked = [{"external_api": {"hosts": ["a.example:443"]}}]

    assert strategy(make.deployment(*asked), POLICY).startswith(words)


def _failed(make: Any, digest: str) -> Rollout:
    good = take(None, make.inputs(), "good", note=NOTE, at=0.0, keep=5)
    good = good.with_revision(good.wanted.after(Signal.SUCCEED))
    bad = take(good, make.inputs(), digest, note=NOTE, at=0.0, keep=5)
    return fall_back(bad, "failed 3 times in a row", to=1)


def test_what_failed_and_is_wanted_unchanged_would_not_be_tried_again(make: Any) -> None:
    deployment = make.deployment()
    digest = deployment.compiled.digest

    assert quarantined({"notes": _failed(make, digest)}, {"notes": deployment}) == {
        "notes": "ROLLED BACK to revision 1: revision 2 failed 3 times in a row"
    }
    assert quarantined({"notes": _failed(make, "another")}, {"notes": deployment}) == {}
    assert quarantined({"notes": _failed(make, digest)}, {}) == {}
