"""EventSink: an event on its way to one plugin: 2xx is taken, all else tried again."""

from collections.abc import Callable
from typing import Final

from orchestrator.sandbox.call import CallFailure

EVENT_SECONDS: Final = 10.0
RETRY_SECONDS: Final = (0.2, 1.0, 5.0)
"""Before the second, third and fourth try; after that the event is given up."""


class EventSink:
    """The plugin's answer to an event: only its status matters."""

    def __init__(self, failed: Callable[[], None]) -> None:
        self._failed = failed
        self._status = 0

    def on_head(self, status: int, content_type: str, content_length: int | None) -> None:
        self._status = status

    def on_body(self, chunk: bytes) -> None: ...

    def on_end(self) -> None:
        if not 200 <= self._status < 300:  # noqa: PLR2004 - success
            self._failed()

    def on_failure(self, failure: CallFailure) -> None:
        self._failed()

    def on_request_flow(self, *, paused: bool) -> None: ...
