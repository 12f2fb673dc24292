"""Relay: bytes between a plugin and one host, counted exactly and cut at the last one allowed.

A byte is counted when it is passed on. Each way waits for its reader, so that a slow one holds
the other end back and fills no memory of the host's.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import StrEnum
from functools import partial
from typing import Final

from orchestrator.sandbox.broker import Refused
from orchestrator.sandbox.egress_request import EgressRequest
from orchestrator.sandbox.egress_uplink import Upstream
from orchestrator.sandbox.http_head import malformed
from orchestrator.sandbox.http_server import LINGER_SECONDS, PIECE_BYTES, ClientConnection
from orchestrator.sandbox.meter import NetworkMeter
from orchestrator.sandbox.party_counts import Carried

_Way = Callable[[], Awaitable[None]]


class Ending(StrEnum):
    """How an allowed connection ended."""

    CLOSED = "closed"
    IDLE = "idle"
    DEADLINE = "deadline"
    QUOTA = "quota"
    REFUSED = "refused"
    REVOKED = "revoked"


class Relay:
    """One allowed connection, from both ends' being there to its end."""

    def __init__(
        self,
        client: ClientConnection,
        upstream: Upstream,
        meter: NetworkMeter,
        *,
        idle_seconds: float,
        carried: Carried,
    ) -> None:
        """`carried` sums up what all connections of the plugin passed."""
        self._carried = carried
        self.sent = self.received = 0
        """Bytes to and from the host; of TLS that the broker speaks, what is inside it."""
        self.ending = Ending.REVOKED  # until it ends in its own way
        self.refused: Refused | None = None
        self._client = client
        self._upstream = upstream
        self._meter = meter
        self._idle_seconds = idle_seconds
        self._clock: Final = asyncio.get_running_loop().time
        self._moved_at = self._clock()
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self, request: EgressRequest, *, total_seconds: float) -> None:
        """Until both have ended, or the time, the quota or the plugin's right has."""
        out = self._tunnel_out if request.tunnel else partial(self._request_out, request)
        back = partial(self._back, whole=not request.tunnel)
        try:
            async with asyncio.timeout(total_seconds):
                await self._both(out, back)
                if self.ending is Ending.REVOKED:
                    self.ending = Ending.CLOSED
                await self._hang_up()
        except TimeoutError:
            self.ending = Ending.DEADLINE
        finally:
            self._upstream.writer.transport.abort()

    async def _both(self, *ends: _Way) -> None:
        async with asyncio.TaskGroup() as group:
            ways = [group.create_task(self._way(each)) for each in ends]
            watch = group.create_task(self._watch())
            self._tasks = [*ways, watch]
            await asyncio.wait(ways)
            watch.cancel()

    async def _way(self, way: _Way) -> None:
        try:
            await way()
        except Refused as refused:
            self.refused = refused
            self._stop(Ending.REFUSED)
        except OSError:
            self._stop(Ending.CLOSED)  # one end is gone: nothing of the other's can be delivered

    # -- to the host ----------------------------------------------------------------------------

    async def _tunnel_out(self) -> None:
        while piece := await self._client.reader.some(PIECE_BYTES):
            await self._send(piece)
        if self._upstream.writer.can_write_eof() and not self._upstream.writer.is_closing():
            self._upstream.writer.write_eof()

    async def _request_out(self, request: EgressRequest) -> None:
        await self._send(request.forwarded_head)
        async for piece in self._client.reader.body(request.head):
            await self._send(_chunk(piece) if request.head.chunked else piece)
        if request.head.chunked:
            await self._send(b"0\r\n\r\n")
        if await self._client.reader.wait():
            raise malformed("found a second request before the first one's answer")

    async def _send(self, data: bytes) -> None:
        allowed = self._take(data)
        self.sent += len(allowed)
        self._carried.sent += len(allowed)
        writer = self._upstream.writer
        if writer.is_closing():
            raise ConnectionResetError
        writer.write(allowed)
        await writer.drain()
        self._moved_at = self._clock()
        if len(allowed) < len(data):
            self._stop(Ending.QUOTA)
            await asyncio.sleep(0)  # here it ends

    # -- to the plugin --------------------------------------------------------------------------

    async def _back(self, *, whole: bool) -> None:
        """`whole`: the host's end of file is the end of all; in a tunnel the other way goes on."""
        while piece := await self._upstream.reader.read(PIECE_BYTES):
            allowed = self._take(piece)
            self.received += len(allowed)
            self._carried.received += len(allowed)
            await self._client.send(allowed)
            self._moved_at = self._clock()
            if len(allowed) < len(piece):
                self._stop(Ending.QUOTA)
                return
        if whole:
            self._stop(Ending.CLOSED)
        else:
            self._client.send_eof()

    # -------------------------------------------------------------------------------------------

    def _take(self, data: bytes) -> bytes:
        allowed = self._meter.take(len(data))
        return data if allowed == len(data) else data[:allowed]

    async def _watch(self) -> None:
        """End it when nothing has moved, either way, for too long."""
        while True:
            left = self._moved_at + self._idle_seconds - self._clock()
            if left <= 0:
                break
            await asyncio.sleep(left)
        self._stop(Ending.IDLE)

    def _stop(self, ending: Ending) -> None:
        if self.ending is Ending.REVOKED:
            self.ending = ending
        for task in self._tasks:
            task.cancel()

    async def _hang_up(self) -> None:
        """Let the host have what was sent."""
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(LINGER_SECONDS):
                self._upstream.writer.close()
                await self._upstream.writer.wait_closed()


def _chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)
