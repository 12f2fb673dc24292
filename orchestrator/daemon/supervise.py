"""Supervision: a task of the daemon's that fails is told and begun anew; the others go on."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from pydantic import JsonValue

from orchestrator.events.bus import PluginEventBus
from orchestrator.model.events import EventName

FIRST_PAUSE_SECONDS: Final = 1.0
MOST_PAUSE_SECONDS: Final = 60.0
"""A task that ran for longer than this before it failed begins with the first pause again."""
_LOG = logging.getLogger("orchestrator")


async def supervised(name: str, run: Callable[[], Awaitable[None]], bus: PluginEventBus) -> None:
    """`run` for ever, until cancelled: begun anew after each failure, after growing pauses."""
    clock, pause = asyncio.get_running_loop(), FIRST_PAUSE_SECONDS
    while True:
        began = clock.time()
        try:
            await run()
        except Exception as error:  # noqa: BLE001 — whatever it is, it is told
            _LOG.exception("the daemon's task %s failed", name)
            if clock.time() - began > MOST_PAUSE_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            detail = f"{type(error).__name__}: {error}"
            data: dict[str, JsonValue] = {"task": name, "detail": detail}
            data["again_in_seconds"] = pause
            bus.publish(EventName.DAEMON_TASK_FAILED, data=data)
        else:
            return  # it had nothing more to do
        await asyncio.sleep(pause)
        pause = min(2 * pause, MOST_PAUSE_SECONDS)
