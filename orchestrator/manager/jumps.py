"""Jumps: somebody sets the machine's clock, and nobody's back-off grows or is forgotten for it.

Failures are kept with the time of day, since they outlive the daemon. When that time jumps, they
jump along: how long ago they were is what counts. The monotonic clock tells a jump from waiting.
"""

from dataclasses import replace
from typing import Final

from orchestrator.clock import Clock
from orchestrator.manager.fleet import Fleet
from orchestrator.manager.restart import History

SMALLEST_SECONDS: Final = 1.0
"""Less is no jump: clocks are slewed all the time, and an engine's may be a little ahead."""


class Jumps:
    """Asked once in each pass of the loop."""

    def __init__(self, fleet: Fleet, clock: Clock) -> None:
        self._fleet = fleet
        self._clock = clock
        self._ahead: float | None = None
        """How far the time of day is ahead of the monotonic clock."""

    def settle(self, now: float) -> None:
        """Let the failures jump with the clock; none lies ahead of it then."""
        ahead = now - self._clock.monotonic()
        jumped = ahead - (ahead if self._ahead is None else self._ahead)
        self._ahead = ahead
        for sandbox_id, history in list(self._fleet.histories.items()):
            settled = settle(history, now=now, jumped=jumped)
            if settled is not history:
                self._fleet.remember(sandbox_id, settled)


def settle(history: History, *, now: float, jumped: float) -> History:
    """`history` after a jump by so many seconds; itself if there was none.

    While no daemon ran the clock may have been set back unseen: then the last failure was now.
    """
    if not history.failures:
        return history
    shift = jumped if abs(jumped) >= SMALLEST_SECONDS else 0.0
    beyond = max(history.failures) + shift - now
    if beyond >= SMALLEST_SECONDS:
        shift -= beyond
    if not shift:
        return history
    return replace(history, failures=tuple(at + shift for at in history.failures))
