"""PluginEventBus: events to listeners inside the daemon, and the latest of them to look back on.

In memory: what must outlive the daemon lives in the engine's labels and in the store.
"""

import uuid
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from pydantic import JsonValue

from orchestrator.clock import Clock
from orchestrator.model.events import EventName, PluginEvent

KEPT_EVENTS: Final = 10_000

Listener = Callable[[PluginEvent], None]


class PluginEventBus:
    """Listeners are called at once and in order; they must be quick and must not raise."""

    def __init__(self, *, clock: Clock, instance: str) -> None:
        self._clock = clock
        self._source = f"orchestrator/{instance}"
        self._kept: deque[PluginEvent] = deque(maxlen=KEPT_EVENTS)
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Hear every event from now on; call what is returned to stop."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def publish(
        self, name: EventName, subject: str = "", data: Mapping[str, JsonValue] | None = None
    ) -> PluginEvent:
        """Tell what happened."""
        return self._tell(name, self._source, subject, data or {})

    def publish_for_plugin(
        self, *, source: str, name: str, subject: str, data: Mapping[str, JsonValue]
    ) -> PluginEvent:
        """Tell what a plugin says happened; its host.sock checked that it may."""
        return self._tell(name, source, subject, data)

    def _tell(
        self, name: str, source: str, subject: str, data: Mapping[str, JsonValue]
    ) -> PluginEvent:
        event = PluginEvent(
            event_id=str(uuid.uuid4()),
            type=name,
            source=source,
            at=self._clock.now(),
            subject=subject,
            data=dict(data),
        )
        self._kept.append(event)
        for listener in list(self._listeners):
            listener(event)
        return event

    def latest(self, *, subject: str | None = None, count: int = 100) -> list[PluginEvent]:
        """The latest events, oldest first, of one plugin or of all."""
        fitting = [e for e in self._kept if subject is None or e.subject == subject]
        return fitting[max(0, len(fitting) - count) :]
