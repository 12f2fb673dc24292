"""Call, Reply and CallFailure: what goes through a sandbox, as values.

A plugin's failure is a value: it is shown to the caller, counted and lived with.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

ROOT: Final = "none"
"""As a call's `parent`: its caller sent no trace, so one begins with it."""


class FailureCode(StrEnum):
    """Why a call has no answer of the plugin's own; docs/errors.md explains each."""

    DEADLINE_EXCEEDED = "deadline_exceeded"
    OVERLOADED = "overloaded"
    PLUGIN_NOT_RUNNING = "plugin_not_running"
    PLUGIN_DISCONNECTED = "plugin_disconnected"
    PLUGIN_RESTARTED = "plugin_restarted"
    BAD_RESPONSE = "bad_response"
    RESPONSE_TOO_LARGE = "response_too_large"
    REQUEST_TOO_LARGE = "request_too_large"
    INVALID_INPUT = "invalid_input"
    INVALID_OUTPUT = "invalid_output"
    UNKNOWN_TOOL = "unknown_tool"
    DAEMON_STOPPING = "daemon_stopping"
    DAEMON_STOPPED = "daemon_stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFailure:
    code: FailureCode
    detail: str
    repeat: str = "unsafe"
    """`safe` where the call had no effect or its tool is marked read_only or idempotent."""
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call on its way in; the body travels beside it."""

    request_id: str
    deadline_seconds: float
    """From now; the plugin's own limit caps it."""
    method: str = "POST"
    path: str = "/v1/execute"
    tool: str = ""
    content_type: str = "application/json"
    content_length: int | None = 0
    """None: unknown, the body is sent chunked."""
    caller: str = ""
    traceparent: str = ""
    """W3C trace context, as the plugin sees it."""
    parent: str = ""
    """Where `traceparent` was made here: the caller's own, or ROOT. Empty where it was not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A collected answer of the plugin's own, whatever its status."""

    status: int
    content_type: str
    body: bytes


class Sink(Protocol):
    """Where an answer goes, piece by piece. Exactly one of on_end and on_failure comes, last."""

    def on_head(self, status: int, content_type: str, content_length: int | None) -> None: ...

    def on_body(self, chunk: bytes) -> None: ...

    def on_end(self) -> CallFailure | None:
        """What is wrong with the answer after all, where the sink is the one to find that."""

    def on_failure(self, failure: CallFailure) -> None:
        """Also after on_head and part of a body: then the answer is cut short."""

    def on_request_flow(self, *, paused: bool) -> None:
        """Stop or go on sending the request's body."""
