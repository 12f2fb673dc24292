"""Answer: a call's answer written to the client's connection as it comes. One per call."""

import asyncio
from collections.abc import Callable

from orchestrator.sandbox.call import CallFailure
from orchestrator.server.problems import PROBLEM_TYPE, RETRY_AFTER_SECONDS, failure_problem


class Answer:
    """The Sink of one call. `done` is called once, when the last byte is written."""

    __slots__ = (
        "_chunked",
        "_done",
        "_head_sent",
        "_held",
        "_keep_alive",
        "_transport",
        "request_paused",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        *,
        keep_alive: bool,
        done: Callable[[bool], None],
    ) -> None:
        self._transport = transport
        self._keep_alive = keep_alive
        self._done = done
        self._chunked = self._head_sent = False
        self._held = b""
        self.request_paused = False

    def on_head(self, status: int, content_type: str, content_length: int | None) -> None:
        self._chunked = content_length is None
        self._head_sent = True
        # A 204 or 304 has no length at all: a client reads no body, whatever it says.
        framing = (
            "Transfer-Encoding: chunked\r\n"
            if content_length is None
            else f"Content-Length: {content_length}\r\n"
            if status not in {204, 304}
            else ""
        )
        # Of the plugin's own headers only the type travels on: no cookies, redirects or CORS.
        head = self._head(status, content_type, framing)
        if content_length:
            self._held = head  # its body is on the way: one system call for both
        else:
            self._transport.write(head)

    def on_body(self, chunk: bytes) -> None:
        self._write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._chunked else chunk)

    def on_end(self) -> None:
        if self._chunked or self._held:
            self._write(b"0\r\n\r\n" if self._chunked else b"")
        self._done(self._keep_alive)

    def on_failure(self, failure: CallFailure) -> None:
        if self._head_sent and not self._held:
            self._transport.abort()  # a cut answer must not look like a whole one
            return
        self.problem(*failure_problem(failure))

    def on_request_flow(self, *, paused: bool) -> None:
        self.request_paused = paused
        if not self._transport.is_closing():
            (self._transport.pause_reading if paused else self._transport.resume_reading)()

    def problem(self, status: int, body: bytes) -> None:
        """An answer of ours."""
        framing = f"Content-Length: {len(body)}\r\n"
        if status in {429, 503}:
            framing += f"Retry-After: {RETRY_AFTER_SECONDS}\r\n"
        self._transport.write(self._head(status, PROBLEM_TYPE, framing) + body)
        self._done(self._keep_alive)

    def close_after(self) -> None:
        """The request is not read to its end, so the connection cannot go on."""
        self._keep_alive = False

    def _write(self, data: bytes) -> None:
        if self._held:
            data, self._held = self._held + data, b""
        self._transport.write(data)

    def _head(self, status: int, content_type: str, framing: str) -> bytes:
        close = "" if self._keep_alive else "Connection: close\r\n"
        return (
            f"HTTP/1.1 {status} \r\nContent-Type: {content_type}\r\n{framing}"
            f"X-Content-Type-Options: nosniff\r\n{close}\r\n"
        ).encode("latin-1")
