"""HTTP/1.1 on a connection that the plugin dialled: as much of it as the contract needs.

Written by hand on `recv` and `sendall`, since the standard library's server costs a call more
than most plugins' own work. Strict, because leniency is how two readers come to disagree.
"""

from collections.abc import Iterator
from socket import socket

from orchestrator_sdk.messages import PHRASES, Reply, Request

MAX_HEAD_BYTES = 16 << 10
MAX_BODY_BYTES = 64 << 20
"""A backstop: the host bounds requests, and the memory limit bounds the plugin."""

_RECEIVE_BYTES = 32 << 10
_ONE_SEND_BYTES = 64 << 10
"""Up to here copying the body behind its head is cheaper than a second system call."""

_REQUEST_LINE_WORDS = 3
_LENGTH_DIGITS = 16
_LINE_BYTES = 4 << 10
_TRAILERS = 64
_DECIMAL = "0123456789"
_HEX = "0123456789abcdefABCDEF"

_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")


class MalformedRequest(Exception):
    """The connection cannot go on; `status` is what the other side is told."""

    def __init__(self, detail: str, status: int = 400) -> None:
        super().__init__(detail)
        self.status = status


class StreamBroken(Exception):
    """A plugin's iterator failed after the head was sent: only hanging up can tell the host."""


class Connection:
    """One dialled connection, served by one thread."""

    def __init__(self, connection: socket, received: bytes = b"") -> None:
        self.socket = connection
        self._buffer = received

    def read_request(self) -> Request | None:
        """The next request, or None at the end. Raises MalformedRequest, OSError."""
        head = self._read_head()
        if head is None:
            return None
        request = parse_head(head)
        headers = request.headers
        if "transfer-encoding" in headers:
            self._continue(request)
            request.body = self._read_chunks()
        elif (length := headers.get("content-length", "0")) != "0":
            size = _size(length, _DECIMAL)
            self._continue(request)
            request.body = self._read_exactly(size)
        return request

    def write(self, reply: Reply, *, keep_alive: bool = True) -> None:
        """Send it. Raises OSError, StreamBroken."""
        reason = PHRASES.get(reply.status, "-")
        end = "" if keep_alive else "Connection: close\r\n"
        head = f"HTTP/1.1 {reply.status} {reason}\r\nContent-Type: {reply.content_type}\r\n{end}"
        body = reply.body
        if not isinstance(body, bytes):
            self._stream(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode(), body)
            return
        whole = f"{head}Content-Length: {len(body)}\r\n\r\n".encode()
        if len(body) <= _ONE_SEND_BYTES:
            self.socket.sendall(whole + body)
        else:
            self.socket.sendall(whole)
            self.socket.sendall(body)

    def _stream(self, head: bytes, pieces: Iterator[bytes]) -> None:
        try:
            while (piece := _next_piece(pieces)) is not None:
                if piece:  # an empty chunk would end the body
                    self.socket.sendall(b"%b%x\r\n%b\r\n" % (head, len(piece), piece))
                    head = b""
        finally:
            _close(pieces)
        self.socket.sendall(head + b"0\r\n\r\n")

    def _read_head(self) -> bytes | None:
        buffer = self._buffer
        while (end := buffer.find(b"\r\n\r\n")) < 0:
            if len(buffer) > MAX_HEAD_BYTES:
                break
            received = self.socket.recv(_RECEIVE_BYTES)
            if not received:
                if buffer:
                    raise MalformedRequest("end of file found inside a request's head")
                return None
            buffer = buffer + received if buffer else received
        if not 0 <= end <= MAX_HEAD_BYTES:
            raise MalformedRequest(f"a head over {MAX_HEAD_BYTES} bytes found", 431)
        self._buffer = buffer[end + 4 :]
        return buffer[:end]

    def _continue(self, request: Request) -> None:
        if request.headers.get("expect", "").lower() == "100-continue":
            self.socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _read_exactly(self, size: int) -> bytes:
        buffer = self._buffer
        if len(buffer) >= size:
            self._buffer = buffer[size:]
            return buffer[:size]
        body = bytearray(size)
        body[: len(buffer)] = buffer
        self._buffer = b""
        filled = len(buffer)
        with memoryview(body) as view:
            while filled < size:
                count = self.socket.recv_into(view[filled:])
                if not count:
                    raise MalformedRequest(f"end of file found after {filled} of {size} bytes")
                filled += count
        return bytes(body)

    def _read_chunks(self) -> bytes:
        body = bytearray()
        while size := _size(self._read_size_line(), _HEX):
            if len(body) + size > MAX_BODY_BYTES:
                raise MalformedRequest(f"a body over {MAX_BODY_BYTES} bytes found", 413)
            body += self._read_exactly(size)
            if self._read_exactly(2) != b"\r\n":
                raise MalformedRequest("a chunk longer than its size found")
        for _ in range(_TRAILERS):  # trailers are read and dropped
            if not self._read_line():
                return bytes(body)
        raise MalformedRequest(f"over {_TRAILERS} trailers found")

    def _read_size_line(self) -> str:
        return self._read_line().partition(b";")[0].strip().decode("latin-1")

    def _read_line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            received = self.socket.recv(_RECEIVE_BYTES) if len(self._buffer) <= _LINE_BYTES else b""
            if not received:
                raise MalformedRequest("an unfinished line found in a chunked body")
            self._buffer += received
        line = self._buffer[:end]
        self._buffer = self._buffer[end + 2 :]
        return line


def parse_head(head: bytes) -> Request:
    """Request line and headers, without a body yet. Raises MalformedRequest."""
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != _REQUEST_LINE_WORDS or words[2] != "HTTP/1.1":
        raise MalformedRequest(f"request line {lines[0][:80]!r} found, HTTP/1.1 expected")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or not name or not _TOKEN.issuperset(name):
            raise MalformedRequest(f"header {line[:80]!r} found, 'name: value' expected")
        if name in headers and name in ("content-length", "transfer-encoding"):
            raise MalformedRequest(f"header {name} found twice")
        headers[name] = value.strip(" \t")
    coding = headers.get("transfer-encoding")
    if coding is not None and (coding.lower() != "chunked" or "content-length" in headers):
        raise MalformedRequest("a body with two lengths, or not plainly chunked, found")
    keep_alive = headers.get("connection", "").lower() != "close"
    path, _, query = words[1].partition("?")
    return Request(words[0], path, headers, query=query, keep_alive=keep_alive)


def _next_piece(pieces: Iterator[bytes]) -> bytes | None:
    try:
        piece = next(pieces, None)
    except (Exception, SystemExit) as error:
        raise StreamBroken(f"{type(error).__name__}: {error}") from error
    if piece is None or isinstance(piece, bytes | bytearray):
        return piece
    raise StreamBroken(f"{type(piece).__name__} found in a stream, bytes expected")


def _close(pieces: Iterator[bytes]) -> None:
    close = getattr(pieces, "close", None)
    try:
        if close is not None:
            close()
    except (Exception, SystemExit) as error:
        raise StreamBroken(f"{type(error).__name__}: {error}") from error


def _size(text: str, digits: str) -> int:
    if not text or len(text) > _LENGTH_DIGITS or text.strip(digits):
        raise MalformedRequest(f"length {text[:20]!r} found, a number expected")
    size = int(text, 10 if digits is _DECIMAL else 16)
    if size > MAX_BODY_BYTES:
        raise MalformedRequest(f"a body of {size} bytes found, {MAX_BODY_BYTES} at most", 413)
    return size
