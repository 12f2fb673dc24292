# ruff: noqa: INP001, T201 - a script that prints
"""Events: one publisher, twenty subscribers, each delivery durable; and a daemon that is killed.

    python benchmarks/event_fanout.py [--runs 3] [--events 1000]

The host's side (event_host.py) runs in a process of its own and is killed with SIGKILL in the last
part. Publisher and plugins are in this process and speak the real protocols over unix sockets: the
publisher `host.sock`, the plugins their dialled lanes.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO, cast

import uvloop
from event_host import SUBSCRIBERS, TYPE

CONNECTIONS = 32
PACE_SECONDS = 0.05
OVERLOADED = 429


# -- plugins and publisher ------------------------------------------------------------------------


@dataclass
class Seen:
    """What reached the subscribers."""

    ids: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    seconds: list[float] = field(default_factory=list)
    count: int = 0


class EventsLane(asyncio.Protocol):
    """Answers each event with 204."""

    def __init__(self, name: str, seen: Seen) -> None:
        self._name = name
        self._seen = seen
        self._buffer = b""
        self._upgraded = False
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        transport.write(_upgrade("events"))  # type: ignore[attr-defined]

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            if not self._upgraded:
                self._upgraded = True
                self._buffer = self._buffer[end + 4 :]
                continue
            at = head.index(b"content-length: ") + 16
            length = int(head[at : head.find(b"\r", at) if b"\r" in head[at:] else None])
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            self._take(json.loads(body))

    def _take(self, event: dict[str, object]) -> None:
        data, seen = cast("dict[str, float]", event["data"]), self._seen
        seen.seconds.append(time.monotonic() - data["at"])
        seen.ids[self._name][str(event["id"])] += 1
        seen.count += 1
        self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")  # type: ignore[attr-defined]


def _upgrade(lane: str) -> bytes:
    return (
        "GET /v1/serve HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n"
        f"Upgrade: PTTH/1.0\r\nX-Lane: {lane}\r\n\r\n"
    ).encode()


async def plugin(folder: Path, name: str, seen: Seen) -> None:
    """Dials, and dials again when the host is gone."""
    path = str(folder / name / "plugin.sock")
    loop = asyncio.get_running_loop()
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            lines = []
            for lane in ("control", "calls"):
                reader, writer = await asyncio.open_unix_connection(path)
                writer.write(_upgrade(lane))
                await reader.readuntil(b"\r\n\r\n")
                lines.append(writer)
            _, protocol = await loop.create_unix_connection(lambda: EventsLane(name, seen), path)
            await protocol.lost.wait()
            for writer in lines:
                writer.close()
        await asyncio.sleep(0.05)


class Teller:
    """One connection to host.sock, kept alive; counts what was accepted."""

    def __init__(self, folder: Path) -> None:
        self._path = str(folder / "teller" / "host.sock")
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def publish(self, own_id: str) -> str:
        """The accepted event's id; tried until it is accepted."""
        while True:
            try:
                status, body = await self._post(own_id)
            except (OSError, asyncio.IncompleteReadError):
                self._connection = None
                await asyncio.sleep(0.02)
                continue
            if status < OVERLOADED:
                return str(json.loads(body)["event_id"])
            self._connection = None
            await asyncio.sleep(0.01)

    async def _post(self, own_id: str) -> tuple[int, bytes]:
        if self._connection is None:
            self._connection = await asyncio.open_unix_connection(self._path)
        reader, writer = self._connection
        event = {
            "specversion": "1.0",
            "id": own_id,
            "source": "x",
            "type": TYPE,
            "data": {"at": time.monotonic(), "text": "x" * 150},
        }
        body = json.dumps(event).encode()
        head = f"POST /v1/events HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(answer.partition("content-length: ")[2].partition("\r")[0])
        return int(answer.split()[1]), await reader.readexactly(length)


# -- the runs -------------------------------------------------------------------------------------


def start(folder: Path, *, durable: bool) -> subprocess.Popen[str]:
    host = Path(__file__).with_name("event_host.py")
    words = [sys.executable, str(host), str(folder), *(["--durable"] * durable)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)  # noqa: S603 - ourselves
    cast("TextIO", process.stdout).readline()  # "up"
    return process


def cpu_seconds(pid: int) -> float:
    """What a process has used of the processors."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.asynccontextmanager
async def house(folder: Path) -> AsyncIterator[Seen]:
    seen = Seen()
    async with asyncio.TaskGroup() as group:
        names = [f"p{number}" for number in range(SUBSCRIBERS)]
        tasks = [group.create_task(plugin(folder, name, seen)) for name in names]
        await asyncio.sleep(0.5)
        yield seen
        for task in tasks:
            task.cancel()


async def arrived(seen: Seen, expected: int) -> None:
    async with asyncio.timeout(120):
        while seen.count < expected:  # noqa: ASYNC110 - a benchmark
            await asyncio.sleep(0.002)


async def publish_all(folder: Path, count: int, prefix: str) -> list[str]:
    numbers = iter(range(count))
    accepted: list[str] = []

    async def work() -> None:
        teller = Teller(folder)
        for number in numbers:
            accepted.append(await teller.publish(f"{prefix}{number}"))  # noqa: PERF401

    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(work())
    return accepted


@dataclass(frozen=True)
class Row:
    """One run."""

    rate: float
    """Deliveries a second, as fast as it goes."""
    p50: float
    """Seconds from publishing to a subscriber, at an easy pace."""
    host_cpu: float
    """Seconds of processor that the host's process used for a delivery."""

    def __str__(self) -> str:
        return (
            f"{self.rate:,.0f} deliveries/s, p50 {self.p50 * 1e3:.2f} ms, "
            f"{self.host_cpu * 1e6:.0f} µs of the host's processor for a delivery"
        )


async def measure(folder: Path, *, durable: bool, events: int) -> Row:
    process = start(folder, durable=durable)
    try:
        async with house(folder) as seen:
            await publish_all(folder, 50, "warm")
            await arrived(seen, 50 * SUBSCRIBERS)
            begun, before, used = time.monotonic(), seen.count, cpu_seconds(process.pid)
            await publish_all(folder, events, "run")
            await arrived(seen, before + events * SUBSCRIBERS)
            rate = events * SUBSCRIBERS / (time.monotonic() - begun)
            used = (cpu_seconds(process.pid) - used) / (events * SUBSCRIBERS)
            seen.seconds.clear()
            teller, before = Teller(folder), seen.count
            for number in range(100):
                await teller.publish(f"slow{number}")
                await asyncio.sleep(PACE_SECONDS)
            await arrived(seen, before + 100 * SUBSCRIBERS)
            return Row(rate, statistics.median(seen.seconds), used)
    finally:
        process.kill()
        process.wait()


async def killed(folder: Path, *, events: int, kills: int) -> tuple[int, int, int]:
    """(accepted, lost deliveries, repeated deliveries) over several SIGKILLs under load."""
    process = start(folder, durable=True)
    try:
        async with house(folder) as seen:
            publishing = asyncio.get_running_loop().create_task(publish_all(folder, events, "k"))
            for number in range(kills):
                await arrived(seen, (number + 1) * events * SUBSCRIBERS // (kills + 1))
                process.send_signal(signal.SIGKILL)
                process.wait()
                process = start(folder, durable=True)
            accepted = await publishing
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(60):
                    while any(len(seen.ids[f"p{n}"]) < events for n in range(SUBSCRIBERS)):  # noqa: ASYNC110
                        await asyncio.sleep(0.05)
            lost = sum(
                event_id not in seen.ids[f"p{n}"]
                for n in range(SUBSCRIBERS)
                for event_id in accepted
            )
            repeated = sum(c - 1 for ids in seen.ids.values() for c in ids.values())
            return len(accepted), lost, repeated
    finally:
        process.kill()
        process.wait()


async def run(runs: int, events: int) -> None:
    rows: dict[str, list[Row]] = {"durable": [], "in memory": []}
    print(
        f"{SUBSCRIBERS} subscribers, {events} events a run, {CONNECTIONS} connections, "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    for number in range(runs):
        for word, found in rows.items():
            with tempfile.TemporaryDirectory(dir=".") as folder:
                found.append(await measure(Path(folder), durable=word == "durable", events=events))
            print(f"run {number + 1} {word}: {found[-1]}", flush=True)
    for word, found in rows.items():
        columns = [[row.rate, row.p50, row.host_cpu] for row in found]
        print(f"median {word}: {Row(*map(statistics.median, zip(*columns, strict=True)))}")
    with tempfile.TemporaryDirectory(dir=".") as folder:
        accepted, lost, repeated = await killed(Path(folder), events=events, kills=3)
    print(
        f"kill -9 three times: {accepted} events accepted, {accepted * SUBSCRIBERS} deliveries "
        f"due, {lost} lost, {repeated} repeated"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--events", type=int, default=1_000)
    options = parser.parse_args()
    uvloop.run(run(options.runs, options.events))


if __name__ == "__main__":
    main()
