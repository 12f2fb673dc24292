"""NetworkMeter and TokenBucket: how much, and how often, a plugin may.

The window rolls in slots: a byte is forgotten only when the whole slot that it was counted in has
left the window. So no window of that length ever sees more than the limit, and memory is bounded.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from pydantic import JsonValue

SLOTS: Final = 60
"""Slots in a window: an hour rolls by the minute."""


class NetworkMeter:
    """Bytes in both directions. `now` tells epoch seconds, so that the state outlives the daemon.

    Shared by the brokers of one plugin: the limit is the plugin's, not a socket's.
    """

    def __init__(
        self, *, limit_bytes: int, window_seconds: float, now: Callable[[], float]
    ) -> None:
        self.limit_bytes = limit_bytes
        self.window_seconds = window_seconds
        self._slot_seconds = window_seconds / SLOTS
        self._now = now
        self._slots: deque[tuple[int, int]] = deque()
        """(slot, bytes), oldest first."""
        self._used = 0

    def take(self, count: int) -> int:
        """How many of `count` bytes may still pass; they are counted."""
        slot = self._roll()
        allowed = max(0, min(count, self.limit_bytes - self._used))
        if allowed:
            self._add(slot, allowed)
        return allowed

    def note(self, count: int) -> None:
        """Count bytes that passed elsewhere, also beyond the limit."""
        slot = self._roll()
        if count > 0:
            self._add(slot, count)

    def hold_to(self, *, limit_bytes: int, window_seconds: float) -> None:
        """Another limit or window from now on; what was counted stays counted."""
        self.limit_bytes = limit_bytes
        if window_seconds != self.window_seconds:
            state = self.state()
            self.window_seconds, self._slot_seconds = window_seconds, window_seconds / SLOTS
            self._slots.clear()
            self._used = 0
            self.restore(state)

    def used(self) -> int:
        """Bytes within the window."""
        self._roll()
        return self._used

    def left(self) -> int:
        return max(0, self.limit_bytes - self.used())

    def exhausted_until(self) -> float | None:
        """Epoch seconds from when a byte may pass again; None while one may now."""
        if self.left() > 0:
            return None
        kept = self._used
        for slot, count in self._slots:
            kept -= count
            if kept < self.limit_bytes:
                return self._leaves(slot)
        return math.inf

    def state(self) -> dict[str, JsonValue]:
        """What `restore` takes, in a daemon to come."""
        self._roll()
        return {"slots": [[slot * self._slot_seconds, count] for slot, count in self._slots]}

    def restore(self, state: Mapping[str, JsonValue]) -> None:
        """Count what an earlier daemon counted; what it cannot read it takes for nothing."""
        rows = state.get("slots")
        for row in rows if isinstance(rows, list) else ():
            match row:
                case [float() | int() as start, int() as count] if count > 0:
                    # Rounded: the division of a product need not give the whole number back.
                    self._add(round(start / self._slot_seconds), count)
                case _:
                    pass
        self._slots = deque(sorted(self._slots))
        self._roll()

    def _roll(self) -> int:
        """Forget what has left the window; the slot of now."""
        now = self._now()
        current = int(now // self._slot_seconds)
        while self._slots and self._leaves(self._slots[0][0]) <= now:
            self._used -= self._slots.popleft()[1]
        # The clock was set back: what lies ahead counts as of now, or it would stay too long.
        ahead = 0
        while self._slots and self._slots[-1][0] > current:
            ahead += self._slots.pop()[1]
        if ahead:
            self._used -= ahead
            self._add(current, ahead)
        return current

    def _add(self, slot: int, count: int) -> None:
        self._used += count
        if self._slots and self._slots[-1][0] == slot:
            count += self._slots.pop()[1]
        self._slots.append((slot, count))

    def _leaves(self, slot: int) -> float:
        """When the last byte that the slot may hold is older than the window."""
        return (slot + 1) * self._slot_seconds + self.window_seconds


class TokenBucket:
    """So many a second, and a burst at once. `now` is monotonic."""

    def __init__(self, *, per_second: float, burst: int, now: Callable[[], float]) -> None:
        self._per_second = per_second
        self._burst = float(burst)
        self._now = now
        self._tokens = self._burst
        self._at = now()

    def take(self) -> bool:
        """Whether one more may pass."""
        now = self._now()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_second)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
