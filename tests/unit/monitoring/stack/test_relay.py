"""The relay, run as the containers run it: a program of its own, over real sockets."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from orchestrator.monitoring.stack import relay
from tests.support.prometheus import free_ports

SOURCE = Path(relay.__file__).read_text()
BIG = bytes(range(256)) * 8_192
Connected = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def running(*pairs: str, source: str = SOURCE) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-c", source, *pairs), stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says back what it heard, once the end of it came."""
    writer.write(await reader.read(-1))
    await leave(writer)


@asynccontextmanager
async def echo() -> AsyncIterator[int]:
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def connect(port: int) -> Connected:
    async with asyncio.timeout(10):
        while True:
            try:
                return await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)


async def ask(port: int, text: bytes) -> bytes:
    """What comes back; empty where the connection is cut."""
    async with asyncio.timeout(10):
        reader, writer = await connect(port)
        try:
            writer.write(text)
            writer.write_eof()
            return await reader.read(-1)
        except OSError:
            return b""
        finally:
            await leave(writer)


async def leave(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@pytest.fixture
def pairs(tmp_path: Path) -> Callable[[int, int], tuple[str, str]]:
    """The two relays of the stack, one behind the other."""
    folder = tmp_path / "r"
    folder.mkdir()

    def made(listen: int, connect: int) -> tuple[str, str]:
        return (
            f"tcp:127.0.0.1:{listen}=unix:{folder}/a.sock",
            f"unix:{folder}/a.sock=tcp:127.0.0.1:{connect}",
        )

    return made


async def test_what_goes_in_comes_out_and_back_however_much(
    pairs: Callable[[int, int], tuple[str, str]],
) -> None:
    [port] = free_ports(1)
    async with echo() as there:
        door, inner = pairs(port, there)
        async with running(inner), running(door):
            while await ask(port, b"hello") != b"hello":  # noqa: ASYNC110 - until both are up
                await asyncio.sleep(0.02)
            assert await ask(port, BIG) == BIG


async def test_where_nobody_is_on_the_other_side_the_caller_is_let_go(
    pairs: Callable[[int, int], tuple[str, str]],
) -> None:
    port, nobody = free_ports(2)
    door, inner = pairs(port, nobody)
    async with running(inner), running(door):
        assert await ask(port, b"hello") == b""


async def ask_page(host: str, body: bytes) -> bytes:
    """The body said back, by a page that says back what it is asked; else the refusal."""
    request = f"GET /api HTTP/1.1\r\nhost: {host}\r\n\r\n".encode()
    [port] = free_ports(1)
    async with echo() as there, running(f"page:127.0.0.1:{port}=tcp:127.0.0.1:{there}"):
        return (await ask(port, request + body)).removeprefix(request)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:3000", "127.0.0.1", "localhost:3000", "LOCALHOST", "[::1]:3000"]
)
async def test_who_asks_for_this_machine_by_its_address_has_its_pages(host: str) -> None:
    assert await ask_page(host, BIG) == BIG


@pytest.mark.parametrize(
    "host",
    [
        *("", "rebound.example:3000", "127.0.0.1.rebound.example", "localhost.rebound.example"),
        "127.0.0.1\r\nHost: rebound.example",
    ],
)
async def test_a_name_that_was_made_to_point_here_has_not(host: str) -> None:
    assert await ask_page(host, b"") == relay.REFUSAL


@pytest.mark.parametrize("text", [b"", b"GET / HTTP/1.1\r\n", b"GET /\r\n\r\n", b"x" * 200_000])
async def test_what_is_no_request_comes_to_no_page(text: bytes) -> None:
    [port] = free_ports(1)
    async with echo() as there, running(f"page:127.0.0.1:{port}=tcp:127.0.0.1:{there}"):
        assert await ask(port, text) in {b"", relay.REFUSAL}


async def test_a_port_that_is_taken_ends_it_with_the_reason() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with running(f"tcp:127.0.0.1:{port}=unix:/nowhere") as process:
            _, errors = await process.communicate()

    assert process.returncode == 1
    assert errors.decode().strip() == f"127.0.0.1:{port}: Address already in use"


async def test_a_socket_that_a_killed_relay_left_is_no_hindrance(tmp_path: Path) -> None:
    left = tmp_path / "a.sock"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(left))
    async with running(f"unix:{left}=tcp:127.0.0.1:1") as process:
        async with asyncio.timeout(10):
            while not await listens(left):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert process.returncode is None


async def listens(path: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except OSError:
        return False
    await leave(writer)
    return True


async def test_more_connections_than_there_may_be_are_closed_unheard() -> None:
    [port] = free_ports(1)
    few = SOURCE.replace("MOST = 128", "MOST = 2")
    assert few != SOURCE
    async with echo() as there, running(f"tcp:127.0.0.1:{port}=tcp:127.0.0.1:{there}", source=few):
        while await ask(port, b"hello") != b"hello":  # noqa: ASYNC110 - until it is up
            await asyncio.sleep(0.02)
        held = [await connect(port) for _ in range(2)]
        refused = await ask_refused(port)
        for _, writer in held:
            await leave(writer)

    assert refused


async def ask_refused(port: int) -> bool:
    reader, writer = await connect(port)
    try:
        async with asyncio.timeout(10):
            return await reader.read(1) == b""
    except OSError:
        return True
    finally:
        await leave(writer)


@pytest.mark.parametrize(
    ("text", "found"), [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:9464", ("::1", 9464))]
)
def test_an_address_is_read_as_it_is_written(text: str, found: tuple[str, int]) -> None:
    assert relay.place(text) == found
