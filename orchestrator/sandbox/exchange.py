"""Exchange: one call on its way through a sandbox, from its caller to a connection and back.

It holds the body until a connection is free, keeps the deadline, and turns every way in which a
plugin can fail into one CallFailure. No task runs for it: everything happens in callbacks.
"""

from collections.abc import Callable
from typing import Final, Protocol
from urllib.parse import quote

from orchestrator.sandbox.call import Call, CallFailure, FailureCode, Sink
from orchestrator.sandbox.deadlines import Deadline
from orchestrator.sandbox.observer import (
    CALLER_ERROR,
    CALLER_LEFT,
    OK,
    PLUGIN_ERROR,
    CallWatch,
)
from orchestrator.sandbox.wire import PluginConnection

BUFFER_BYTES: Final = 65_536
"""A body's bytes that wait for a connection before the caller is held back."""


class Line(Protocol):
    """The queue of calls of one sandbox, as an exchange sees it."""

    def left(self, exchange: "Exchange") -> None:
        """The exchange is over, or nobody waits for it any more."""

    def overran(self, exchange: "Exchange") -> None:
        """It met its deadline while the plugin was at it."""


class Exchange:
    """The caller's side calls send, finish, abandon and hold; the lane's side assign and fail."""

    __slots__ = (
        "_began",
        "_body",
        "_connection",
        "_deadline",
        "_line",
        "_max_response_bytes",
        "_request_done",
        "_sink",
        "_status",
        "_waited",
        "_watch",
        "call",
        "repeat",
    )

    def __init__(
        self,
        call: Call,
        sink: Sink,
        line: Line,
        *,
        max_response_bytes: int,
        repeat: str,
        watch: CallWatch | None = None,
    ) -> None:
        """`watch` is told how it ends; None for what is no call of a plugin's."""
        self._watch = watch
        self._began = watch.monotonic() if watch is not None else 0.0
        self._waited = -1.0
        self._status = 0
        self.call = call
        self.repeat = repeat
        self._sink: Sink | None = sink
        self._line = line
        self._max_response_bytes = max_response_bytes
        self._body = bytearray()
        self._connection: PluginConnection | None = None
        self._deadline: Deadline | None = None
        self._request_done = False

    @property
    def running(self) -> bool:
        """Whether the plugin has it."""
        return self._connection is not None

    @property
    def over(self) -> bool:
        return self._sink is None

    def arm(self, after: Callable[[float, Callable[[], None]], Deadline]) -> None:
        """Start the clock of the call's deadline."""
        self._deadline = after(self.call.deadline_seconds, self._expire)

    # -- the caller's side ----------------------------------------------------------------------

    def send(self, chunk: bytes) -> None:
        """The next piece of the request's body."""
        if self.over or self._request_done:
            return
        if self._connection is not None:
            self._connection.send(self._framed(chunk))
            return
        self._body += chunk
        if len(self._body) > BUFFER_BYTES and self._sink is not None:
            self._sink.on_request_flow(paused=True)

    def finish(self) -> None:
        """The request's body is complete."""
        if self._request_done:
            return
        self._request_done = True
        if self._connection is not None:
            if self.call.content_length is None:
                self._connection.send(b"0\r\n\r\n")
            self._connection.request_sent()

    def abandon(self) -> None:
        """The caller went away.

        The plugin may finish what it has whole (its slot stays taken until then, so that callers
        cannot pile up work by hanging up); a request cut in half costs the connection.
        """
        if self.over:
            return
        self._tell(CALLER_LEFT)
        if self._connection is None or not self._request_done:
            self._end()
        else:
            self._sink = _Nobody()
            self._connection.pause_reply(paused=False)

    def hold(self, *, paused: bool) -> None:
        """The caller is slow to read the answer."""
        if self._connection is not None:
            self._connection.pause_reply(paused=paused)

    # -- the lane's side ------------------------------------------------------------------------

    def move(self, call: Call, line: Line) -> None:
        """To another line, before any connection was assigned; `call` with what is left of it."""
        self.call, self._line = call, line

    def assign(self, connection: PluginConnection) -> None:
        """A connection is free: everything that waited goes out."""
        self._connection = connection
        if self._watch is not None:
            self._waited = self._watch.monotonic() - self._began
        body, self._body = self._body, bytearray()
        connection.begin(self._head(), self, max_body_bytes=self._max_response_bytes)
        if body:
            connection.send(self._framed(bytes(body)))
        if self._request_done:
            if self.call.content_length is None:
                connection.send(b"0\r\n\r\n")
            connection.request_sent()
        if len(body) > BUFFER_BYTES and self._sink is not None and not connection.clogged:
            self._sink.on_request_flow(paused=False)

    def fail(self, failure: CallFailure) -> None:
        """It will get no answer; its connection, if it has one, is closed."""
        sink = self._end()
        if sink is not None:
            sink.on_failure(failure)
            self._tell(failure.code)

    # -- the connection's side ------------------------------------------------------------------

    def on_reply_head(self, status: int, content_type: str, content_length: int | None) -> None:
        self._status = status
        if self._sink is not None:
            self._sink.on_head(status, content_type, content_length)

    def on_reply_body(self, chunk: bytes) -> None:
        if self._sink is not None:
            self._sink.on_body(chunk)

    def on_reply_end(self) -> None:
        self._connection = None  # it is free again, and not ours to close
        sink = self._end()
        if sink is not None:
            failure = sink.on_end()
            self._tell(failure.code if failure is not None else _outcome(self._status))

    def on_reply_failure(self, failure: CallFailure) -> None:
        self.fail(
            CallFailure(code=failure.code, detail=failure.detail, repeat=self.repeat)
            if failure.repeat != self.repeat
            else failure
        )

    def on_request_flow(self, *, paused: bool) -> None:
        if self._sink is not None:
            self._sink.on_request_flow(paused=paused)

    # -------------------------------------------------------------------------------------------

    def _tell(self, outcome: str) -> None:
        """Once: what comes after the first end is nobody's any more."""
        watch, self._watch = self._watch, None
        if watch is not None:
            seconds = watch.monotonic() - self._began
            waited = self._waited if self._waited >= 0 else seconds
            watch.observer.ended(watch.plugin_id, self.call, outcome, seconds, waited)

    def _expire(self) -> None:
        started = self.running
        detail = (
            f"the plugin did not answer within {self.call.deadline_seconds:g} s"
            if started
            else f"no connection of the plugin was free within {self.call.deadline_seconds:g} s"
        )
        if started:
            self._line.overran(self)
        self.fail(
            CallFailure(
                code=FailureCode.DEADLINE_EXCEEDED,
                detail=detail,
                repeat=self.repeat if started else "safe",
            )
        )

    def _end(self) -> Sink | None:
        sink, self._sink = self._sink, None
        connection, self._connection = self._connection, None
        if self._deadline is not None:
            self._deadline.cancel()
        if connection is not None:
            connection.close()
        if sink is not None:
            self._line.left(self)
        return sink

    def _framed(self, chunk: bytes) -> bytes:
        if self.call.content_length is not None or not chunk:
            return chunk
        return b"%x\r\n%b\r\n" % (len(chunk), chunk)

    def _head(self) -> bytes:
        call = self.call
        lines = [
            f"{call.method} {call.path} HTTP/1.1\r\n",
            "Host: plugin\r\n",
            f"X-Request-Id: {call.request_id}\r\n",
            f"X-Deadline-Ms: {max(1, int(call.deadline_seconds * 1000))}\r\n",
        ]
        if call.tool:
            lines.append(f"X-Tool: {call.tool}\r\n")
        if call.caller:
            lines.append(f"X-Caller: {call.caller}\r\n")
        if call.traceparent:
            lines.append(f"traceparent: {call.traceparent}\r\n")
        if call.content_length is None:
            lines.append("Transfer-Encoding: chunked\r\n")
        else:
            lines.append(f"Content-Length: {call.content_length}\r\n")
        if call.content_length != 0:
            lines.append(f"Content-Type: {call.content_type}\r\n")
        head = "".join(lines)
        if not head.isascii() or head.count("\r") + head.count("\n") != 2 * len(lines):
            head = "".join(map(_escaped, lines))
        return head.encode() + b"\r\n"


def _outcome(status: int) -> str:
    if status < 400:  # noqa: PLR2004 - HTTP's own classes
        return OK
    return CALLER_ERROR if status < 500 else PLUGIN_ERROR  # noqa: PLR2004


def _escaped(line: str) -> str:
    """Whoever made the call should have: no text of a caller's ends its line and begins another."""
    text = line.removesuffix("\r\n")
    return "".join(c if c.isascii() and c.isprintable() else quote(c) for c in text) + "\r\n"


class _Nobody:
    """The sink of a call whose caller went away."""

    def on_head(self, status: int, content_type: str, content_length: int | None) -> None: ...

    def on_body(self, chunk: bytes) -> None: ...

    def on_end(self) -> CallFailure | None: ...

    def on_failure(self, failure: CallFailure) -> None: ...

    def on_request_flow(self, *, paused: bool) -> None: ...
