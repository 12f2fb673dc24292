"""Time as an argument: what decides takes a Clock or a `now`, never the machine's own time."""

import time
from typing import Protocol


class Clock(Protocol):
    """Two readings of time, both in seconds."""

    def now(self) -> float:
        """Seconds since the epoch: for what is shown or stored."""

    def monotonic(self) -> float:
        """Seconds since some start that never jumps: for deadlines and back-off."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()
