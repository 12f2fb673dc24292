"""Relay: carries bytes between addresses; the only way into and out of the stack's network.

Run inside containers as `python3 -I -c SOURCE LISTEN=CONNECT …`, so the standard library is all
that it may use. An address is `tcp:HOST:PORT` or `unix:PATH`.

Who listens on `page:HOST:PORT` lets in only what asks for this machine by its address: neither
Prometheus nor Grafana looks at Host, and a web page of a name that was made to point here (DNS
rebinding) could read all that they know.
"""

import asyncio
import contextlib
import ipaddress
import os
import signal
import sys

MOST = 128
"""Connections at one time, of each pair; more are closed unheard."""
PIECE = 65_536
CONNECT_SECONDS = 5.0
HEAD_SECONDS = 30.0
"""Browsers open connections ahead of what they ask for."""
REFUSAL = (
    b"HTTP/1.1 421 \r\nContent-Type: text/plain\r\nContent-Length: 40\r\nConnection: close\r\n\r\n"
    b"expected this machine's address as Host\n"
)
IDLE_SECONDS = 600.0
"""A connection on which nothing passes for so long, either way, is closed."""


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction, until its end is reached; then the other side is told."""
    while piece := await reader.read(PIECE):
        writer.write(piece)
        await writer.drain()
    with contextlib.suppress(OSError, RuntimeError):
        writer.write_eof()


def place(text: str) -> tuple[str, int]:
    """`127.0.0.1:80` or `[::1]:80`."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def is_ours(head: bytes) -> bool:
    """Whether every Host of a request is an address or `localhost`; a browser sends one."""
    rows = (row.partition(":") for row in head.decode("latin-1").split("\r\n")[1:])
    hosts = [value.strip().lower() for name, _, value in rows if name.strip().lower() == "host"]
    return bool(hosts) and all(map(is_address, hosts))


def is_address(host: str) -> bool:
    """With or without a port."""
    name, _, port = host.rpartition(":")
    name = name if port.isdecimal() else host
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
        return True
    return name == "localhost"


class Pair:
    """Whoever connects here is connected there."""

    def __init__(self, listen: str, connect: str) -> None:
        self.listen, self.connect = listen, connect
        self.open = 0

    async def start(self) -> asyncio.AbstractServer:
        kind, _, rest = self.listen.partition(":")
        if kind == "unix":
            with contextlib.suppress(FileNotFoundError):
                os.unlink(rest)  # noqa: PTH108 - its predecessor's; pathlib costs memory here
            return await asyncio.start_unix_server(self.serve, rest)
        return await asyncio.start_server(self.serve, *place(rest))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The task is the server's."""
        if self.open >= MOST:
            writer.transport.abort()
            return
        self.open += 1
        other = None
        try:
            head = await self.admitted(reader, writer)
            if head is None:
                return
            async with asyncio.timeout(CONNECT_SECONDS):
                there, other = await self.dial()
            other.write(head)
            await self.both(Idle(reader), writer, Idle(there), other)
        except OSError:  # a TimeoutError is one
            pass
        finally:
            self.open -= 1
            for each in (writer, other):
                if each is not None:
                    each.transport.abort()

    async def admitted(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bytes | None:
        """What was read of one that may come in. The first request's Host is a connection's."""
        if not self.listen.startswith("page:"):
            return b""
        async with asyncio.timeout(HEAD_SECONDS):
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                return None
            if is_ours(head):
                return head
            writer.write(REFUSAL)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        return None

    async def dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        kind, _, rest = self.connect.partition(":")
        if kind == "unix":
            return await asyncio.open_unix_connection(rest)
        return await asyncio.open_connection(*place(rest))

    async def both(
        self,
        here: "Idle",
        writer: asyncio.StreamWriter,
        there: "Idle",
        other: asyncio.StreamWriter,
    ) -> None:
        here.twin, there.twin = there, here
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(carry(here, other))  # type: ignore[arg-type]
                group.create_task(carry(there, writer))  # type: ignore[arg-type]
        except* OSError:
            pass
        async with asyncio.timeout(IDLE_SECONDS):  # what is still to be sent is sent
            for each in (writer, other):
                each.close()
                with contextlib.suppress(OSError):
                    await each.wait_closed()


class Idle:
    """A reader that gives up once neither it nor its twin has had anything for too long."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self.reader = reader
        self.twin = self
        self.heard = asyncio.get_running_loop().time()

    async def read(self, most: int) -> bytes:
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    piece = await self.reader.read(most)
            except TimeoutError:
                if loop.time() - self.twin.heard >= IDLE_SECONDS:
                    raise
            else:
                self.heard = loop.time()
                return piece


async def main(pairs: list[str]) -> None:
    """Until SIGTERM. An address that is taken ends it, with the reason on standard error."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    for text in pairs:
        listen, _, connect = text.partition("=")
        try:
            await Pair(listen, connect).start()
        except OSError as error:
            sys.exit(f"{listen.partition(':')[2]}: {os.strerror(error.errno or 0)}")
    await stop.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
