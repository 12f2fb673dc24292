"""Hints: the engine's events, followed without a gap; what they are about is looked at.

Everything is listed anew each time the engine has begun to tell, so nothing that happened while
nobody listened is missed, whatever the engine remembers of it.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from orchestrator.engine.base import Engine, EngineEvent, EngineFailure, EngineUnavailable
from orchestrator.manager.observe import Observer

ENGINE_RETRY_SECONDS: Final = 1.0
_REMEMBERED: Final = 64
"""Events told last: the engine replays those of the checkpoint's moment, and they are old news."""


async def hear(
    engine: Engine, observer: Observer, wake: Callable[[], None], *, since: float
) -> None:
    """For ever, until cancelled; `since` is a moment before anything was listed."""
    checkpoint = since
    told: deque[EngineEvent] = deque(maxlen=_REMEMBERED)

    def look_at_everything() -> None:
        observer.doubt_all()
        wake()

    while True:
        known, begun = frozenset(told), checkpoint
        try:
            async for event in engine.events(
                observer.labels, since=checkpoint, opened=look_at_everything
            ):
                checkpoint = max(checkpoint, event.at)
                if event.at <= begun and event in known:
                    continue
                told.append(event)
                observer.hear(event)
                wake()
        except (EngineUnavailable, EngineFailure):
            pass
        look_at_everything()
        await asyncio.sleep(ENGINE_RETRY_SECONDS)
