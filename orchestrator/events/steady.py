"""Steady: a time of day that nobody sets, by which events grow old.

How long an event has waited is known over the daemon's end, so it is stored with a time of day.
When somebody sets the machine's clock by a day, nothing has waited a day longer: this time goes on
by the monotonic clock, and how far the machine's is ahead of it is stored beside the events.
"""

from typing import Final

from orchestrator.clock import Clock

SMALLEST_SECONDS: Final = 1.0
"""A change of less is not worth a write: clocks are slewed all the time."""


class Steady:
    """One for a daemon's life."""

    def __init__(self, clock: Clock, *, ahead: float = 0.0, latest: float = 0.0) -> None:
        """As it was left by the daemon before: `ahead`, and the `latest` time that it gave.

        What happened to the machine's clock while no daemon ran looks like waiting; it does not
        bring the time before `latest`.
        """
        self._clock = clock
        self._began = clock.monotonic()
        self._start = max(clock.now() - ahead, latest)
        self._told = ahead

    def now(self) -> float:
        return self._start + self._clock.monotonic() - self._began

    @property
    def ahead(self) -> float:
        """How many seconds the machine's time of day is ahead of this one."""
        return self._clock.now() - self.now()

    def news(self) -> float | None:
        """`ahead`, where it is another than was told last, and so has to be stored."""
        ahead = self.ahead
        if abs(ahead - self._told) < SMALLEST_SECONDS:
            return None
        self._told = ahead
        return ahead
