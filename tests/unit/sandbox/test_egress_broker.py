"""EgressBroker: only granted hosts, only checked addresses, every byte counted, all taken down."""

import asyncio
from ipaddress import ip_address
from pathlib import Path

import pytest

from orchestrator.sandbox.broker import RefusalCode
from orchestrator.sandbox.egress_broker import EgressBounds
from orchestrator.sandbox.egress_uplink import HostUplink
from tests.unit.sandbox.broker_house import Raw, ask, until
from tests.unit.sandbox.egress_house import (
    World,
    connect,
    echo,
    egress_house,
    get,
    upstream,
)

PUBLIC = "93.184.215.14"


# -- what is granted --------------------------------------------------------------------------


async def test_a_tunnel_carries_bytes_both_ways_and_is_taken_down_at_its_end(
    tmp_path: Path,
) -> None:
    async with upstream(echo) as server, egress_house(tmp_path, f"a.test:{server.port}") as house:
        raw = await house.tunnel(f"a.test:{server.port}")
        raw.send(b"x" * 100_000)
        raw.writer.write_eof()
        echoed = await raw.rest()
        await until(lambda: house.auditor.entries)
        [entry] = house.auditor.entries
        await raw.close()

        assert echoed == b"x" * 100_000
        assert house.meter.used() == 200_000
        assert (entry.actor, entry.action, entry.outcome, entry.why) == (
            "plugin:asker",
            "egress",
            "allowed",
            "closed",
        )
        assert {**entry.data, "seconds": 0} == {
            "host": "a.test",
            "port": server.port,
            "address": "127.0.0.1",
            "form": "connect",
            "sent_bytes": 100_000,
            "received_bytes": 100_000,
            "seconds": 0,
        }


async def test_what_is_sent_ahead_of_the_answer_to_connect_reaches_the_host(
    tmp_path: Path,
) -> None:
    async with upstream(echo) as server, egress_house(tmp_path, f"a.test:{server.port}") as house:
        raw = await Raw.to(house.path)
        raw.send(connect(f"a.test:{server.port}") + "early")
        raw.writer.write_eof()

        assert (await raw.head())[0] == 200
        assert await raw.rest() == b"early"
        await raw.close()


async def test_connect_of_http_1_0_without_host_works(tmp_path: Path) -> None:
    async with upstream(echo) as server, egress_house(tmp_path, f"a.test:{server.port}") as house:
        raw = await Raw.to(house.path)
        raw.send(f"CONNECT a.test:{server.port} HTTP/1.0\r\n\r\n")

        assert (await raw.head())[0] == 200
        await raw.close()


async def test_a_plain_request_goes_on_in_the_brokers_own_words(tmp_path: Path) -> None:
    async with upstream() as server, egress_house(tmp_path, f"a.test:{server.port}") as house:
        answer = await ask(
            house.path,
            f"GET http://A.test.:{server.port}/p?q=1 HTTP/1.1\r\nhost: a.TEST:{server.port}\r\n"
            "X-Kept: 1\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic x\r\n"
            "Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\nUpgrade: h2c\r\n"
            "Keep-Alive: 5\r\nTrailer: X\r\nHTTP2-Settings: x\r\n\r\n",
        )
        [head] = server.heard
        await until(lambda: house.auditor.entries)

        assert (answer.status, answer.body) == (200, b"hello")
        assert head.decode().split("\r\n") == [
            "GET /p?q=1 HTTP/1.1",
            f"Host: a.test:{server.port}",
            "X-Kept: 1",
            "Connection: close",
            "",
            "",
        ]
        entry = house.auditor.entries[0].data
        received = len(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        assert (entry["form"], entry["sent_bytes"]) == ("http", len(head))
        assert entry["received_bytes"] == received
        assert house.meter.used() == len(head) + received


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_arrives_whole_in_either_framing(tmp_path: Path, *, chunked: bool) -> None:
    body = bytes(range(256)) * 1_000

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        found = b""
        if chunked:
            while size := int(await reader.readline(), 16):
                found += await reader.readexactly(size)
                await reader.readexactly(2)
        else:
            found = await reader.readexactly(len(body))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(found), found))
        await writer.drain()

    async with upstream(take) as server, egress_house(tmp_path, f"a.test:{server.port}") as house:
        url = f"http://a.test:{server.port}/"
        raw = await Raw.to(house.path)
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
        raw.send(f"POST {url} HTTP/1.1\r\nHost: a.test:{server.port}\r\n{framing}\r\n\r\n")
        for start in range(0, len(body), 50_000):
            piece = body[start : start + 50_000]
            raw.send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        raw.send(b"0\r\n\r\n" if chunked else b"")

        assert (await raw.answer()).body == body
        await raw.close()


async def test_a_redirect_is_the_plugins_to_follow(tmp_path: Path) -> None:
    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 302 F\r\nLocation: http://evil.test/\r\nContent-Length: 0\r\n\r\n")

    async with (
        upstream(redirect) as server,
        egress_house(tmp_path, f"a.test:{server.port}") as house,
    ):
        answer = await ask(house.path, get(f"http://a.test:{server.port}/"))

        assert (answer.status, answer.headers["location"]) == (302, "http://evil.test/")
        assert house.world.looked_up == ["a.test"]


# -- what is not ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_text", "code", "data"),
    [
        (connect("evil.test:443"), "host_not_allowed", {"host": "evil.test", "port": 443}),
        (connect("a.test:444"), "host_not_allowed", {"host": "a.test", "port": 444}),
        (connect("127.0.0.1:443"), "ip_literal_refused", {"host": "127.0.0.1", "port": 443}),
        (connect("[::1]:443"), "ip_literal_refused", {"host": "::1", "port": 443}),
        (connect("0x7f.1:443"), "ip_literal_refused", {"host": "0x7f.1", "port": 443}),
        (connect("u@a.test:443"), "host_malformed", {"host": "'u@a.test:443'"}),
        (get("http://evil.test/"), "host_not_allowed", {"host": "evil.test", "port": 80}),
        (get("http://a.test:443@evil.test/"), "host_malformed", None),
        (get("http://2130706433/"), "ip_literal_refused", None),
    ],
)
async def test_a_host_that_is_not_granted_is_refused_audited_and_not_even_looked_up(
    tmp_path: Path, request_text: str, code: str, data: dict[str, object] | None
) -> None:
    async with egress_house(tmp_path, "a.test:443", "a.test:80") as house:
        answer = await ask(house.path, request_text)
        [entry] = house.auditor.entries

        assert (answer.status, answer.code) == (403, code)
        assert answer.headers["content-type"] == "application/problem+json"
        assert (entry.action, entry.outcome) == ("egress", "refused")
        assert data is None or dict(entry.data) == {"code": code, **data}
        assert (house.world.looked_up, house.world.connected) == ([], [])
        assert house.broker.refusals[RefusalCode(code)] == 1


async def test_a_name_that_leads_inside_is_refused(tmp_path: Path) -> None:
    async with (
        upstream() as server,
        egress_house(tmp_path, f"a.test:{server.port}", allowed_private=()) as house,
    ):
        answers = [
            await ask(house.path, connect(f"a.test:{server.port}")),
            await ask(house.path, get(f"http://a.test:{server.port}/")),
        ]

        assert [a.code for a in answers] == ["address_refused"] * 2
        assert (server.connections, house.world.connected) == (0, [])
        assert house.auditor.entries[0].data["address"] == "127.0.0.1"


@pytest.mark.parametrize(
    "inside", ["10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fe80::1%eth0", "0.0.0.1"]
)
async def test_one_address_inside_among_public_ones_refuses_the_name(
    tmp_path: Path, inside: str
) -> None:
    world = World(names={"a.test": [[PUBLIC, inside]]})
    async with egress_house(tmp_path, "a.test:443", world=world, allowed_private=()) as house:
        answer = await ask(house.path, connect("a.test:443"))

        assert answer.code == "address_refused"
        assert world.connected == []


async def test_the_address_that_was_checked_is_the_one_connected_to(tmp_path: Path) -> None:
    """DNS rebinding: the second answer would be 10.0.0.1."""
    world = World(names={"a.test": [[PUBLIC], ["10.0.0.1"]]})
    async with (
        upstream(echo) as server,
        egress_house(tmp_path, f"a.test:{server.port}", world=world) as house,
    ):
        raw = await house.tunnel(f"a.test:{server.port}")
        await raw.close()
        again = await ask(house.path, connect(f"a.test:{server.port}"))

        assert world.connected == [PUBLIC]
        assert world.looked_up == ["a.test", "a.test"]
        assert again.code == "address_refused"


async def test_this_machines_own_public_address_is_refused(tmp_path: Path) -> None:
    world = World(names={"a.test": [[PUBLIC]]}, own={PUBLIC})
    async with egress_house(tmp_path, "a.test:443", world=world) as house:
        answer = await ask(house.path, connect("a.test:443"))

        assert (answer.code, world.connected) == ("address_refused", [])


def test_the_machine_knows_its_own_addresses() -> None:
    uplink = HostUplink()

    assert uplink.is_own(ip_address("127.0.0.1"))
    assert not uplink.is_own(ip_address(PUBLIC))


async def test_a_granted_address_is_still_checked(tmp_path: Path) -> None:
    async with egress_house(tmp_path, "127.0.0.1:443", allowed_private=()) as house:
        assert (await ask(house.path, connect("127.0.0.1:443"))).code == "address_refused"


async def test_a_granted_address_within_a_named_network_is_reached(tmp_path: Path) -> None:
    async with upstream() as server, egress_house(tmp_path, f"127.0.0.1:{server.port}") as house:
        answer = await ask(house.path, get(f"http://127.0.0.1:{server.port}/"))

        assert (answer.status, house.world.looked_up) == (200, [])


async def test_the_hosts_own_resolver_gives_addresses() -> None:
    assert "127.0.0.1" in await HostUplink().resolve("localhost", 80)


# -- failures ---------------------------------------------------------------------------------


async def test_an_unknown_name_is_told_apart_from_a_refused_one(tmp_path: Path) -> None:
    world = World(names={"a.test": [["none"]], "b.test": [[]]})
    async with egress_house(tmp_path, "a.test:443", "b.test:443", world=world) as house:
        answers = [await ask(house.path, connect(f"{name}.test:443")) for name in "ab"]

        assert [(a.status, a.code) for a in answers] == [(502, "name_not_resolved")] * 2
        assert [entry.outcome for entry in house.auditor.entries] == ["failed"] * 2


async def test_a_resolver_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    world = World(hold=asyncio.Event())
    bounds = EgressBounds(resolve_seconds=0.1)
    async with egress_house(tmp_path, "a.test:443", world=world, bounds=bounds) as house:
        assert (await ask(house.path, connect("a.test:443"))).code == "name_not_resolved"


async def test_a_host_that_takes_no_connection_is_a_bad_gateway(tmp_path: Path) -> None:
    async with upstream() as server:
        port = server.port
    async with egress_house(tmp_path, f"a.test:{port}") as house:
        answer = await ask(house.path, connect(f"a.test:{port}"))

        assert (answer.status, answer.code) == (502, "connect_failed")
