"""An egress broker on a real socket, an upstream on 127.0.0.1, and a net in between."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

from orchestrator.sandbox.egress_addresses import Address
from orchestrator.sandbox.egress_broker import EGRESS_SOCKET, EgressBounds, EgressBroker
from orchestrator.sandbox.egress_policy import EgressRules, Injection
from orchestrator.sandbox.egress_uplink import HostUplink
from orchestrator.sandbox.meter import NetworkMeter
from tests.unit.sandbox.broker_house import MemoryAuditor, Raw, SlowClock

LOOPBACK = ("127.0.0.1/32",)
MEBIBYTE = 1 << 20

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class World(HostUplink):
    """Names as the test has them; every connection ends at 127.0.0.1, and is remembered."""

    names: dict[str, list[list[str]]] = field(default_factory=dict)
    """Name → its answers, one a lookup; the last one stays."""
    looked_up: list[str] = field(default_factory=list)
    connected: list[str] = field(default_factory=list)
    context: ssl.SSLContext | None = None
    own: set[str] = field(default_factory=set)
    hold: asyncio.Event | None = None

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        self.looked_up.append(host)
        if self.hold is not None:
            await self.hold.wait()
        answers = self.names.get(host, [["127.0.0.1"]])
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        if found == ["none"]:
            raise OSError(-2, "Name or service not known")
        return found

    async def connect(self, address: Address, port: int) -> socket.socket:
        self.connected.append(str(address))
        return await super().connect(IPv4Address("127.0.0.1"), port)

    def is_own(self, address: Address) -> bool:
        return str(address) in self.own

    def tls(self) -> ssl.SSLContext:
        return self.context or super().tls()


@dataclass
class Upstream:
    """A server that remembers what came, and answers as it is told."""

    port: int
    heard: list[bytes] = field(default_factory=list)
    connections: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)


@asynccontextmanager
async def upstream(
    serve: Serve | None = None, *, context: ssl.SSLContext | None = None
) -> AsyncIterator[Upstream]:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.connections += 1
        made.writers.append(writer)
        try:
            await (serve or answering)(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        made.heard.append(head)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        await writer.drain()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    made = Upstream(server.sockets[0].getsockname()[1])
    try:
        yield made
    finally:
        server.close()
        for writer in made.writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What comes goes back, the end of file too."""
    while piece := await reader.read(65_536):
        writer.write(piece)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


@dataclass
class EgressHouse:
    path: Path
    broker: EgressBroker
    world: World
    meter: NetworkMeter
    auditor: MemoryAuditor
    clock: SlowClock

    async def tunnel(self, target: str) -> Raw:
        """A tunnel that was let through."""
        raw = await Raw.to(self.path)
        raw.send(connect(target))
        status, _ = await raw.head()
        assert status == 200
        return raw


@asynccontextmanager
async def egress_house(
    folder: Path,
    *hosts: str,
    world: World | None = None,
    allowed_private: tuple[str, ...] = LOOPBACK,
    inject: dict[str, Injection] | None = None,
    limit_bytes: int = MEBIBYTE,
    bounds: EgressBounds | None = None,
) -> AsyncIterator[EgressHouse]:
    world, auditor, clock = world or World(), MemoryAuditor(), SlowClock()
    meter = NetworkMeter(limit_bytes=limit_bytes, window_seconds=3_600, now=clock.now)
    broker = EgressBroker(
        plugin_id="asker",
        rules=EgressRules.of(hosts=hosts, allowed_private=allowed_private, inject=inject or {}),
        meter=meter,
        auditor=auditor,
        clock=clock,
        uplink=world,
        bounds=bounds,
    )
    await broker.open(folder)
    try:
        yield EgressHouse(folder / EGRESS_SOCKET, broker, world, meter, auditor, clock)
    finally:
        broker.close()
        await asyncio.sleep(0.02)


def connect(target: str) -> str:
    return f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"


def get(url: str, headers: str = "") -> str:
    host = url.removeprefix("http://").partition("/")[0]
    return f"GET {url} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n"
