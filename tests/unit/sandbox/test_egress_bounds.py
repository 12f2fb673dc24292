"""EgressBroker: the quota to the byte, back-pressure, deadlines, caps, and the end of it all."""

import asyncio
from pathlib import Path

from orchestrator.sandbox.egress_broker import EgressBounds
from tests.unit.sandbox.broker_house import Raw, ask, until
from tests.unit.sandbox.egress_house import connect, echo, egress_house, get, upstream

# -- the quota --------------------------------------------------------------------------------


async def test_a_tunnel_is_cut_at_the_byte_on_the_way_back(tmp_path: Path) -> None:
    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"x" * 10_007)
            await writer.drain()

    async with (
        upstream(pour) as server,
        egress_house(tmp_path, f"a.test:{server.port}", limit_bytes=123_457) as house,
    ):
        raw = await house.tunnel(f"a.test:{server.port}")
        poured = await raw.rest()
        await raw.close()
        await until(lambda: len(house.auditor.entries) == 2)
        refused = await ask(house.path, connect(f"a.test:{server.port}"))
        plain = await ask(house.path, get(f"http://a.test:{server.port}/"))

        assert (len(poured), house.meter.used()) == (123_457, 123_457)
        allowed, quota = house.auditor.entries
        assert (allowed.why, allowed.data["received_bytes"]) == ("quota", 123_457)
        assert (quota.action, quota.outcome, quota.data["code"], quota.data["host"]) == (
            "quota",
            "refused",
            "quota_exceeded",
            "a.test",
        )
        assert [(a.status, a.code) for a in (refused, plain)] == [(429, "quota_exceeded")] * 2
        assert 3_600 <= int(refused.headers["retry-after"]) <= 3_661
        house.clock.ahead += 3_661
        raw = await house.tunnel(f"a.test:{server.port}")
        await raw.close()


async def test_a_tunnel_is_cut_at_the_byte_on_the_way_out(tmp_path: Path) -> None:
    heard = bytearray()
    ended = asyncio.Event()

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65_536):
            heard.extend(piece)
        ended.set()

    async with (
        upstream(swallow) as server,
        egress_house(tmp_path, f"a.test:{server.port}", limit_bytes=100_003) as house,
    ):
        raw = await house.tunnel(f"a.test:{server.port}")
        raw.send(b"x" * 300_000)
        await raw.rest()
        async with asyncio.timeout(5):
            await ended.wait()
        await raw.close()

        assert (len(heard), house.meter.used()) == (100_003, 100_003)


# -- bounds -----------------------------------------------------------------------------------


async def test_a_slow_reader_holds_the_host_back(tmp_path: Path) -> None:
    poured = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal poured
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()
            poured += 65_536

    limit = 1 << 30
    async with (
        upstream(pour) as server,
        egress_house(tmp_path, f"a.test:{server.port}", limit_bytes=limit) as house,
    ):
        raw = await house.tunnel(f"a.test:{server.port}")
        raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(0.5)
        before = poured
        await asyncio.sleep(0.3)

        assert poured - before < 1 << 20
        assert house.meter.used() < 8 << 20
        await raw.close()


async def test_an_idle_tunnel_ends_and_a_busy_one_does_not(tmp_path: Path) -> None:
    bounds = EgressBounds(idle_seconds=0.3)
    async with (
        upstream(echo) as server,
        egress_house(tmp_path, f"a.test:{server.port}", bounds=bounds) as house,
    ):
        raw = await house.tunnel(f"a.test:{server.port}")
        for _ in range(6):
            raw.send(b"x")
            assert await raw.reader.readexactly(1) == b"x"
            await asyncio.sleep(0.1)
        assert await raw.rest() == b""
        await until(lambda: house.auditor.entries)
        await raw.close()

        assert house.auditor.entries[0].why == "idle"


async def test_bytes_of_one_way_alone_keep_a_tunnel_alive(tmp_path: Path) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(8):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.1)

    bounds = EgressBounds(idle_seconds=0.4)
    async with (
        upstream(drip) as server,
        egress_house(tmp_path, f"a.test:{server.port}", bounds=bounds) as house,
    ):
        raw = await house.tunnel(f"a.test:{server.port}")

        assert await raw.rest() == b"x" * 8
        await raw.close()


async def test_no_connection_outlives_its_total_deadline(tmp_path: Path) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    bounds = EgressBounds(total_seconds=0.2)
    async with (
        upstream(drip) as server,
        egress_house(tmp_path, f"a.test:{server.port}", bounds=bounds) as house,
    ):
        raw = await house.tunnel(f"a.test:{server.port}")
        await raw.rest()
        await until(lambda: house.auditor.entries)
        await raw.close()

        assert house.auditor.entries[0].why == "deadline"


async def test_a_request_that_dawdles_is_ended(tmp_path: Path) -> None:
    async with egress_house(tmp_path, "a.test:443", bounds=EgressBounds(head_seconds=0.1)) as house:
        raw = await Raw.to(house.path)
        raw.send("CONNECT a.t")

        assert (await raw.answer()).code == "request_timeout"
        await raw.close()


async def test_connections_and_requests_are_capped(tmp_path: Path) -> None:
    bounds = EgressBounds(max_connections=1, requests_per_second=0.001, burst=2)
    async with (
        upstream(echo) as server,
        egress_house(tmp_path, f"a.test:{server.port}", bounds=bounds) as house,
    ):
        raw = await house.tunnel(f"a.test:{server.port}")
        assert (await ask(house.path, connect("a.test:1"))).code == "too_many_connections"
        await raw.close()
        await until(lambda: not house.broker._server._running)
        assert (await ask(house.path, connect("b.test:1"))).code == "host_not_allowed"
        assert (await ask(house.path, connect("b.test:1"))).code == "rate_limited"


async def test_a_revoke_cuts_tunnels_at_once_and_takes_the_socket_away(tmp_path: Path) -> None:
    async with upstream(echo) as server, egress_house(tmp_path, f"a.test:{server.port}") as house:
        raw = await house.tunnel(f"a.test:{server.port}")
        raw.send(b"x")
        await raw.reader.readexactly(1)

        house.broker.close()
        async with asyncio.timeout(0.5):
            assert await raw.rest() == b""
            await until(lambda: house.auditor.entries)
        assert not house.path.exists()
        assert (house.auditor.entries[0].why, house.auditor.entries[0].data["sent_bytes"]) == (
            "revoked",
            1,
        )
        await raw.close()
