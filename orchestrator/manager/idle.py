"""How far a plugin that nobody calls is put to sleep. Pure.

First it is paused: it keeps its memory and wakes within tens of milliseconds. Later it is stopped,
and costs nothing; then waking it up is a start.
"""

from orchestrator.manager.actions import Sleep


def sleep_of(
    idle_seconds: float, *, idle_timeout: float | None, stop_after_seconds: float
) -> tuple[Sleep, float | None]:
    """How far, and in how many seconds it will be put to sleep further (None: never)."""
    if idle_timeout is None:
        return Sleep.AWAKE, None
    if idle_seconds < idle_timeout:
        return Sleep.AWAKE, idle_timeout - idle_seconds
    stop_at = idle_timeout + stop_after_seconds
    if idle_seconds < stop_at:
        return Sleep.PAUSED, stop_at - idle_seconds
    return Sleep.STOPPED, None
