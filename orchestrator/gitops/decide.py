"""What to do next about the repository: go on, take a revision up, heal, or rest. Pure.

The rules, the first that fits:

1. Suspended: nothing.
2. A sync under way goes on, unless another revision is wanted by now that may be taken up by
   itself, or that an operator asked for; one that goes back is not stopped.
3. An operator asked for one: it begins, whatever else holds.
4. A revision that is not synced is tried once. It is tried again only if what stood in the way may
   pass by itself, after a pause that doubles; another revision begins without a pause. Not one that
   is quarantined, not without `auto`, not outside of the windows.
5. What somebody changed by hand is set back, though the last sync failed; with pauses of its own.
"""

from dataclasses import dataclass
from enum import StrEnum

from orchestrator.gitops.state import Attempt


class Move(StrEnum):
    REST = "rest"
    GO_ON = "go_on"
    SYNC = "sync"
    HEAL = "heal"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """All that the decision needs to know."""

    suspended: bool = False
    running: str = ""
    """The commit of the sync under way; empty without one."""
    failing: bool = False
    """Whether it goes back already."""
    asked: bool = False
    wanted: str = ""
    """The commit that is to be; empty while none is known."""
    synced: str = ""
    quarantined: bool = False
    """Whether `wanted` is."""
    auto: bool = True
    window_open: bool = True
    attempt: Attempt | None = None
    drifted: tuple[str, ...] = ()
    self_heal: bool = True
    heal: Attempt | None = None
    retry_seconds: float = 5.0
    retry_most_seconds: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    move: Move
    until: float | None = None
    """When resting: the moment at which something else may be decided though nothing happened."""


def pause_after(tries: int, *, first: float, most: float) -> float:
    """Seconds to wait after that many failures."""
    return float(min(most, first * 2.0 ** min(tries - 1, 30))) if tries > 0 else 0.0


def drift_key(view: View) -> str:
    """What a repair is a try of: other plugins, or another revision, begin anew."""
    return " ".join((view.synced, *view.drifted))


def decide(view: View, now: float) -> Decision:
    """See the module."""
    if view.suspended:
        return Decision(move=Move.REST)
    sync_at = _sync_at(view, now)
    if view.running:
        overtaken = view.wanted not in {"", view.running} and not view.failing
        newer = overtaken and (view.asked or (sync_at is not None and now >= sync_at))
        return Decision(move=Move.SYNC if newer else Move.GO_ON)
    if view.asked and view.wanted:
        return Decision(move=Move.SYNC)
    if sync_at is not None and now >= sync_at:
        return Decision(move=Move.SYNC)
    heal_at = _heal_at(view, now)
    if heal_at is not None and now >= heal_at:
        return Decision(move=Move.HEAL)
    times = [at for at in (sync_at, heal_at) if at is not None]
    return Decision(move=Move.REST, until=min(times, default=None))


def _sync_at(view: View, now: float) -> float | None:
    """When `wanted` may be tried; None if not by itself."""
    if view.wanted in {"", view.synced} and not _unfinished(view):
        return None
    if not view.wanted or view.quarantined or not view.auto or not view.window_open:
        return None
    return _due(view.attempt, view.wanted, view, now)


def _unfinished(view: View) -> bool:
    """Synced but for what may pass by itself."""
    return view.attempt is not None and view.attempt.of == view.wanted and view.attempt.passing


def _heal_at(view: View, now: float) -> float | None:
    if not view.drifted or not view.self_heal:
        return None
    return _due(view.heal, drift_key(view), view, now)


def _due(attempt: Attempt | None, of: str, view: View, now: float) -> float | None:
    """A try of the future was one before the clock was set back: its pause begins now."""
    if attempt is None or attempt.of != of:
        return 0.0
    if not attempt.passing:
        return None
    return min(attempt.at, now) + pause_after(
        attempt.tries, first=view.retry_seconds, most=view.retry_most_seconds
    )
