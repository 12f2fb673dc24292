"""FrontProtocol: the daemon's one listener. Calls take the fast path, all else goes to Starlette.

`POST /v1/plugins/{id}/execute` is answered here: no task, no timer and no decoding for a call that
needs none, its body forwarded piece by piece with back-pressure both ways. A connection whose
request is anything else is handed, with what it sent, to uvicorn's protocol, and ends there.
"""

import asyncio
import itertools
import re
from collections.abc import Callable
from typing import Final, Protocol, cast

import httptools

from orchestrator.errors import OrchestratorError
from orchestrator.sandbox.call import Call, CallFailure, FailureCode
from orchestrator.sandbox.desk import Door
from orchestrator.sandbox.exchange import Exchange
from orchestrator.server.answer import Answer
from orchestrator.server.problems import error_problem

MAX_HEAD_BYTES: Final = 65_536
_EXECUTE: Final = re.compile(rb"/v1/plugins/([a-z0-9-]{1,63})/execute")
_WORD: Final = re.compile(rb"[\x21-\x7e]{1,128}")
_TYPE: Final = re.compile(rb"[\x20-\x7e]{1,256}")
_USER: Final = re.compile(rb"[\x20-\x7e]{1,100}")
_MILLISECONDS: Final = re.compile(rb"[0-9]{1,11}")
_REQUEST_IDS = itertools.count(1)


class Router(Protocol):
    """Who knows the sandboxes."""

    @property
    def max_request_bytes(self) -> int: ...

    def route(self, plugin_id: str) -> Door | CallFailure:
        """Raises OrchestratorError for a plugin that does not exist."""

    def admitted(self, plugin_id: str) -> Door | CallFailure:
        """The same for a call that was let in already."""

    def dispatching(self, plugin_id: str, call: Call, user: str) -> None:
        """A tool is about to be called: its input is as it declares it. Quick."""

    def refused(self, plugin_id: str, call: Call, failure: CallFailure) -> None:
        """The call was answered without being dispatched."""


class _Pipelined(Exception):
    """A request before the last one's answer: no client of ours does, and answers could cross."""


class FrontProtocol(asyncio.Protocol):
    """One client connection. The parser calls the on_… methods."""

    def __init__(
        self,
        router: Router,
        fallback: Callable[[], asyncio.Protocol],
        busy: set[object] | None = None,
    ) -> None:
        self._busy = set() if busy is None else busy
        """Holds this connection while a request of it is not answered."""
        self._router = router
        self._fallback = fallback
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._raw = bytearray()
        """What was read of a request whose head is not complete."""
        self._headers: dict[bytes, bytes] = {}
        self._url = b""
        self._in_head = self._whole = True
        """`_whole`: whether `_raw` has the request from its first byte."""
        self._hand_over = self._clogged = False
        self._answer: Answer | None = None
        self._exchange: Exchange | None = None
        self._sandbox: Door | None = None
        self._plugin_id = ""
        """Of the call; a tool's input is gathered in `_input` while there is a `_sandbox`."""
        self._input = bytearray()
        self._received = self._stray = 0
        """Bytes of the body; bytes since then that are none: a trailer, a chunk's extension."""

    # -- asyncio --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._busy.discard(self)
        self._drop_exchange()

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._raw += data
        else:
            self._stray += len(data)  # until there is more of the body, or another head
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserUpgrade, httptools.HttpParserError):
            if not self._hand_over:
                self._transport.close()
                return
        if self._hand_over:
            self._give_away()
        elif max(len(self._raw), self._stray) > MAX_HEAD_BYTES:
            self._transport.close()

    def pause_writing(self) -> None:
        self._clogged = True
        self._hold(paused=True)

    def resume_writing(self) -> None:
        self._clogged = False
        self._hold(paused=False)

    # -- the request ----------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._answer is not None or self._transport.is_closing():
            raise _Pipelined
        self._whole = bool(self._raw)
        self._headers = {}
        self._url = b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # a trailer is no header
            self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        match = _EXECUTE.fullmatch(self._url)
        if match is None or self._parser.get_method() != b"POST":
            self._hand_over = True
            return
        self._in_head = False
        self._raw.clear()
        self._received = self._stray = 0
        # Refused at once, a client that waits for 100 Continue may send its body or may not.
        keep_alive = self._parser.should_keep_alive() and b"expect" not in self._headers
        self._answer = Answer(self._transport, keep_alive=keep_alive, done=self._done)
        self._busy.add(self)
        self._begin(match.group(1).decode(), self._answer)

    def on_body(self, body: bytes) -> None:
        self._received += len(body)
        self._stray = 0
        if self._received > self._router.max_request_bytes:
            self._too_large()
        elif self._sandbox is not None:
            self._input += body
        elif self._exchange is not None:
            self._exchange.send(body)

    def on_message_complete(self) -> None:
        self._in_head = True
        if self._hand_over:
            return
        if self._sandbox is not None and self._answer is not None:
            self._run_tool(self._answer)
        elif self._exchange is not None:
            self._exchange.finish()

    # -- the call -------------------------------------------------------------------------------

    def _begin(self, plugin_id: str, answer: Answer) -> None:
        try:
            sandbox = self._router.route(plugin_id)
        except OrchestratorError as error:
            answer.problem(*error_problem(error))
            return
        self._plugin_id = plugin_id
        length = self._headers.get(b"content-length")
        if isinstance(sandbox, CallFailure):
            if sandbox.code is FailureCode.DAEMON_STOPPING:
                answer.close_after()  # the next connection is the next daemon's
            self._refuse(answer, sandbox)
        elif length is not None and int(length) > self._router.max_request_bytes:
            self._too_large()
        elif b"x-tool" in self._headers:
            self._sandbox = sandbox
            self._ask_for_body()
        else:
            chunked = b"transfer-encoding" in self._headers
            size = None if chunked else int(length or b"0")
            self._dispatch(sandbox, self._call(sandbox, size), answer)
            if self._exchange is not None:
                self._ask_for_body()

    def _ask_for_body(self) -> None:
        if self._headers.get(b"expect", b"").lower() == b"100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _run_tool(self, answer: Answer) -> None:
        """A tool's input is checked before the plugin sees it, so it is needed whole.

        While it came in the plugin may have been replaced, or gone to sleep: it is asked anew who
        takes the call.
        """
        self._sandbox = None
        body, self._input = bytes(self._input), bytearray()
        try:
            sandbox = self._router.admitted(self._plugin_id)
        except OrchestratorError as error:
            answer.problem(*error_problem(error))
            return
        if isinstance(sandbox, CallFailure):
            self._refuse(answer, sandbox)
            return
        call = self._call(sandbox, len(body))
        failure = sandbox.check_input(call, body)
        if failure is not None:
            answer.on_failure(failure)
            return
        user = self._header(b"x-orchestrator-user", _USER) or "operator"
        self._router.dispatching(self._plugin_id, call, user)
        self._dispatch(sandbox, call, answer)
        if self._exchange is not None:
            self._exchange.send(body)
            self._exchange.finish()

    def _dispatch(self, sandbox: Door, call: Call, answer: Answer) -> None:
        exchange = sandbox.dispatch(call, answer)
        self._exchange = None if exchange.over else exchange

    def _refuse(self, answer: Answer, failure: CallFailure) -> None:
        """Before it was dispatched, so that nobody else tells of it."""
        self._router.refused(self._plugin_id, self._call(None, 0), failure)
        answer.on_failure(failure)

    def _call(self, sandbox: Door | None, size: int | None) -> Call:
        wished = self._headers.get(b"x-deadline-ms", b"")
        deadline = int(wished) / 1000 if _MILLISECONDS.fullmatch(wished) else None
        return Call(
            request_id=self._header(b"x-request-id", _WORD) or f"r{next(_REQUEST_IDS)}",
            deadline_seconds=sandbox.deadline_seconds(deadline) if sandbox is not None else 0.0,
            tool=self._header(b"x-tool", _WORD) or "(none)" if b"x-tool" in self._headers else "",
            content_type=self._header(b"content-type", _TYPE) or "application/json",
            content_length=size,
            caller="operator",
            traceparent=self._header(b"traceparent", _WORD),
        )

    def _header(self, name: bytes, shape: re.Pattern[bytes]) -> str:
        """A header that travels on, or nothing where it is not of that shape."""
        value = self._headers.get(name, b"")
        return value.decode() if shape.fullmatch(value) else ""

    def _too_large(self) -> None:
        exchange, self._exchange = self._exchange, None
        self._sandbox = None
        self._input.clear()
        if self._answer is None:  # answered already, and still it sends
            self._transport.close()
            return
        most = self._router.max_request_bytes
        failure = CallFailure(
            code=FailureCode.REQUEST_TOO_LARGE,
            detail=f"found a body of more than {most} bytes (policy.calls.max_request_mb)",
            repeat="safe",
        )
        self._answer.close_after()
        if exchange is not None:
            exchange.fail(failure)
        else:
            self._refuse(self._answer, failure)

    def _drop_exchange(self) -> None:
        if self._exchange is not None:
            exchange, self._exchange = self._exchange, None
            exchange.abandon()

    def _done(self, keep_alive: bool) -> None:  # noqa: FBT001 - a callback
        """The answer is out; what is still coming in of the request's body is read and dropped."""
        answer, self._answer, self._exchange = self._answer, None, None
        self._busy.discard(self)
        if not keep_alive:
            self._transport.close()
        elif self._clogged:
            self._hold(paused=True)  # no further request before this answer was read
        elif answer is not None and answer.request_paused:
            self._hold(paused=False)

    def _hold(self, *, paused: bool) -> None:
        """Hold back what fills the client's buffer: the plugin's answer, else its next request."""
        if self._exchange is not None:
            self._exchange.hold(paused=paused)
        elif not self._transport.is_closing():
            (self._transport.pause_reading if paused else self._transport.resume_reading)()

    def _give_away(self) -> None:
        """For one request: the next may be a call, so the fallback is told to close after it."""
        if not self._whole:
            self._transport.close()
            return
        protocol = self._fallback()
        line, _, rest = bytes(self._raw).lstrip(b"\r\n").partition(b"\r\n")
        raw = line + b"\r\nConnection: close\r\n" + rest
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(raw)
