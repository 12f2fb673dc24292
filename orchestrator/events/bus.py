"""PluginEventBus: events to listeners inside the daemon, and the latest of them to look back on.

In memory: what must outlive the daemon lives in the engine's labels and in the store.
"""

import itertools
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from pydantic import JsonValue

from orchestrator.clock import Clock
from orchestrator.events.kept import PluginsEvents
from orchestrator.model.events import EventName, PluginEvent

KEPT_EVENTS: Final = 10_000
"""Of the orchestrator's own; `kept` says how many of plugins."""

Listener = Callable[[PluginEvent], None]


class PluginEventBus:
    """Listeners are called at once and in order; they must be quick and must not raise."""

    def __init__(self, *, clock: Clock, instance: str) -> None:
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
        number = next(self._numbers)
        if source == self._source:
            self._kept.append((number, event))
        else:
            self._of_plugins.add(number, event)
        for listener in list(self._listeners):
            listener(event)
        return event

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
