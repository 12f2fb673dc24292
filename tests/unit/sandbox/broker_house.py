"""What the brokers' tests share: an auditor that remembers, clocks, and a raw client."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.clock import SystemClock
from orchestrator.model.audit import AuditEntry

SECONDS = 5.0
"""No wait of a test is longer."""


@dataclass
class MemoryAuditor:
    """Remembers."""

    entries: list[AuditEntry] = field(default_factory=list)

    def record(self, entry: AuditEntry) -> None:
        self.entries.append(entry)

    def codes(self) -> list[Any]:
        """The codes of the refusals, in order."""
        return [entry.data["code"] for entry in self.entries if "code" in entry.data]


class SlowClock(SystemClock):
    """The machine's, moved by the test."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["code"])


class Raw:
    """One connection whose every byte the test chooses."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, path: Path) -> "Raw":
        return cls(*await asyncio.open_unix_connection(path))

    def send(self, data: bytes | str) -> None:
        self.writer.write(data.encode() if isinstance(data, str) else data)

    async def head(self) -> tuple[int, dict[str, str]]:
        async with asyncio.timeout(SECONDS):
            head = await self.reader.readuntil(b"\r\n\r\n")
        line, *rows = head.decode("latin-1").split("\r\n")[:-2]
        headers = {name.lower(): value for name, _, value in (row.partition(": ") for row in rows)}
        return int(line.split(" ")[1]), headers

    async def answer(self) -> Answer:
        """One answer with a length."""
        status, headers = await self.head()
        async with asyncio.timeout(SECONDS):
            body = await self.reader.readexactly(int(headers["content-length"]))
        return Answer(status, headers, body)

    async def rest(self) -> bytes:
        """All there is until the broker ends the connection."""
        found = b""
        async with asyncio.timeout(SECONDS):
            with suppress(ConnectionError):
                while piece := await self.reader.read(65_536):
                    found += piece
        return found

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


async def ask(path: Path, request: bytes | str) -> Answer:
    """One request on a connection of its own."""
    raw = await Raw.to(path)
    try:
        raw.send(request)
        return await raw.answer()
    finally:
        await raw.close()


async def until(true: Callable[[], object]) -> None:
    """Wait until `true()` is."""
    async with asyncio.timeout(SECONDS):
        while not true():  # noqa: ASYNC110 - whatever is waited for here has no event
            await asyncio.sleep(0.005)
