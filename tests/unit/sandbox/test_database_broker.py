"""The database broker: what passes, what is told, and what ends it."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.model.audit import AuditAction, AuditEntry, AuditOutcome
from orchestrator.model.databases import TcpAddress, UnixAddress
from orchestrator.sandbox.database_broker import DatabaseLimits
from tests.unit.sandbox.broker_house import SECONDS, until
from tests.unit.sandbox.database_house import Open, Swallow, benches, echo, ended


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Open]:
    async with benches(tmp_path) as opened:
        yield opened


async def test_bytes_go_both_ways_unchanged(bench: Open) -> None:
    made = await bench(echo)
    reader, writer = await made.dial()
    sent = bytes(range(256)) * 4_096

    async def send() -> None:
        writer.write(sent)
        await writer.drain()
        writer.write_eof()

    async with asyncio.timeout(SECONDS), asyncio.TaskGroup() as group:
        group.create_task(send())
        came = await reader.read(-1)
    writer.close()

    assert came == sent


async def test_a_connection_is_told_with_its_bytes_when_it_ends(bench: Open) -> None:
    made = await bench(echo)
    reader, writer = await made.dial()
    writer.write(b"hello")
    await reader.readexactly(5)
    writer.close()
    [entry] = await made.told()

    assert entry == AuditEntry(
        at=1_000.0,
        actor="plugin:reader",
        action=AuditAction.DATABASE,
        outcome=AuditOutcome.ALLOWED,
        plugin_id="reader",
        why="granted by database_access",
        data={"database": "main", "connections": 1, "sent_bytes": 5, "received_bytes": 5},
    )
    assert made.meter.used() == 10


async def test_the_last_answer_comes_after_the_plugin_has_said_its_all(bench: Open) -> None:
    async def answer_at_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.read(-1)
        writer.write(b"you said " + asked)
        writer.close()

    made = await bench(answer_at_the_end)
    reader, writer = await made.dial()
    writer.write(b"bye")
    writer.write_eof()
    async with asyncio.timeout(SECONDS):
        came = await reader.read(-1)
    writer.close()

    assert came == b"you said bye"


async def test_a_database_that_is_down_is_a_failure_in_the_log(bench: Open, tmp_path: Path) -> None:
    made = await bench(address=UnixAddress(path=str(tmp_path / "nowhere")))
    reader, writer = await made.dial()
    came = await ended(reader)
    writer.transport.abort()
    [entry] = await made.told()

    assert came == b""
    assert (entry.action, entry.outcome) == (AuditAction.DATABASE, AuditOutcome.FAILED)
    assert entry.data == {"code": "connect_failed", "database": "main"}


async def test_a_database_that_does_not_answer_is_given_up(bench: Open) -> None:
    """A listener whose queue is full lets further connects hang, as a filtered port does."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)  # noqa: FBT003 - the socket API's own
            with contextlib.suppress(BlockingIOError):
                filler.connect(listener.getsockname())
        made = await bench(
            address=TcpAddress(host="127.0.0.1", port=listener.getsockname()[1]),
            limits=DatabaseLimits(connect_seconds=0.2),
        )
        reader, writer = await made.dial()
        came = await ended(reader)
        writer.transport.abort()
        [entry] = await made.told()

    assert came == b""
    assert "no answer within 0.2 s" in entry.why


async def test_close_ends_every_connection_and_takes_the_socket_away(bench: Open) -> None:
    swallow = Swallow()
    made = await bench(swallow)
    reader, writer = await made.dial()
    writer.write(b"abc")
    async with asyncio.timeout(SECONDS):
        while not made.meter.used():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
    made.broker.close()
    made.broker.close()
    came = await ended(reader)
    async with asyncio.timeout(SECONDS):
        await swallow.ended.wait()
    writer.transport.abort()

    assert came == b""
    assert not made.socket.exists()
    with pytest.raises(OSError, match="No such file"):
        await made.dial()
    [entry] = await made.told()
    assert entry.data["sent_bytes"] == 3


async def test_a_connection_in_the_making_ends_with_close_too(bench: Open) -> None:
    made = await bench(echo)
    dialled = [await made.dial() for _ in range(3)]
    made.broker.close()
    came = [await ended(reader) for reader, _ in dialled]
    for _, writer in dialled:
        writer.transport.abort()
    await until(lambda: not made.broker.connections)

    assert came == [b""] * 3


async def test_it_opens_again_after_close_and_over_what_a_killed_daemon_left(
    bench: Open,
) -> None:
    made = await bench(echo)
    made.broker.close()
    made.socket.touch()
    await made.broker.open(made.folder)
    reader, writer = await made.dial()
    writer.write(b"a")
    came = await reader.readexactly(1)
    writer.transport.abort()

    assert came == b"a"


async def test_the_plugins_user_may_pass_the_folders_and_dial(bench: Open) -> None:
    made = await bench(echo)
    modes = [it.stat().st_mode & 0o777 for it in (*list(made.socket.parents)[:2], made.socket)]

    assert modes == [0o755, 0o755, 0o666]


async def test_all_of_a_last_answer_comes_however_late_it_is_read(bench: Open) -> None:
    """What the sockets' buffers do not hold waits in the broker when the database hangs up."""

    async def answer_at_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int(await reader.read(-1))
        writer.write(b"z" * size)
        writer.close()

    made = await bench(answer_at_the_end)
    sizes = list(range(100_000, 600_000, 25_000))  # the buffers' size is the kernel's secret
    came = []
    for size in sizes:
        reader, writer = await made.dial()
        writer.transport.pause_reading()
        writer.write(str(size).encode())
        writer.write_eof()
        await asyncio.sleep(0.02)
        writer.transport.resume_reading()
        came.append(len(await ended(reader)))
        writer.close()

    assert came == sizes


async def test_close_tells_of_connections_that_stand(bench: Open) -> None:
    """At once: the daemon may end before their tasks do."""
    made = await bench(echo)
    dialled = [await made.dial() for _ in range(2)]
    for reader, writer in dialled:
        writer.write(b"abc")
        await reader.readexactly(3)
    made.broker.close()
    told = [entry.data for entry in made.audit.entries]
    for _, writer in dialled:
        writer.transport.abort()
    await until(lambda: not made.broker.connections)

    assert (
        told == [{"database": "main", "connections": 1, "sent_bytes": 3, "received_bytes": 3}] * 2
    )
    assert len(made.audit.entries) == 2
