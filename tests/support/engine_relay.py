"""The engine of this machine as one far away: a relay over TCP, which counts what it is asked."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

_REQUEST = re.compile(rb"^(?:GET|POST|DELETE) (\S+) HTTP/1\.1\r\n", re.MULTILINE)


class EngineRelay:
    """It can be cut, and be back at the same port."""

    def __init__(self, path: str = "/var/run/docker.sock") -> None:
        self.asked: list[str] = []
        self._path = path
        self._port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[Self]:
        relay = cls()
        await relay.back()
        try:
            yield relay
        finally:
            await relay.cut()

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self._port}"

    @property
    def streams(self) -> list[str]:
        """The requests for statistics without end."""
        return [path for path in self.asked if "/stats?stream=1" in path]

    @property
    def shots(self) -> list[str]:
        return [path for path in self.asked if "one-shot=" in path]

    async def back(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        while self._writers:  # noqa: ASYNC110 - asyncio's servers give no sign
            await asyncio.sleep(0.01)

    async def _serve(self, near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        far, to_far = await asyncio.open_unix_connection(self._path)
        writers = {to_near, to_far}
        self._writers |= writers
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(near, to_far, asks=True))
                group.create_task(self._pass(far, to_near))
        except* OSError:
            pass  # one end went away
        finally:
            for writer in writers:
                writer.transport.abort()
            self._writers -= writers

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, asks: bool = False
    ) -> None:
        while piece := await reader.read(65_536):
            if asks:
                self.asked += [path.decode() for path in _REQUEST.findall(piece)]
            writer.write(piece)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()
