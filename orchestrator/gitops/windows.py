"""Sync windows: whether a new revision may be taken up now. Pure.

A window that denies is stronger than one that allows; where some allow, nothing is allowed outside
of them. Each window is one stretch of time a day, and begins on one of its days.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from orchestrator.model.git import Day, SyncWindow, WindowKind, zone

_DAYS = tuple(Day)


def is_open(windows: Sequence[SyncWindow], now: float) -> bool:
    """Whether new revisions are taken up at that moment."""
    within = [window for window in windows if holds(window, now)]
    if any(window.kind is WindowKind.DENY for window in within):
        return False
    allowing = [window for window in windows if window.kind is WindowKind.ALLOW]
    return not allowing or any(window.kind is WindowKind.ALLOW for window in within)


def holds(window: SyncWindow, now: float) -> bool:
    """Whether the moment lies in the window: its start belongs to it, its end does not."""
    at = datetime.fromtimestamp(now, tz=zone(window.timezone))
    minute = f"{at.hour:02}:{at.minute:02}"
    today, yesterday = at.date(), at.date() - timedelta(days=1)
    if window.start < window.end:
        return _on(window, today.weekday()) and window.start <= minute < window.end
    begun = _on(window, today.weekday()) and minute >= window.start
    goes_on = _on(window, yesterday.weekday()) and minute < window.end
    return begun or goes_on


def _on(window: SyncWindow, weekday: int) -> bool:
    return _DAYS[weekday] in window.days
