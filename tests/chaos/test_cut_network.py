"""The network of a broker is cut in the middle: nothing answers, and nothing says that it ended.

A peer that neither reads nor writes nor closes is what a cable that was pulled looks like.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from orchestrator.sandbox.egress_broker import EgressBounds
from tests.unit.sandbox.broker_house import Raw, until
from tests.unit.sandbox.database_house import benches
from tests.unit.sandbox.egress_house import echo, egress_house, upstream
from tests.unit.sandbox.house import open_files

pytestmark = pytest.mark.chaos
MANY = 20
IDLE_SECONDS = 1.5


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes all, says nothing, and ends when it is left."""
    while await reader.read(65_536):
        pass
    writer.close()


def cut_after_first(cut: asyncio.Event) -> Callable[..., Awaitable[None]]:
    """An echo until `cut`, and silence from then on."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65_536):
            if cut.is_set():
                await silent(reader, writer)
            writer.write(piece)
            await writer.drain()

    return serve


async def test_tunnels_whose_network_was_cut_end_and_new_ones_go_through(tmp_path: Path) -> None:
    cut = asyncio.Event()
    bounds = EgressBounds(idle_seconds=IDLE_SECONDS, burst=10 * MANY)
    async with upstream(cut_after_first(cut)) as far, upstream(echo) as near:
        targets = [f"a.test:{far.port}", f"b.test:{near.port}"]
        async with egress_house(tmp_path, *targets, bounds=bounds) as house:
            before = open_files()
            tunnels = [await house.tunnel(targets[0]) for _ in range(MANY)]
            for raw in tunnels:
                await _says(raw, b"before")
            cut.set()
            for raw in tunnels:
                raw.send(b"after")
            other = await house.tunnel(targets[1])
            await _says(other, b"beside")
            rests = [await raw.rest() for raw in tunnels]
            for raw in (*tunnels, other):
                await raw.close()
            # The far side's ends are the test's own, and stay.
            await until(lambda: open_files() <= before + MANY)
            cut.clear()
            again = await house.tunnel(targets[0])
            await _says(again, b"again")
            await again.close()
            whys = [entry.why for entry in house.auditor.entries]

    assert rests == [b""] * MANY
    assert whys.count("idle") >= MANY


async def _says(raw: Raw, words: bytes) -> None:
    raw.send(words)
    assert await raw.reader.readexactly(len(words)) == words


async def test_a_host_that_swallows_connections_holds_up_no_other(tmp_path: Path) -> None:
    """The connection is never made: SYNs into nowhere, seen as a look-up that never ends."""
    bounds = EgressBounds(resolve_seconds=IDLE_SECONDS, lookups=MANY + 1)
    async with (
        upstream(echo) as near,
        egress_house(tmp_path, f"a.test:{near.port}", bounds=bounds) as house,
    ):
        house.world.hold = asyncio.Event()
        lost = [await Raw.to(house.path) for _ in range(MANY)]
        for raw in lost:
            raw.send(f"CONNECT a.test:{near.port} HTTP/1.1\r\nHost: a.test\r\n\r\n")
        statuses = [(await raw.head())[0] for raw in lost]
        house.world.hold = None
        again = await house.tunnel(f"a.test:{near.port}")
        await _says(again, b"again")
        for raw in (*lost, again):
            await raw.close()

    assert {status // 100 for status in statuses} == {5}


async def test_a_plugin_that_gives_a_silent_database_up_leaves_nothing_open(
    tmp_path: Path,
) -> None:
    async with benches(tmp_path) as start:
        bench = await start(deaf)
        before = open_files()
        for _ in range(MANY):
            _, writer = await bench.dial()
            writer.write(b"SELECT 1")
            await writer.drain()
            writer.close()
        await until(lambda: open_files() <= before)
        refused = bench.audit.codes()

    assert refused == []
