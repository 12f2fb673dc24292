"""A Docker engine played by a socket of the test: one that hangs, dies, lies or is old."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from orchestrator.engine.docker_client import DockerClients

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
"""The head of an answer without end; each piece is a `chunk`."""

Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def engine_at(
    path: Path,
    answer: Answer,
    *,
    asked: list[tuple[int, bytes]] | None = None,
    version: str = "1.41",
) -> AsyncIterator[DockerClients]:
    """Clients of a Docker engine that answers `version` properly and all else by `answer`."""

    told = f'{{"ApiVersion": "{version}"}}'.encode()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                line = request.split(b"\r\n")[0]
                if asked is not None:
                    asked.append((id(writer), line))
                if b"/version" in line:
                    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(told)}\r\n\r\n"
                    writer.write(head.encode() + told)
                else:
                    await answer(request, writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass  # the client is gone, or the test is over
        finally:
            writer.close()

    server = await asyncio.start_unix_server(serve, path)
    clients = DockerClients.connect(f"unix://{path}")
    try:
        yield clients
    finally:
        await clients.aclose()
        server.close()


def chunk(text: bytes) -> bytes:
    return f"{len(text):x}\r\n".encode() + text + b"\r\n"
