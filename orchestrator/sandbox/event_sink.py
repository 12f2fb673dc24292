"""EventSink: an event on its way to one plugin: 2xx is taken, all else is not."""

from collections.abc import Callable
from typing import Final

from orchestrator.sandbox.call import CallFailure

EVENT_SECONDS: Final = 10.0
EventEnd = Callable[[int | CallFailure], None]
"""Takes the status that the plugin answered, or why it did not."""


class EventSink:
    """The plugin's answer to an event: only its status matters."""

    def __init__(self, done: EventEnd) -> None:
        self._done = done
        self._status = 0

    def on_head(self, status: int, content_type: str, content_length: int | None) -> None:
        self._status = status

    def on_body(self, chunk: bytes) -> None: ...

    def on_end(self) -> None:
        self._done(self._status)

    def on_failure(self, failure: CallFailure) -> None:
        self._done(failure)

    def on_request_flow(self, *, paused: bool) -> None: ...
