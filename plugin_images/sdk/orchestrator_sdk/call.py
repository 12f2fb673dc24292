"""The call being served: who asks, until when, and whether anybody still listens.

A context variable and not a thread-local, so that it follows an `async def` method to the loop.
"""

import time
from collections.abc import Mapping
from contextvars import ContextVar
from socket import MSG_DONTWAIT, MSG_PEEK, socket

_PARTS = 4


class Call:
    """Read by PluginContext, the log formatter and the event loop."""

    __slots__ = (
        "_deadline",
        "_gone",
        "caller",
        "connection",
        "passed_on",
        "request_id",
        "traceparent",
    )

    def __init__(self, headers: Mapping[str, str], connection: socket | None = None) -> None:
        self.request_id = headers.get("x-request-id", "")
        self.caller = headers.get("x-caller", "")
        self.traceparent = headers.get("traceparent", "")
        """W3C trace context: version, trace, span, flags."""
        self.passed_on = {
            name: headers[name] for name in ("x-request-id", "traceparent") if name in headers
        }
        """Tells the host which call another one is made for; see HostClient."""
        self.connection = connection
        self._gone = False
        milliseconds = headers.get("x-deadline-ms", "")
        self._deadline = (
            time.monotonic() + int(milliseconds) / 1_000 if milliseconds.isdecimal() else None
        )

    def follow(self, traceparent: str) -> None:
        """What is done from now on belongs to that trace: an event's, say."""
        self.traceparent = self.passed_on["traceparent"] = traceparent

    def trace_id(self) -> str:
        """The trace that the call is part of; empty for none."""
        parts = self.traceparent.split("-")
        return parts[1] if len(parts) >= _PARTS else ""

    def deadline_seconds(self) -> float | None:
        """Seconds left, never below 0; None without a deadline."""
        if self._deadline is None:
            return None
        return max(0.0, self._deadline - time.monotonic())

    def cancelled(self) -> bool:
        """Whether the host gave the call up, which it says by closing the connection.

        Looked up when asked: a watching thread would cost every call two system calls.
        """
        if self._gone or self.connection is None:
            return self._gone
        try:
            self._gone = self.connection.recv(1, MSG_PEEK | MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            self._gone = True
        return self._gone


CURRENT: ContextVar[Call | None] = ContextVar("orchestrator_call", default=None)
