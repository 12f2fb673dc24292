# ruff: noqa: INP001, T201 - a script that prints
"""What a look at the containers' usage costs: the kernel's files, the engine's streams, its shots.

Each turn looks as the sampler does: at all containers, some at a time, and again ten seconds later.
The ways take turns. Needs a Docker engine on this machine and the plugins' base image; makes
containers and removes them.

    python benchmarks/usage_ways.py [--containers 20] [--turns 3]
"""

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from orchestrator.clock import SystemClock
from orchestrator.engine.base import LABEL_INSTANCE
from orchestrator.engine.base_image import base_tag
from orchestrator.engine.docker import DockerEngine
from orchestrator.engine.docker_client import DEFAULT_ADDRESS, DockerClients
from orchestrator.engine.docker_stats import MAX_STREAMS, StatsStreams
from orchestrator.engine.docker_usage import DockerUsages
from orchestrator.engine.usage import Usage
from orchestrator.model.container import ContainerSpec, ContainerState
from orchestrator.monitoring.sampler import PARALLEL, SAMPLE_SECONDS

FILES, STREAMS, SHOTS = WAYS = ("the kernel's files", "the engine's streams", "its single shots")
ENGINE_PID: Final = Path("/var/run/docker.pid")
TICKS: Final = os.sysconf("SC_CLK_TCK")


class Way:
    """One way to know, and what it cost in milliseconds.

    By the clock, of each read and each turn; of the processor, for each container in the ten
    seconds of a turn, here and in the engine.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.reads: list[float] = []
        self.turns: list[float] = []
        self.here: list[float] = []
        self.engine: list[float] = []

    async def read(
        self, usages: DockerUsages, streams: StatsStreams, state: ContainerState
    ) -> Usage | None:
        if self.name == FILES:
            return await usages.read(state)
        return await streams.read(state.container_id)

    async def look(
        self, usages: DockerUsages, streams: StatsStreams, states: list[ContainerState]
    ) -> None:
        limit = asyncio.Semaphore(PARALLEL)

        async def one(state: ContainerState) -> None:
            async with limit:
                began = time.perf_counter()
                usage = await self.read(usages, streams, state)
                self.reads.append((time.perf_counter() - began) * 1_000)
                if usage is None or not usage.memory_bytes:
                    raise SystemExit(f"{self.name}: nothing is known of {state.name}")

        began = time.perf_counter()
        await asyncio.gather(*map(one, states))
        self.turns.append((time.perf_counter() - began) * 1_000)

    async def turn(self, clients: DockerClients, states: list[ContainerState]) -> None:
        """One, after one that does not count."""
        most = 0 if self.name == SHOTS else max(MAX_STREAMS, len(states))
        streams = StatsStreams(clients, SystemClock(), most=most)
        usages = DockerUsages(clients, streams)
        await Way(self.name).look(usages, streams, states)
        await asyncio.sleep(SAMPLE_SECONDS / 2)
        here, engine = time.process_time(), engine_seconds()
        await self.look(usages, streams, states)
        await asyncio.sleep(SAMPLE_SECONDS)
        self.here.append((time.process_time() - here) * 1_000 / len(states))
        self.engine.append((engine_seconds() - engine) * 1_000 / len(states))
        await usages.aclose()


def engine_seconds() -> float:
    """Of the processor, since it started; 0 where it is not in sight."""
    if not ENGINE_PID.exists():
        return 0.0
    words = Path(f"/proc/{ENGINE_PID.read_text().strip()}/stat").read_text().rpartition(")")[2]
    user, system = words.split()[11:13]
    return (int(user) + int(system)) / TICKS


@asynccontextmanager
async def containers(clients: DockerClients, count: int) -> AsyncIterator[list[ContainerState]]:
    engine, name = DockerEngine(clients), f"bench-usage-{os.getpid()}"
    spec = ContainerSpec(
        plugin_id="idle",
        image=base_tag(),
        command=("sleep", "infinity"),
        environment=(),
        memory_bytes=32 << 20,
        cpu_percent=10,
        pids_limit=16,
        open_files=64,
        log_bytes=1 << 20,
        stop_grace_seconds=1,
        working_dir="/",
    )
    labels = {LABEL_INSTANCE: name}
    try:
        for number in range(count):
            made = await engine.create(spec, name=f"{name}-{number}", labels=labels)
            await engine.start(made)
        yield await engine.list(labels)
    finally:
        for state in await engine.list(labels):
            await engine.remove(state.container_id)


async def run(count: int, turns: int) -> None:
    clients = DockerClients.connect(DEFAULT_ADDRESS)
    ways = [Way(name) for name in WAYS]
    async with containers(clients, count) as states:
        for _ in range(turns):
            for way in ways:
                await way.turn(clients, states)
    await clients.aclose()
    for way in ways:
        for what in ("reads", "turns", "here", "engine"):
            print(f"{way.name}, {what}, ms:", *(f"{figure:.3f}" for figure in getattr(way, what)))
    print(f"\n| {count} containers | a read | a turn | processor | the engine's |")
    print("|---|---|---|---|---|")
    for way in ways:
        medians = [statistics.median(row) for row in (way.reads, way.turns)]
        figures = [*medians, min(way.here), min(way.engine)]
        print(f"| {way.name} |", " | ".join(f"{figure:.3g} ms" for figure in figures), "|")
    files, streams, shots = (statistics.median(way.reads) for way in ways)
    print(f"\na shot takes {shots / streams:.0f} times as long as a read of a stream,", end=" ")
    print(f"and that {streams / files:.2f} times as long as the files")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--containers", type=int, default=20)
    parser.add_argument("--turns", type=int, default=3)
    chosen = parser.parse_args()
    asyncio.run(run(chosen.containers, chosen.turns))


if __name__ == "__main__":
    main()
