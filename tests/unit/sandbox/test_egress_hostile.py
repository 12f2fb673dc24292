"""EgressBroker against header tricks: what reaches the host is what was understood, or nothing."""

import asyncio
from pathlib import Path

import pytest

from tests.unit.sandbox.broker_house import Raw, ask, until
from tests.unit.sandbox.egress_house import echo, egress_house, upstream

HOST = "Host: a.test:{port}\r\n"
URL = "http://a.test:{port}/"
POST = f"POST {URL} HTTP/1.1\r\n{HOST}"
CHUNKED = f"{POST}Transfer-Encoding: chunked\r\n\r\n"

SMUGGLED = [
    # Framing in two ways.
    (POST + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (POST + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
    (POST + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400),
    (POST + "Content-Length: 5, 5\r\n\r\nhello", 400),
    (POST + "Content-Length: 0x5\r\n\r\nhello", 400),
    (POST + "Content-Length: +5\r\n\r\nhello", 400),
    (POST + "Content-Length: 5\x0b\r\n\r\nhello", 400),
    (POST + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    (POST + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    (POST + "Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n", 400),
    (POST + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    (POST + "X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (POST + "X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (POST + "X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    # Two readings of the host.
    (f"GET {URL} HTTP/1.1\r\n\r\n", 400),
    (f"GET {URL} HTTP/1.1\r\n{HOST}{HOST}\r\n", 400),
    (f"GET {URL} HTTP/1.1\r\nHost: b.test\r\n\r\n", 403),
    (f"GET {URL} HTTP/1.1\r\nHost: a.test\r\n\r\n", 403),
    (f"GET {URL} HTTP/1.1\r\nHost: a.test:{{port}}, b.test\r\n\r\n", 403),
    ("CONNECT a.test:{port} HTTP/1.1\r\nHost: b.test:{port}\r\n\r\n", 403),
    ("CONNECT a.test:{port} HTTP/1.1\r\nHost: a.test:1\r\n\r\n", 403),
    ("GET http://a.test:{port}#@b.test/ HTTP/1.1\r\nHost: b.test\r\n\r\n", 400),
    ("GET http://a.test:{port}\\@b.test/ HTTP/1.1\r\nHost: b.test\r\n\r\n", 400),
    ("GET http://b.test\\.a.test:{port}/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    ("GET http://a.test:{port}@b.test/ HTTP/1.1\r\nHost: b.test\r\n\r\n", 403),
    ("GET http://a.%74est:{port}/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 403),
    ("GET http:///a.test:{port}/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 403),
    ("GET http:a.test:{port}/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    # No request of a proxy's.
    (f"GET / HTTP/1.1\r\n{HOST}\r\n", 400),
    (f"GET //a.test:{{port}}/ HTTP/1.1\r\n{HOST}\r\n", 400),
    (f"OPTIONS * HTTP/1.1\r\n{HOST}\r\n", 400),
    (f"GET {URL} HTTP/1.0\r\n{HOST}\r\n", 400),
    (f"GET {URL} HTTP/2.0\r\n{HOST}\r\n", 400),
    (f"GET {URL} HTTP/1.1 \r\n{HOST}\r\n", 400),
    (f"GET {URL} x HTTP/1.1\r\n{HOST}\r\n", 400),
    (f"GET {URL}\u00e9 HTTP/1.1\r\n{HOST}\r\n", 400),
    ("GET https://a.test:{port}/ HTTP/1.1\r\nHost: a.test:{port}\r\n\r\n", 403),
    ("GET ftp://a.test:{port}/ HTTP/1.1\r\nHost: a.test:{port}\r\n\r\n", 403),
    ("GET file:///etc/passwd HTTP/1.1\r\nHost: a.test\r\n\r\n", 403),
    (f"TRACE {URL} HTTP/1.1\r\n{HOST}\r\n", 403),
    ("CONNECT http://a.test:{port}/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 403),
    ("CONNECT a.test HTTP/1.1\r\nHost: a.test\r\n\r\n", 403),
    ("CONNECT a.test:{port} HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 400),
    ("CONNECT a.test:{port} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    # Pipelined.
    (f"GET {URL} HTTP/1.1\r\n{HOST}\r\nGET {URL} HTTP/1.1\r\n{HOST}\r\n", 400),
    (f"GET {URL} HTTP/1.1\r\n{HOST}Content-Length: 0\r\n\r\nx", 400),
    # No HTTP at all.
    ("\x16\x03\x01\x02\x00\r\n\r\n", 400),
    ("SSH-2.0-x\r\n\r\n", 400),
]


@pytest.mark.parametrize(("request_text", "status"), SMUGGLED)
async def test_a_request_with_two_readings_never_reaches_the_host(
    tmp_path: Path, request_text: str, status: int
) -> None:
    async with upstream() as server, egress_house(tmp_path, f"a.test:{server.port}") as house:
        answer = await ask(
            house.path, request_text.replace("{port}", str(server.port)).encode("utf-8")
        )

        assert answer.status == status
        assert (server.connections, house.world.connected) == (0, [])
        assert len(house.auditor.entries) == 1


@pytest.mark.parametrize(
    "body",
    [
        "zz\r\nhi\r\n",
        "2;a=b\r\nhi\r\n0\r\n\r\n",
        "2\nhi\r\n0\r\n\r\n",
        "2 \r\nhi\r\n0\r\n\r\n",
        "3\r\nhiho\r\n0\r\n\r\n",
        "2\r\nhiXX0\r\n\r\n",
        "0\r\nX-Trailer: 1\r\n\r\n",
        "0\r\n\r\nGET http://a.test/ HTTP/1.1\r\n\r\n",
    ],
)
async def test_a_body_with_two_readings_costs_both_connections(tmp_path: Path, body: str) -> None:
    got = bytearray()
    ended = asyncio.Event()

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(65_536):
                got.extend(piece)
        finally:
            ended.set()

    async with (
        upstream(swallow) as server,
        egress_house(tmp_path, f"a.test:{server.port}") as house,
    ):
        answer = await ask(house.path, (CHUNKED + body).replace("{port}", str(server.port)))
        async with asyncio.timeout(5):
            await ended.wait()
        await until(lambda: len(house.auditor.entries) == 2)

        assert answer.code == "malformed_request"
        assert b"GET " not in got
        assert b"X-Trailer" not in got
        assert house.auditor.entries[0].why == "refused"
        assert house.auditor.entries[1].data["host"] == "a.test"


async def test_a_second_request_after_the_first_is_never_forwarded(tmp_path: Path) -> None:
    seen = bytearray()

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65_536):
            seen.extend(piece)

    async with (
        upstream(swallow) as server,
        egress_house(tmp_path, f"a.test:{server.port}") as house,
    ):
        request = f"GET {URL} HTTP/1.1\r\n{HOST}\r\n".replace("{port}", str(server.port))
        raw = await Raw.to(house.path)
        raw.send(request)
        await until(lambda: seen)
        raw.send(request)

        assert (await raw.answer()).code == "malformed_request"
        assert seen.count(b"GET ") == 1
        await raw.close()


async def test_a_connection_carries_one_request_even_if_the_host_would_go_on(
    tmp_path: Path,
) -> None:
    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        await reader.read()

    async with upstream(keep) as server, egress_house(tmp_path, f"a.test:{server.port}") as house:
        request = f"GET {URL} HTTP/1.1\r\n{HOST}\r\n".replace("{port}", str(server.port))
        raw = await Raw.to(house.path)
        raw.send(request)
        assert (await raw.answer()).body == b"hi"
        raw.send(request)

        assert await raw.rest() == b""
        assert server.connections == 1
        await raw.close()


async def test_a_host_that_resets_costs_nobody_else(tmp_path: Path) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.transport.abort()

    async with (
        upstream(reset) as server,
        upstream(echo) as other,
        egress_house(tmp_path, f"a.test:{server.port}", f"b.test:{other.port}") as house,
    ):
        good = await house.tunnel(f"b.test:{other.port}")
        bad = await house.tunnel(f"a.test:{server.port}")
        bad.send(b"x")
        assert await bad.rest() == b""
        good.send(b"y")

        assert await good.reader.readexactly(1) == b"y"
        await good.close()
        await bad.close()


async def test_a_plugin_that_leaves_ends_its_tunnel(tmp_path: Path) -> None:
    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()

    async with (
        upstream(pour) as server,
        egress_house(tmp_path, f"a.test:{server.port}", limit_bytes=1 << 40) as house,
    ):
        raw = await house.tunnel(f"a.test:{server.port}")
        await raw.reader.readexactly(100_000)
        raw.writer.transport.abort()

        await until(lambda: house.auditor.entries)
        assert house.auditor.entries[0].why == "closed"
