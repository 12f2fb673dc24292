# ruff: noqa: INP001, T201 - a script that prints
"""How the orchestrator itself bears many plugins: the in-memory engine, and all else as it is.

Resolving, deciding, compiling, the reconcile loop, sockets, dial-in, initialize and the state
store are the real ones; only containers are on paper. The plugins' side of the sockets is played by
a process of its own, so that time and memory are the orchestrator's.

    python -m benchmarks.thousand_plugins [--plugins 1000] [--profile FILE]
"""

import argparse
import asyncio
import cProfile
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path

import pytest
import uvloop

from orchestrator.model.container import ContainerSpec, ContainerState
from tests.chaos.paper_house import PaperHouse
from tests.support.paper import Part, part_of, play

PASSES, RESTARTS = 20, 10
BACK_OFF_SECONDS = 0.5
"""Before the first restart of a plugin: it is taken off."""
MEMORY_MB = 8
Rows = dict[str, list[tuple[float, float]]]
"""By what was measured: (seconds, seconds of processor) of each time."""


class FarPlayers:
    """Plays what starts, in another process."""

    def __init__(self, house: PaperHouse) -> None:
        self._house = house
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.thousand_plugins", "--play"],
            stdin=subprocess.PIPE,
            text=True,
        )

    @contextmanager
    def playing(self) -> Iterator[None]:
        self._house.engine.on_start = self._start
        try:
            yield
        finally:
            self._process.communicate()

    def _start(self, spec: ContainerSpec, state: ContainerState) -> None:
        part = part_of(spec, state.container_id)
        self._tell({"socket": str(part.socket), "lanes": part.lanes, "plugin": part.plugin_id})

    def end(self, plugin_id: str) -> None:
        """Its container dies."""
        self._tell({"plugin": plugin_id})
        self._house.engine.die(self._house.container(plugin_id))

    def _tell(self, words: dict[str, object]) -> None:
        assert self._process.stdin is not None  # noqa: S101 - a pipe
        self._process.stdin.write(f"{json.dumps(words)}\n")
        self._process.stdin.flush()


async def perform() -> None:
    """The other process: a line begins or ends a plugin."""
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    runs: dict[str, asyncio.Task[None]] = {}
    async with asyncio.TaskGroup() as group:
        while line := await reader.readline():
            words = json.loads(line)
            name = words["plugin"]
            if name in runs:
                runs.pop(name).cancel()
            if "socket" in words:
                part = Part(
                    plugin_id=name,
                    container_id=name,
                    socket=Path(words["socket"]),
                    lanes=tuple(words["lanes"]),
                )
                runs[name] = group.create_task(play(part, []))
        for run in runs.values():
            run.cancel()


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@asynccontextmanager
async def timed(rows: Rows, name: str) -> AsyncIterator[None]:
    """(seconds, seconds of processor) into the row of that name."""
    clock, cpu = time.perf_counter(), time.process_time()
    yield
    rows.setdefault(name, []).append((time.perf_counter() - clock, time.process_time() - cpu))


async def until(check: Callable[[], bool]) -> None:
    while not check():  # noqa: ASYNC110 - it looks from outside, as a user would
        await asyncio.sleep(0.002)


def ready(house: PaperHouse) -> int:
    return sum(s.state == "ready" for s in house.daemon.manager.fleet.sandboxes.values())


async def measure(house: PaperHouse, players: FarPlayers, count: int) -> Rows:
    rows: Rows = {}
    loop = house.daemon.manager.loop

    async def one_pass() -> None:
        loop.wake()
        await loop.passed()

    async with timed(rows, "`up`: manifests read, decided, compiled, stored"):
        await house.up()
    async with timed(rows, "from there to all ready"):
        await until(lambda: ready(house) == count)
    await quiet(house, one_pass)
    for _ in range(PASSES):
        async with timed(rows, "a pass when nothing changed"):
            await one_pass()
    for _ in range(PASSES):
        loop._observer.doubt_all()  # noqa: SLF001 - what the clock does every 15 s
        async with timed(rows, "the same, and every container listed"):
            await one_pass()
    for number in range(RESTARTS):
        name = f"p{number * count // RESTARTS:04}"
        async with timed(rows, "one plugin ends, until it is ready again"):
            await _restart(house, players, name)
        await quiet(house, one_pass)
    async with timed(rows, "`up` when nothing changed"):
        await house.up()
    return rows


async def _restart(house: PaperHouse, players: FarPlayers, name: str) -> None:
    before = house.daemon.manager.fleet.sandbox(name)
    players.end(name)
    await until(lambda: _is_new(house, name, before))


def _is_new(house: PaperHouse, name: str, before: object) -> bool:
    now = house.daemon.manager.fleet.sandbox(name)
    return now is not None and now is not before and now.state == "ready"


async def quiet(house: PaperHouse, one_pass: Callable[[], Awaitable[None]]) -> None:
    """What is under way ends."""
    await until(lambda: not house.daemon.manager.fleet.busy)
    for _ in range(3):
        await one_pass()


async def run(count: int, profile: Path | None) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        house = PaperHouse(Path(folder), patch)
        for number in range(count):
            limits = {"max_memory_mb": MEMORY_MB, "max_concurrent_requests": 1}
            house.plugin(f"p{number:04}", limits=limits)
        # The in-memory engine claims 8 GiB, and code sandboxes are promised some of it.
        house.config.write_text("policy: {memory_overcommit: 2}\n")
        players = FarPlayers(house)
        with players.playing():
            async with house.daemon_runs():
                before = resident_bytes()
                with cProfile.Profile() if profile else nullcontext() as profiler:
                    rows = await measure(house, players, count)
                grown = resident_bytes() - before
        if profiler is not None and profile is not None:
            profiler.dump_stats(profile)
    show(rows, count, grown)


def show(rows: Rows, count: int, grown: int) -> None:
    for name, figures in rows.items():
        print(name, " ".join(f"{seconds * 1000:.1f}" for seconds, _ in figures), "ms")
    print(f"\n| {count} plugins | median | processor |\n|---|---|---|")
    for name, figures in rows.items():
        wall = statistics.median(seconds for seconds, _ in figures)
        cpu = statistics.median(seconds for _, seconds in figures)
        if "ends" in name:
            wall -= BACK_OFF_SECONDS
        print(f"| {name} | {wall * 1000:,.1f} ms | {cpu * 1000:,.1f} ms |")
    print(f"| memory for each plugin | {grown / count / 1024:,.0f} KiB | |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plugins", type=int, default=1000)
    parser.add_argument("--profile", type=Path)
    parser.add_argument("--play", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    uvloop.run(perform() if chosen.play else run(chosen.plugins, chosen.profile))


if __name__ == "__main__":
    main()
