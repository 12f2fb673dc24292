"""A database broker before databases that say and swallow what a test tells them to."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.model.audit import AuditEntry
from orchestrator.model.databases import DatabaseAddress, DatabaseKind, UnixAddress
from orchestrator.sandbox.database_broker import DatabaseBroker, DatabaseLimits
from orchestrator.sandbox.database_target import DatabaseTarget
from orchestrator.sandbox.meter import NetworkMeter
from tests.unit.conftest import FakeClock
from tests.unit.sandbox.broker_house import SECONDS, MemoryAuditor, until

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(kw_only=True)
class Bench:
    """A broker for the database `main`, its folder, and what it told."""

    folder: Path
    audit: MemoryAuditor
    meter: NetworkMeter
    broker: DatabaseBroker

    @property
    def socket(self) -> Path:
        return self.folder / "db" / "main" / ".s.PGSQL.5432"

    async def dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(str(self.socket))

    async def told(self, count: int = 1) -> list[AuditEntry]:
        await until(lambda: len(self.audit.entries) >= count)
        return self.audit.entries


Open = Callable[..., Awaitable[Bench]]


@contextlib.asynccontextmanager
async def benches(folder: Path) -> AsyncIterator[Open]:
    """Opens brokers before a database that `handler` plays, or before `address`."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(
            handler: Handler | None = None,
            *,
            address: DatabaseAddress | None = None,
            quota: int = 1 << 30,
            limits: DatabaseLimits | None = None,
        ) -> Bench:
            if handler is not None:
                server = await asyncio.start_unix_server(handler, str(folder / "database"))
                stack.callback(server.close)
            clock, audit = FakeClock(), MemoryAuditor()
            meter = NetworkMeter(limit_bytes=quota, window_seconds=3_600, now=clock.now)
            main = DatabaseTarget(
                name="main",
                kind=DatabaseKind.POSTGRESQL,
                address=address or UnixAddress(path=str(folder / "database")),
            )
            broker = DatabaseBroker(
                plugin_id="reader",
                targets=(main,),
                meter=meter,
                auditor=audit,
                clock=clock,
                limits=limits,
            )
            await broker.open(folder / "sockets")
            stack.callback(broker.close)
            return Bench(folder=folder / "sockets", audit=audit, meter=meter, broker=broker)

        yield start
    # Connections end by tasks of their servers' own: none may outlive its test's loop.
    await until(lambda: len(asyncio.all_tasks()) == 1)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(1 << 16):
        writer.write(chunk)
        await writer.drain()
    writer.close()


async def asleep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes nothing off, says nothing, and goes with its peer."""
    with contextlib.suppress(ConnectionError):
        await asyncio.sleep(1)
    writer.transport.abort()


class Swallow:
    """Counts what comes."""

    def __init__(self) -> None:
        self.bytes = 0
        self.ended = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(1 << 16):
                self.bytes += len(chunk)
        self.ended.set()
        writer.close()


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What came until the broker hung up."""
    async with asyncio.timeout(SECONDS):
        try:
            return await reader.read(-1)
        except ConnectionError:
            return b""
