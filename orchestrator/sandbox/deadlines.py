"""DeadlineWheel: many deadlines on one coarse timer.

A timer of the loop for each call would be a third of the call's own cost; a wheel with a tick of
20 ms costs a set insertion, and no deadline of ours needs to be finer.
"""

import asyncio
from collections.abc import Callable
from typing import Final

TICK_SECONDS: Final = 0.02


class Deadline:
    """One entry; `cancel` may come at any time and more than once."""

    __slots__ = ("_slot", "act")

    def __init__(self, act: Callable[[], None], slot: "set[Deadline]") -> None:
        self.act = act
        self._slot = slot

    def cancel(self) -> None:
        self._slot.discard(self)


class DeadlineWheel:
    """Calls back at most two ticks late, never early. Runs no timer while it is empty."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slots: dict[int, set[Deadline]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def now(self) -> float:
        """The loop's clock, in seconds; it never jumps."""
        return self._loop.time()

    def after(self, seconds: float, act: Callable[[], None]) -> Deadline:
        """Call `act` once, `seconds` from now, unless it is cancelled."""
        tick = int((self._loop.time() + seconds) / TICK_SECONDS) + 1
        slot = self._slots.get(tick)
        if slot is None:
            slot = self._slots[tick] = set()
        deadline = Deadline(act, slot)
        slot.add(deadline)
        if self._timer is None:
            self._arm()
        return deadline

    def close(self) -> None:
        """Forget every deadline."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._slots.clear()

    def _arm(self) -> None:
        self._timer = self._loop.call_later(TICK_SECONDS, self._turn)

    def _turn(self) -> None:
        now = int(self._loop.time() / TICK_SECONDS)
        for tick in sorted(tick for tick, slot in self._slots.items() if tick <= now or not slot):
            slot = self._slots.pop(tick)
            while slot:
                self._meet(slot.pop())
        if self._slots:
            self._arm()
        else:
            self._timer = None

    def _meet(self, deadline: Deadline) -> None:
        try:
            deadline.act()
        except Exception as error:  # noqa: BLE001 - one failure must not stop every other deadline
            self._loop.call_exception_handler(
                {"message": "the action of a deadline failed", "exception": error}
            )
