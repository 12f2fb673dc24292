"""PluginConnection: one connection that a plugin dialled; the host is the client on it.

Reverse HTTP/1.1 (docs/plugin-contract.md): the plugin sends an upgrade request, then answers ours,
one at a time. Everything that it sends is bounded and distrusted: whatever is not one well-framed
answer to the running request costs the plugin this connection, and nobody else anything.
"""

import asyncio
from enum import Enum
from typing import Final, Protocol, cast

import httptools

from orchestrator.sandbox.call import CallFailure, FailureCode

MAX_HEAD_BYTES: Final = 32_768
MAX_HEADERS: Final = 100
MAX_TYPE_BYTES: Final = 256
_ACCEPTED: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: PTTH/1.0\r\n\r\n"
)
_BODILESS: Final = frozenset({204, 304})
_REASONS: Final = {400: b"Bad Request", 409: b"Conflict", 503: b"Service Unavailable"}


class ReplyListener(Protocol):
    """Who made the running request."""

    def on_reply_head(self, status: int, content_type: str, content_length: int | None) -> None: ...

    def on_reply_body(self, chunk: bytes) -> None: ...

    def on_reply_end(self) -> None: ...

    def on_reply_failure(self, failure: CallFailure) -> None: ...

    def on_request_flow(self, *, paused: bool) -> None: ...


class Switchboard(Protocol):
    """Who owns a sandbox's connections."""

    def opened(self, connection: "PluginConnection") -> bool:
        """A connection before its handshake; False refuses it."""

    def dialled(self, connection: "PluginConnection", lane: str) -> int:
        """The lane it asks for: 101 takes it, anything else is the refusal's status."""

    def idle(self, connection: "PluginConnection") -> None:
        """It can take a request: just dialled, or the last answer is complete."""

    def closed(self, connection: "PluginConnection") -> None: ...


class _State(Enum):
    HANDSHAKE = 0
    IDLE = 1
    BUSY = 2
    CLOSED = 3


class PluginConnection(asyncio.Protocol):
    """See the module. The parser calls the on_… methods."""

    __slots__ = (
        "_board",
        "_body_bytes",
        "_field_bytes",
        "_field_count",
        "_head_bytes",
        "_headers",
        "_in_head",
        "_keep_alive",
        "_listener",
        "_max_body_bytes",
        "_parser",
        "_paused",
        "_reply_done",
        "_request_sent",
        "_state",
        "_transport",
        "_unsent",
        "clogged",
        "lane",
    )

    def __init__(self, board: Switchboard) -> None:
        self._board = board
        self._state = _State.HANDSHAKE
        self._listener: ReplyListener | None = None
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpRequestParser | httptools.HttpResponseParser
        self._parser = httptools.HttpRequestParser(self)
        self._body_bytes = self._head_bytes = self._max_body_bytes = 0
        self._reset_head()
        self._request_sent = self._reply_done = self._keep_alive = False
        self._unsent = b""
        self._paused = False
        self.clogged = False
        """Whether the plugin is slow to read what it was sent."""
        self.lane = ""

    # -- what the host does ---------------------------------------------------------------------

    def begin(self, head: bytes, listener: ReplyListener, *, max_body_bytes: int) -> None:
        """Begin a request: its head goes out with what follows. The connection must be idle."""
        self._state = _State.BUSY
        self._listener = listener
        self._max_body_bytes = max_body_bytes
        self._body_bytes = 0
        self._request_sent = self._reply_done = False
        self._reset_head()
        self._unsent = head

    def send(self, data: bytes) -> None:
        if self._unsent:  # one system call for head and body
            data, self._unsent = self._unsent + data, b""
        if self._transport is not None:
            self._transport.write(data)

    def request_sent(self) -> None:
        """The request's body is complete."""
        if self._unsent:
            self.send(b"")
        self._request_sent = True
        if self._reply_done:
            self._finish()

    def pause_reply(self, *, paused: bool) -> None:
        """Hold the plugin back while the caller is slow to read."""
        if self._transport is not None and not self._transport.is_closing():
            self._paused = paused
            (self._transport.pause_reading if paused else self._transport.resume_reading)()

    def close(self) -> None:
        """End it now; a running request's listener hears nothing more."""
        self._listener = None
        if self._transport is not None:
            self._transport.abort()
        self._leave()

    # -- asyncio --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if not self._board.opened(self):
            self.close()

    def eof_received(self) -> None:
        self._leave()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._fail(FailureCode.PLUGIN_DISCONNECTED, "the plugin ended the connection")
        self._leave()

    def data_received(self, data: bytes) -> None:
        if self._state is _State.BUSY:
            self._feed(data)
        elif self._state is _State.HANDSHAKE:
            self._shake_hands(data)
        elif self._state is _State.IDLE:
            self.close()  # nobody asked

    def pause_writing(self) -> None:
        self.clogged = True
        if self._listener is not None:
            self._listener.on_request_flow(paused=True)

    def resume_writing(self) -> None:
        self.clogged = False
        if self._listener is not None:
            self._listener.on_request_flow(paused=False)

    # -- handshake ------------------------------------------------------------------------------

    def _shake_hands(self, data: bytes) -> None:
        self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            extra = upgrade.args[0] < len(data) if upgrade.args else False
            self._refuse(400) if extra else self._take_lane()
        except httptools.HttpParserError:
            self._refuse(400)
        else:
            if self._state is _State.HANDSHAKE and (
                not self._in_head or self._head_bytes > MAX_HEAD_BYTES
            ):
                self._refuse(400)  # a whole request that is no upgrade, or one that never ends

    def _take_lane(self) -> None:
        if self._state is not _State.HANDSHAKE:
            return  # its headers were refused already
        parser = cast("httptools.HttpRequestParser", self._parser)
        upgrade = self._headers.get(b"upgrade", b"")
        if (parser.get_method(), upgrade.lower()) != (b"GET", b"ptth/1.0"):
            self._refuse(400)
            return
        self.lane = self._headers.get(b"x-lane", b"").decode("latin-1")
        status = self._board.dialled(self, self.lane)
        if status != 101:  # noqa: PLR2004 - Switching Protocols
            self.lane = ""
            self._refuse(status)
            return
        self._parser = httptools.HttpResponseParser(self)
        self._reset_head()
        self._state = _State.IDLE
        self.send(_ACCEPTED)
        self._board.idle(self)

    def _refuse(self, status: int) -> None:
        if self._transport is not None:
            reason = _REASONS.get(status, b"Refused")
            self._transport.write(
                b"HTTP/1.1 %d %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                % (status, reason)
            )
            self._transport.close()
        self._leave()

    # -- answers --------------------------------------------------------------------------------

    def _feed(self, data: bytes) -> None:
        body_bytes = self._body_bytes
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._bad(f"sent what is not HTTP/1.1: {error}")
            return
        if self._reply_done:
            # Not from the parser's callback: what follows in `data` would answer the next request.
            if self._request_sent:
                self._finish()
        elif self._body_bytes == body_bytes:
            self._head_bytes += len(data)  # a head, a trailer or a chunk's extension
            if self._head_bytes > MAX_HEAD_BYTES:
                self._bad(f"sent more than {MAX_HEAD_BYTES} bytes that are no body")
        else:
            self._head_bytes = 0

    def on_message_begin(self) -> None:
        if self._reply_done:
            self._bad("sent more after its answer was complete")

    def on_url(self, url: bytes) -> None:
        """Of the handshake; the lane is what counts."""

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # a trailer
        self._field_count += 1
        self._field_bytes += len(name) + len(value)
        self._headers[name.lower()] = value
        if self._field_count > MAX_HEADERS:
            self._bad(f"sent more than {MAX_HEADERS} headers")
        elif self._field_bytes > MAX_HEAD_BYTES:  # also where all of it came in one piece
            self._bad(f"sent more than {MAX_HEAD_BYTES} bytes that are no body")

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._state is not _State.BUSY or self._listener is None:
            return
        status = cast("httptools.HttpResponseParser", self._parser).get_status_code()
        length = self._headers.get(b"content-length")
        content_type = self._headers.get(b"content-type", b"application/json")
        if not 200 <= status <= 599:  # noqa: PLR2004 - final statuses of HTTP
            self._bad(f"answered with status {status}")
        elif not self._well_framed(status, length):
            self._bad("framed its answer by neither Content-Length nor chunked, or by both")
        elif len(content_type) > MAX_TYPE_BYTES or not content_type.isascii():
            self._bad(f"sent a Content-Type that is not ASCII or over {MAX_TYPE_BYTES} bytes")
        elif length is not None and int(length) > self._max_body_bytes:
            self._too_large()
        else:
            size = int(length) if length is not None else 0 if status in _BODILESS else None
            self._listener.on_reply_head(status, content_type.decode(), size)

    def _well_framed(self, status: int, length: bytes | None) -> bool:
        """By exactly one of the two; an answer that can have no body may have neither."""
        encoding = self._headers.get(b"transfer-encoding")
        if status in _BODILESS:
            return encoding is None and length in {None, b"0"}
        if length is not None:
            return encoding is None
        return encoding is not None and encoding.lower() == b"chunked"

    def on_body(self, body: bytes) -> None:
        if self._listener is None:
            return
        self._body_bytes += len(body)
        if self._body_bytes > self._max_body_bytes:
            self._too_large()
        else:
            self._listener.on_reply_body(body)

    def on_message_complete(self) -> None:
        if self._state is not _State.BUSY:
            return
        self._reply_done = True
        # Only the parser's callback knows: afterwards it has forgotten the message.
        parser = cast("httptools.HttpResponseParser", self._parser)
        self._keep_alive = parser.should_keep_alive()

    def _finish(self) -> None:
        """Both ways are done: the connection is free for the next request, or closes.

        A plugin that answered what it has not read keeps no connection: requests would pile up.
        """
        listener, self._listener = self._listener, None
        if self._paused:
            self.pause_reply(paused=False)
        if self._state is _State.BUSY and not self.clogged and self._keep_alive:
            self._state = _State.IDLE
            self._board.idle(self)
        elif self._transport is not None:
            self._transport.close()
            self._leave()
        if listener is not None:
            listener.on_reply_end()

    def _bad(self, what: str) -> None:
        self._fail(FailureCode.BAD_RESPONSE, f"the plugin {what}")
        self.close()

    def _too_large(self) -> None:
        self._fail(
            FailureCode.RESPONSE_TOO_LARGE,
            f"the plugin's answer is larger than {self._max_body_bytes} bytes "
            "(policy.calls.max_response_mb)",
        )
        self.close()

    def _fail(self, code: FailureCode, detail: str) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.on_reply_failure(CallFailure(code=code, detail=detail))

    def _leave(self) -> None:
        """No more calls for it; at once, since connection_lost comes a turn of the loop later."""
        if self._state is not _State.CLOSED:
            self._state = _State.CLOSED
            self._board.closed(self)

    def _reset_head(self) -> None:
        self._headers: dict[bytes, bytes] = {}
        self._head_bytes = self._field_count = self._field_bytes = 0
        self._in_head = True
