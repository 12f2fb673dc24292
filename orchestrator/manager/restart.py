"""When a plugin that failed may start again. Pure: history and the time in, a decision out."""

from dataclasses import dataclass, replace
from typing import Final

from orchestrator.model.container import ContainerPhase, ContainerState

WINDOW_SECONDS: Final = 1_800.0
MAX_FAILURES: Final = 10
"""Within the window; one more and the plugin is given up until the next `up`."""
FIRST_DELAY_SECONDS: Final = 0.5
MAX_DELAY_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What is remembered of one plugin's failures."""

    failures: tuple[float, ...] = ()
    """When, in seconds since the epoch; only those within the window."""
    restarts: int = 0
    """Failures that were followed by a start, since the plugin was last deployed."""
    reason: str = ""
    """Why it failed last."""
    detail: str = ""
    noted: str = ""
    """The end of a run that was counted already: container and time."""


def note_failure(history: History, reason: str, *, detail: str = "", at: float) -> History:
    """`history` with one more failure; what lies before the window is dropped."""
    recent = _recent(history, now=at)
    return replace(history, failures=(*recent, at), reason=reason, detail=detail)


def note_death(history: History, container: ContainerState, *, reason: str, detail: str) -> History:
    """Count the end of a container's run, once, however often it is seen."""
    end = end_of(container)
    if container.phase is not ContainerPhase.EXITED or history.noted == end:
        return history
    noted = note_failure(history, reason, detail=detail, at=container.finished_at)
    return replace(noted, noted=end)


def end_of(container: ContainerState) -> str:
    """What tells one ended run from any other."""
    return f"{container.container_id}@{container.finished_at:.6f}"


def death_reason(container: ContainerState, *, oom_seen: bool) -> str:
    """`oom_killed` or `exit_code_N`; 137 alone is no proof of the former."""
    if container.oom_killed or oom_seen:
        return "oom_killed"
    return f"exit_code_{container.exit_code}"


def is_given_up(history: History) -> bool:
    """Whether it failed too often; `note_failure` kept what lies within one window."""
    return len(history.failures) > MAX_FAILURES


def next_start(history: History, *, now: float) -> float | None:
    """The earliest time of the next start, or None when the plugin is given up."""
    if is_given_up(history):
        return None  # waiting mends nothing
    recent = _recent(history, now=now)
    if not recent:
        return now
    delay = min(FIRST_DELAY_SECONDS * 2.0 ** (len(recent) - 1), MAX_DELAY_SECONDS)
    return max(recent) + delay


def _recent(history: History, *, now: float) -> tuple[float, ...]:
    """The failures that count now.

    Those far ahead were noted before the clock was set back: nobody knows how long ago they were,
    and to wait until the clock comes to them could take a day.
    """
    first, last = now - WINDOW_SECONDS, now + MAX_DELAY_SECONDS
    return tuple(when for when in history.failures if first < when <= last)
