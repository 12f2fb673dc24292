"""Looks: facts that cannot be asked for at the moment of a scrape, looked at from time to time.

Dead letters are on disk, the host's memory is the engine's to tell, an audit chain takes as long to
verify as it is long, and how late the loop is can only be seen by waiting.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Final

from orchestrator.engine.base import EngineInfo, Probe
from orchestrator.errors import OrchestratorError
from orchestrator.events.desk import EventDesk
from orchestrator.store.audit_log import AuditLog

LOOK_SECONDS: Final = 10.0
AUDIT_SECONDS: Final = 3_600.0
FIRST_AUDIT_SECONDS: Final = 30.0
"""After the start: it may have much else to do then."""
LAG_SECONDS: Final = 0.5
ASK_SECONDS: Final = 5.0


class Looks:
    """`run` keeps them fresh; until its first turn nothing is known."""

    def __init__(self, *, events: EventDesk, probe: Probe, audit: AuditLog) -> None:
        self.dead_letters: Mapping[str, int] = {}
        """By subscriber."""
        self.engine: EngineInfo | None = None
        self.audit_intact: bool | None = None
        """None until it was verified for the first time."""
        self.loop_lag = 0.0
        """By how many seconds the event loop was late at most, of late."""
        self._events = events
        self._probe = probe
        self._audit = audit

    async def run(self) -> None:
        """For ever, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look_again_and_again())
            group.create_task(self._verify_again_and_again())
            group.create_task(self._feel_the_loop())

    async def look(self) -> None:
        """Once."""
        with contextlib.suppress(OrchestratorError, TimeoutError):
            async with asyncio.timeout(ASK_SECONDS):
                self.dead_letters = await self._events.dead_counts()
        with contextlib.suppress(OrchestratorError, TimeoutError):
            async with asyncio.timeout(ASK_SECONDS):
                self.engine = await self._probe.info()

    async def _look_again_and_again(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def _verify_again_and_again(self) -> None:
        await asyncio.sleep(FIRST_AUDIT_SECONDS)
        while True:
            with contextlib.suppress(OSError):  # its own trouble is told by the log itself
                self.audit_intact = (await asyncio.to_thread(self._audit.verify)).intact
            await asyncio.sleep(AUDIT_SECONDS)

    async def _feel_the_loop(self) -> None:
        """The largest delay of the last ten seconds or so: a scrape must not miss what passed."""
        clock = asyncio.get_running_loop()
        recent = [0.0] * int(LOOK_SECONDS / LAG_SECONDS)
        while True:
            due = clock.time() + LAG_SECONDS
            await asyncio.sleep(LAG_SECONDS)
            recent = [*recent[1:], max(0.0, clock.time() - due)]
            self.loop_lag = max(recent)
