"""PluginEventBus: what happens, told at once to listeners in the daemon and kept for subscribers.

Listeners and the latest of each source are in memory. What plugins and operators publish, and what
plugins subscribed to, is durable (queues.py): accepted means on disk.
"""

import asyncio
import itertools
import json
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from pydantic import JsonValue

from orchestrator.clock import Clock
from orchestrator.errors import OrchestratorError
from orchestrator.events.kept import PluginsEvents
from orchestrator.events.queues import EventQueues, entry_of
from orchestrator.model.events import EventName, PluginEvent, as_cloud_event

KEPT_EVENTS: Final = 10_000
"""Of the orchestrator's own; `kept` says how many of plugins."""

Listener = Callable[[PluginEvent], None]


class PluginEventBus:
    """Listeners are called at once and in order; they must be quick and must not raise."""

    def __init__(self, *, clock: Clock, instance: str) -> None:
        self.queues: EventQueues | None = None
        """None where nothing need be durable: in tests of what only tells."""
        self._clock = clock
        self._source = f"orchestrator/{instance}"
        self._kept: deque[tuple[int, PluginEvent]] = deque(maxlen=KEPT_EVENTS)
        self._of_plugins = PluginsEvents()
        self._numbers = itertools.count()
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Hear every event from now on; call what is returned to stop."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def publish(
        self, name: EventName, subject: str = "", data: Mapping[str, JsonValue] | None = None
    ) -> PluginEvent:
        """Tell what happened; it is on its way to the disk when this returns."""
        event = self.event(name, source=self._source, subject=subject, data=data or {})
        if self.queues is not None:
            self.queues.journal(entry_of(event, _encoded(event)))
        self.tell(event)
        return event

    def attach(self, queues: EventQueues) -> None:
        """Be durable from now on; what was told until now is written down too."""
        self.queues = queues
        for _, event in self._kept:
            queues.journal(entry_of(event, _encoded(event)))

    def event(
        self,
        name: str,
        *,
        source: str,
        subject: str,
        data: Mapping[str, JsonValue],
        traceparent: str = "",
    ) -> PluginEvent:
        """An event of now, with an id of its own; nobody is told yet."""
        return PluginEvent(
            event_id=str(uuid.uuid4()),
            type=name,
            source=source,
            at=self._clock.now(),
            subject=subject,
            data=dict(data),
            traceparent=traceparent,
        )

    async def accept(self, event: PluginEvent, *, own_id: str = "") -> PluginEvent:
        """Take a publisher's event: it is on disk when this returns, and reaches who subscribed.

        One that was taken before, by its id or by its publisher's `own_id`, is not taken again: the
        first one's id comes back. Raises EventsFull, StoreUnavailable: then nothing was taken.
        """
        if self.queues is None:
            self.tell(event)
            return event
        taken: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def done(event_id: str, repeats: bool) -> None:  # noqa: FBT001 - called by position
            if not repeats:
                self.tell(event)
            if not taken.done():
                taken.set_result(event_id)

        def failed(error: OrchestratorError) -> None:
            if not taken.done():
                taken.set_exception(error)

        self.queues.offer(entry_of(event, _encoded(event), own_id=own_id), done=done, failed=failed)
        return replace(event, event_id=await taken)

    def tell(self, event: PluginEvent) -> None:
        """Keep it among the latest, and tell the listeners."""
        number = next(self._numbers)
        if event.source == self._source:
            self._kept.append((number, event))
        else:
            self._of_plugins.add(number, event)
        for listener in list(self._listeners):
            listener(event)

    def latest(self, *, subject: str | None = None, count: int = 100) -> list[PluginEvent]:
        """The latest events, oldest first, of all or of one plugin.

        A plugin's are what the orchestrator told of it and what it published itself; what others
        say of it is no part of its history.
        """
        fitting = [row for row in self._kept if subject is None or row[1].subject == subject]
        source = None if subject is None else f"plugin/{subject}"
        fitting += self._of_plugins.latest(source, count)
        fitting.sort(key=lambda row: row[0])
        return [event for _, event in fitting[max(0, len(fitting) - count) :]]


def _encoded(event: PluginEvent) -> bytes:
    return json.dumps(as_cloud_event(event)).encode()
