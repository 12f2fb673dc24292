"""WarmPool: started, unused sandboxes of one kind, waiting for code.

It keeps itself: `tend` looks at what it has, drops what died, grew old or is no longer what policy
wants, starts what is missing, and keeps all but the next few paused. Nothing that was taken comes
back.
"""

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Final

from orchestrator.clock import Clock
from orchestrator.errors import OrchestratorError
from orchestrator.model.policy import CodePolicy
from orchestrator.sandbox.code_box import BoxMaker, CodeBox
from orchestrator.sandbox.code_spec import BoxPlan

CALM_SECONDS: Final = 0.05
"""Refilling waits so long after a sandbox was taken: on a small machine it would slow the run."""
LOOK_SECONDS: Final = 15.0
FIRST_RETRY_SECONDS: Final = 1.0
LAST_RETRY_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolState:
    """What `status` shows."""

    ready: int
    starting: int
    trouble: str
    """Why the last start failed; empty when it did not."""


class WarmPool:
    """`plan` says what a sandbox of this kind is now; it may change with the policy."""

    def __init__(
        self,
        *,
        maker: BoxMaker,
        plan: Callable[[], Awaitable[BoxPlan]],
        policy: Callable[[], CodePolicy],
        clock: Clock,
        discard: Callable[[CodeBox], None],
        spawn: Callable[[Coroutine[object, object, None]], None],
    ) -> None:
        self._maker = maker
        self._plan = plan
        self._policy = policy
        self._clock = clock
        self._discard = discard
        self._spawn = spawn
        self._ready: list[CodeBox] = []
        self._starting = 0
        self._failures = 0
        self._retry_at = 0.0
        self._trouble = ""
        self._used_at = -math.inf
        self._changed = asyncio.Event()

    @property
    def state(self) -> PoolState:
        return PoolState(ready=len(self._ready), starting=self._starting, trouble=self._trouble)

    def take(self, digest: str) -> CodeBox | None:
        """A sandbox of just this kind, the taker's own from now on; an awake one if there is."""
        self._used_at = self._clock.monotonic()
        self._changed.set()
        fitting = [box for box in self._ready if box.alive and box.plan.compiled.digest == digest]
        fitting.sort(key=lambda box: box.paused or box.lock.locked())
        if not fitting:
            return None
        self._ready.remove(fitting[0])
        return fitting[0]

    async def run(self) -> None:
        """For ever, until cancelled."""
        while True:
            self._changed.clear()
            with contextlib.suppress(OrchestratorError):
                await self.tend()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._until_look()):
                    await self._changed.wait()
            await asyncio.sleep(CALM_SECONDS)

    async def tend(self) -> None:
        """One look. Raises the engine's errors, and those of the plan."""
        policy, now = self._policy(), self._clock.monotonic()
        size = policy.pool_size if self._wanted(policy, now) else 0
        digest = (await self._plan()).compiled.digest if size else ""
        self._drop(policy, now, digest=digest, size=size)
        missing = min(size - len(self._ready), policy.parallel_starts) - self._starting
        for _ in range(missing if now >= self._retry_at else 0):
            self._starting += 1
            self._spawn(self._start())
        for number, box in enumerate(list(self._ready)):
            await self._settle(box, awake=number < policy.awake)

    # -------------------------------------------------------------------------------------------

    def _wanted(self, policy: CodePolicy, now: float) -> bool:
        """Before the first run, and long after the last, nobody pays for a pool."""
        return now - self._used_at < policy.keep_warm_minutes * 60

    def _drop(self, policy: CodePolicy, now: float, *, digest: str, size: int) -> None:
        kept: list[CodeBox] = []
        for box in self._ready:
            young = now - box.made_at < policy.replace_minutes * 60
            right = box.alive and box.plan.compiled.digest == digest
            if young and right and len(kept) < size:
                kept.append(box)
            else:
                self._discard(box)
        self._ready = kept

    async def _settle(self, box: CodeBox, *, awake: bool) -> None:
        """Paused, or awake; one that will not is of no use."""
        if box not in self._ready:
            return  # taken, while an earlier one was paused
        try:
            await (self._maker.wake if awake else self._maker.pause)(box)
        except OrchestratorError:
            if box in self._ready:
                self._ready.remove(box)
                self._discard(box)
                self._changed.set()

    async def _start(self) -> None:
        try:
            plan = await self._plan()
            box = await self._maker.make(
                plan, made_at=self._clock.monotonic(), on_change=self._changed.set
            )
        except OrchestratorError as error:
            self._failures += 1
            self._trouble = str(error)
            pause = min(FIRST_RETRY_SECONDS * 2 ** (self._failures - 1), LAST_RETRY_SECONDS)
            self._retry_at = self._clock.monotonic() + pause
        else:
            self._failures, self._trouble = 0, ""
            self._ready.append(box)
        finally:
            self._starting -= 1
            self._changed.set()

    def _until_look(self) -> float:
        if not self._trouble:
            return LOOK_SECONDS
        return min(LOOK_SECONDS, max(0.0, self._retry_at - self._clock.monotonic()))
