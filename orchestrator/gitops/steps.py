"""The next step of a sync under way. Pure.

Hooks before, then wave after wave, each once the one before is well, then what is gone, then hooks
after. The first that fails ends it: what the run changed goes back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.gitops.state import Run


class Step(StrEnum):
    CALL_PRE = "call_pre"
    SUBMIT = "submit"
    WAIT = "wait"
    NEXT_WAVE = "next_wave"
    PRUNE = "prune"
    CALL_POST = "call_post"
    FAIL = "fail"
    REVERT = "revert"
    FINISH = "finish"


class Health(StrEnum):
    """Of a plugin that this run changed."""

    GOOD = "good"
    WAITING = "waiting"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    health: Health
    words: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    step: Step
    words: str = ""
    """Why it fails, or what is waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What a run goes through."""

    waves: Sequence[Sequence[str]]
    pre_sync: int = 0
    post_sync: int = 0
    wave_deadline_seconds: float = 1_800.0


def next_step(run: Run, course: Course, conditions: Mapping[str, Condition], now: float) -> Next:
    """`conditions` are those of the plugins that the run changed; `now` is monotonic."""
    in_wave = run.wave < len(course.waves)
    failed = _words(conditions, Health.FAILED)
    rows = (
        (bool(run.failure), Next(step=Step.REVERT, words=run.failure)),
        (run.pre_done < course.pre_sync, Next(step=Step.CALL_PRE)),
        (in_wave and not run.submitted, Next(step=Step.SUBMIT)),
        (bool(failed), Next(step=Step.FAIL, words=failed)),
        (in_wave, _in_wave(run, course, conditions, now)),
        (not run.pruned, Next(step=Step.PRUNE)),
        (run.post_done < course.post_sync, Next(step=Step.CALL_POST)),
    )
    return next((row for fits, row in rows if fits), Next(step=Step.FINISH))


def _in_wave(run: Run, course: Course, conditions: Mapping[str, Condition], now: float) -> Next:
    waiting = _words(conditions, Health.WAITING)
    if not waiting:
        return Next(step=Step.NEXT_WAVE)
    if now - run.since >= course.wave_deadline_seconds:
        limit = f"{course.wave_deadline_seconds:g} s"
        return Next(step=Step.FAIL, words=f"wave not well within {limit}: {waiting}")
    return Next(step=Step.WAIT, words=waiting)


def _words(conditions: Mapping[str, Condition], health: Health) -> str:
    fitting = {name: one for name, one in sorted(conditions.items()) if one.health is health}
    return "; ".join(f"{name}: {one.words or one.health}" for name, one in fitting.items())
