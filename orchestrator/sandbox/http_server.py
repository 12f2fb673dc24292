"""BrokerServer: a small bounded HTTP/1.1 server on one unix socket, for the brokers.

Everything that a plugin sends is bounded in size, number and time; what breaks a bound costs the
plugin its connection. A connection is one task, so that a broker's steps read from top to bottom.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from orchestrator.sandbox.broker import PROBLEM_TYPE, RefusalCode, Refused, problem
from orchestrator.sandbox.http_head import RequestHead, malformed, parse_head, shown
from orchestrator.sandbox.listener import bind_unix

PIECE_BYTES: Final = 65_536
LINGER_SECONDS: Final = 1.0
"""How long an ended connection stays for its answer to be read."""
_LINGER_BYTES: Final = 1 << 20
_CHUNK_SIZE: Final = re.compile(rb"[0-9a-fA-F]{1,12}")
_CLOSE: Final = "Connection: close\r\n"
_BODILESS: Final = frozenset({204, 304})
_REASONS: Final = {
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    408: "Request Timeout",
    413: "Content Too Large",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


class RequestReader:
    """Heads and bodies from a stream."""

    def __init__(self, stream: asyncio.StreamReader, *, max_head_bytes: int) -> None:
        self._stream = stream
        self._max_head_bytes = max_head_bytes
        self._buffer = bytearray()

    @property
    def pending(self) -> bool:
        """Whether more was sent than was read so far."""
        return bool(self._buffer)

    async def wait(self) -> bool:
        """Wait for the first byte of what comes next; False at the end of file."""
        return bool(self._buffer) or await self._fill()

    async def head(self) -> RequestHead:
        """The next request's head. Raises Refused."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            self._bound_head(len(self._buffer))
            if not await self._fill():
                raise malformed("found the end of file within a request's head")
        self._bound_head(end)
        head = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        return parse_head(head)

    async def some(self, most: int = PIECE_BYTES) -> bytes:
        """What is there, at most so many bytes; empty at the end of file."""
        if not self._buffer:
            return await self._stream.read(most)
        piece = bytes(self._buffer[:most])
        del self._buffer[:most]
        return piece

    async def body(self, head: RequestHead) -> AsyncIterator[bytes]:
        """The request's body piece by piece, without its framing. Raises Refused."""
        if not head.chunked:
            async for piece in self._exactly(head.content_length):
                yield piece
            return
        while size := await self._chunk_size():
            async for piece in self._exactly(size):
                yield piece
            await self._line_end()
        await self._line_end()  # trailers are nobody's: two readers could take them for headers

    async def _exactly(self, count: int) -> AsyncIterator[bytes]:
        while count:
            piece = await self.some(min(count, PIECE_BYTES))
            if not piece:
                raise malformed("found the end of file within a request's body")
            count -= len(piece)
            yield piece

    async def _chunk_size(self) -> int:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > PIECE_BYTES or not await self._fill():
                raise malformed("found no end of a chunk's size")
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        if not _CHUNK_SIZE.fullmatch(line):
            raise malformed(f"found {shown(line)} as a chunk's size, expected hexadecimal digits")
        return int(line, 16)

    async def _line_end(self) -> None:
        while len(self._buffer) < 2:  # noqa: PLR2004 - CR and LF
            if not await self._fill():
                raise malformed("found the end of file within a request's body")
        if self._buffer[:2] != b"\r\n":
            raise malformed("found more than the chunk's size says, or a trailer")
        del self._buffer[:2]

    async def _fill(self) -> bool:
        try:
            piece = await self._stream.read(PIECE_BYTES)
        except ConnectionError:
            return False
        self._buffer += piece
        return bool(piece)

    def _bound_head(self, size: int) -> None:
        if size > self._max_head_bytes:
            raise malformed(f"found a head of more than {self._max_head_bytes} bytes")


class ClientConnection:
    """One connection of the plugin."""

    def __init__(
        self, stream: asyncio.StreamReader, writer: asyncio.StreamWriter, *, max_head_bytes: int
    ) -> None:
        self.reader = RequestReader(stream, max_head_bytes=max_head_bytes)
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Write, held back while the plugin is slow to read. Raises ConnectionError."""
        self._write(data)
        await self.writer.drain()

    async def answer(
        self, status: int, content_type: str, body: bytes, *, keep_alive: bool
    ) -> None:
        await self.send(_answer(status, content_type, body, "" if keep_alive else _CLOSE))

    def refuse(self, refused: Refused) -> None:
        """Not awaited: a plugin that reads nothing must not hold its own refusal up."""
        more = _CLOSE
        if refused.status in {429, 503}:
            more += f"Retry-After: {refused.retry_after_seconds}\r\n"
        self._write(_answer(refused.status, PROBLEM_TYPE, problem(refused), more))

    def send_eof(self) -> None:
        """Nothing more comes; quiet if that is known already."""
        if not self.writer.is_closing():
            self.writer.write_eof()

    def _write(self, data: bytes) -> None:
        if self.writer.is_closing():  # uvloop's transport takes it for a fault of ours
            raise ConnectionResetError
        self.writer.write(data)

    async def finish(self) -> None:
        """End it so that what was written is read: unread input would make it a reset."""
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(LINGER_SECONDS):
                self.send_eof()
                dropped = 0
                while dropped < _LINGER_BYTES and (piece := await self.reader.some()):
                    dropped += len(piece)
                self.writer.close()
                await self.writer.wait_closed()


class BrokerServer:
    """Listens, and gives each connection to `serve` until it returns."""

    def __init__(
        self,
        serve: Callable[[ClientConnection], Awaitable[None]],
        *,
        max_connections: int,
        max_head_bytes: int,
        note: Callable[[Refused], None],
    ) -> None:
        self._serve = serve
        self._max_connections = max_connections
        self._max_head_bytes = max_head_bytes
        self._note = note
        self._server: asyncio.AbstractServer | None = None
        self._socket = (Path(), 0)
        """Path and inode."""
        self._running: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def open(self, path: Path) -> None:
        """Listen at `path`; any process in the container may connect."""
        sock = bind_unix(path, mode=0o666)
        self._socket = (path, _inode(path))
        self._server = await asyncio.start_unix_server(self._connected, sock=sock)

    def close(self) -> None:
        """Stop listening and end every connection, whatever it waits for."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        path, inode = self._socket
        with suppress(OSError):  # the next broker's socket may stand there already
            if _inode(path) == inode:
                path.unlink()
        for task, writer in self._running.items():
            writer.transport.abort()
            task.cancel()

    async def _connected(self, stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection's whole life; asyncio made the task, `close` ends it."""
        client = ClientConnection(stream, writer, max_head_bytes=self._max_head_bytes)
        task = asyncio.current_task()
        if self._server is None or task is None:
            writer.transport.abort()
        elif len(self._running) >= self._max_connections:
            self._overflow(client)
        else:
            self._running[task] = writer
            try:
                await self._serve(client)
                await client.finish()
            except (OSError, asyncio.CancelledError):
                pass  # the plugin left or reads nothing, or the permission was taken away
            finally:
                del self._running[task]
                writer.transport.abort()

    def _overflow(self, client: ClientConnection) -> None:
        refused = Refused(
            RefusalCode.TOO_MANY_CONNECTIONS,
            f"found {self._max_connections} connections open, expected at most that many",
        )
        self._note(refused)
        client.refuse(refused)
        client.writer.close()


def _inode(path: Path) -> int:
    return path.lstat().st_ino


def _answer(status: int, content_type: str, body: bytes, more: str) -> bytes:
    head = f"HTTP/1.1 {status} {_REASONS.get(status, 'OK')}\r\nContent-Type: {content_type}\r\n"
    if status not in _BODILESS:
        head += f"Content-Length: {len(body)}\r\n"
    return f"{head}{more}\r\n".encode("latin-1") + body
