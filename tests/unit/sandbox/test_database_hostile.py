"""What a hostile plugin does to its database sockets: floods, endless bytes, half-open ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.model.audit import AuditAction, AuditOutcome
from orchestrator.model.databases import UnixAddress
from orchestrator.sandbox.database_broker import DatabaseLimits
from tests.unit.sandbox.broker_house import SECONDS, until
from tests.unit.sandbox.database_house import Open, Swallow, asleep, benches, echo, ended


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Open]:
    async with benches(tmp_path) as opened:
        yield opened


async def test_the_quota_cuts_at_the_byte(bench: Open) -> None:
    swallow = Swallow()
    made = await bench(swallow, quota=100_000)
    reader, writer = await made.dial()
    async with asyncio.timeout(SECONDS):
        with contextlib.suppress(ConnectionError):
            for _ in range(300):
                writer.write(b"x" * 1_000)
                await writer.drain()
            await reader.read(-1)
        await swallow.ended.wait()
    writer.transport.abort()
    entries = await made.told(2)

    assert swallow.bytes == made.meter.used() == 100_000
    assert {entry.action for entry in entries} == {AuditAction.DATABASE, AuditAction.QUOTA}


async def test_what_the_database_says_counts_as_well(bench: Open) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(b"y" * 50_000)
            await writer.drain()
            await reader.read(-1)
        writer.transport.abort()

    made = await bench(talk, quota=20_000)
    reader, writer = await made.dial()
    came = bytearray()
    async with asyncio.timeout(SECONDS):
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(1 << 16):
                came += chunk
    writer.transport.abort()

    assert len(came) == 20_000


async def test_nothing_is_dialled_without_quota(bench: Open) -> None:
    swallow = Swallow()
    made = await bench(swallow, quota=0)
    reader, writer = await made.dial()
    came = await ended(reader)
    writer.transport.abort()

    assert came == b""
    assert not swallow.ended.is_set()
    assert [entry.action for entry in await made.told()] == [AuditAction.QUOTA]


async def test_a_database_that_does_not_listen_holds_the_plugin_back(bench: Open) -> None:
    made = await bench(asleep)
    _, writer = await made.dial()
    writer.transport.set_write_buffer_limits(high=0)
    accepted = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.5):
            while True:
                writer.write(b"z" * 65_536)
                await writer.drain()
                accepted += 65_536
    writer.transport.abort()

    # Two sockets' buffers of the kernel's, and the relay's own few chunks.
    assert accepted < 2_000_000


async def test_more_connections_than_the_limit_are_hung_up_on(bench: Open) -> None:
    made = await bench(echo, limits=DatabaseLimits(connections=2))
    first, second = await made.dial(), await made.dial()
    for reader, writer in (first, second):
        writer.write(b"a")
        await reader.readexactly(1)
    third = await made.dial()
    refused = await ended(third[0])
    first[1].write(b"b")
    still = await first[0].readexactly(1)
    second[1].close()
    await made.told(2)
    again = await made.dial()
    again[1].write(b"c")
    came = await again[0].readexactly(1)
    for _, writer in (first, second, third, again):
        writer.transport.abort()

    assert (refused, still, came) == (b"", b"b", b"c")
    assert made.audit.entries[0].data["code"] == "too_many_connections"


async def test_a_flood_of_connections_is_slowed_and_told_in_sums(bench: Open) -> None:
    made = await bench(echo, limits=DatabaseLimits(connects_per_second=1, connects_burst=40))
    for _ in range(50):
        reader, writer = await made.dial()
        writer.write(b"a")
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readexactly(1)
        writer.transport.abort()
    async with asyncio.timeout(SECONDS):
        while made.broker.connections:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
    made.broker.close()
    allowed = [entry for entry in made.audit.entries if entry.outcome is AuditOutcome.ALLOWED]
    refused = [entry for entry in made.audit.entries if entry.outcome is AuditOutcome.REFUSED]

    assert sum(int(str(entry.data["connections"])) for entry in allowed) == 40
    assert len(allowed) == 21
    assert allowed[-1].data["times"] == 20
    assert sum(int(str(entry.data.get("times", 1))) for entry in refused) == 10
    assert len(refused) == 1


async def test_a_plugin_that_dials_a_dead_database_without_end_is_told_in_sums(
    bench: Open, tmp_path: Path
) -> None:
    made = await bench(address=UnixAddress(path=str(tmp_path / "nowhere")))
    for _ in range(30):
        reader, writer = await made.dial()
        await ended(reader)
        writer.transport.abort()
    await until(lambda: not made.broker.connections)
    made.broker.close()
    times = [entry.data.get("times", 1) for entry in made.audit.entries]

    assert times == [1, 29]


async def test_an_end_that_is_half_closed_and_never_read_ends_with_close(bench: Open) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"y" * 65_536)
                await writer.drain()

    made = await bench(talk)
    _, writer = await made.dial()
    writer.transport.pause_reading()
    writer.write_eof()
    await until(lambda: made.meter.used() > 0)
    made.broker.close()
    await until(lambda: not made.broker.connections)
    writer.transport.abort()
    [entry] = made.audit.entries

    assert entry.data["received_bytes"] == made.meter.used()
