# ruff: noqa: INP001, T201 - a script that prints
"""What measuring costs: a scrape of many plugins, an observation on the call path, a sample.

The orchestrator is whole and over the in-memory engine, as in thousand_plugins.py; what containers
use is read from real control groups, of which each sample reads one.

    python -m benchmarks.metrics_cost [--plugins 300]
"""

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from benchmarks.thousand_plugins import FarPlayers, ready, until
from orchestrator.clock import SystemClock
from orchestrator.engine.cgroups import ROOT, Groups, groups_at, read_usage
from orchestrator.engine.usage import Usage
from orchestrator.model.container import ContainerState
from orchestrator.monitoring.exposition import OPEN_METRICS
from orchestrator.monitoring.recorder import CallRecorder
from orchestrator.monitoring.sampler import SAMPLE_SECONDS, Sampler
from orchestrator.monitoring.tally import Tally
from orchestrator.sandbox.call import Call
from tests.chaos.paper_house import PaperHouse

SCRAPES, TURNS, OBSERVATIONS, ROUNDS = 20, 10, 100_000, 7
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
GOALS = {"scrape": 100.0, "observation": 2.0, "sample": 0.1}
"""Milliseconds of processor of a scrape, microseconds of an observation, percent of a core."""
Row = tuple[str, float, str, float | None]


class OneGroup:
    """Usages that read the same real files for each container."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups

    async def read(self, container: ContainerState, *, disk: str = "") -> Usage | None:
        return read_usage(self._groups, disk=disk)


def some_groups() -> Groups:
    """A control group of this machine: its own root, where there is no other in sight."""
    for below in ("docker", "system.slice", "init.scope", "."):
        found = groups_at(below)
        if found is not None:
            return found
    raise SystemExit(f"found no control group below {ROOT}")


async def times_of(
    work: Callable[[], Awaitable[object]], times: int
) -> tuple[list[float], list[float]]:
    """Milliseconds by the clock and of the processor, of each time."""
    wall, cpu = [], []
    for _ in range(times):
        clock, processor = time.perf_counter(), time.process_time()
        await work()
        wall.append((time.perf_counter() - clock) * 1_000)
        cpu.append((time.process_time() - processor) * 1_000)
    return wall, cpu


def show(name: str, figures: list[float]) -> None:
    print(f"{name}:", " ".join(f"{figure:.2f}" for figure in figures))


def observation(*, traceparent: str) -> float:
    """Microseconds of one; the best of several rounds, as others' work only adds."""

    class Declared:
        def tools(self, plugin_id: str) -> set[str]:
            return {"add"}

    recorder = CallRecorder(Tally(), declared=Declared(), now=SystemClock().now)
    call = Call(
        request_id="r1",
        deadline_seconds=30.0,
        tool="add",
        caller="operator",
        traceparent=traceparent,
    )
    rounds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(OBSERVATIONS):
            recorder.ended("notes", call, "ok", 0.0003, 0.00001)
        rounds.append((time.process_time() - began) / OBSERVATIONS * 1e6)
    show(f"observation {'with' if traceparent else 'without'} a trace, µs", rounds)
    return min(rounds)


async def scrapes(house: PaperHouse) -> list[Row]:
    exporter = house.daemon.monitoring.exporter
    rows: list[Row] = []
    for name, accept in (("Prometheus' text", ""), ("OpenMetrics", OPEN_METRICS)):
        wall, cpu = await times_of(lambda accept=accept: exporter.scrape(accept), SCRAPES)  # type: ignore[misc]
        show(f"scrape as {name}, ms", wall)
        show("  of them processor, ms", cpu)
        rows.append(
            (f"a scrape as {name}, processor", statistics.median(cpu), "ms", GOALS["scrape"])
        )
        rows.append(("the same by the clock", statistics.median(wall), "ms", None))
    _, text = await exporter.scrape()
    print(f"{len(text.splitlines())} lines, {len(text) / 1e6:.2f} MB")
    return rows


async def samples(house: PaperHouse, count: int) -> list[Row]:
    old = house.daemon.monitoring.sampler
    sampler = Sampler(
        fleet=old._fleet,  # noqa: SLF001 - the same, with other files
        meters=old._meters,  # noqa: SLF001
        usages=OneGroup(some_groups()),
        clock=house.clock,
    )
    figures = []
    for _ in range(TURNS):
        began = time.process_time()
        await sampler.sample()
        figures.append((time.process_time() - began) / count * 1e6)
    show("sample of one plugin, µs of processor", figures)
    median = statistics.median(figures)
    share = median / 1e6 / SAMPLE_SECONDS * 100
    return [
        ("a sample of one plugin, processor", median, "µs", None),
        ("that is, of a core for each plugin", share, "%", GOALS["sample"]),
    ]


async def run(count: int) -> None:
    rows: list[Row] = []
    for traceparent in ("", TRACE):
        name = "an observation with a trace" if traceparent else "an observation"
        rows.append((name, observation(traceparent=traceparent), "µs", GOALS["observation"]))
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        house = PaperHouse(Path(folder), patch)
        tool = {"name": "add", "description": "Adds.", "input_schema": {"type": "object"}}
        for number in range(count):
            limits = {"max_memory_mb": 8, "max_concurrent_requests": 1}
            about = {"tools": [tool], "subscribes": ["order.*"]}
            house.plugin(f"p{number:04}", info=about, limits=limits)
        house.config.write_text("policy: {memory_overcommit: 2}\n")
        players = FarPlayers(house)
        with players.playing():
            async with house.daemon_runs():
                await house.up()
                await until(lambda: ready(house) == count)
                for number in range(count):
                    await house.call(f"p{number:04}")
                rows += await samples(house, count)
                await house.daemon.monitoring.sampler.sample()
                rows += await scrapes(house)
    print(f"\n| {count} plugins | seen | goal |\n|---|---|---|")
    for name, figure, unit, goal in rows:
        at_most = f"at most {goal:g} {unit}" if goal is not None else ""
        print(f"| {name} | {figure:.3g} {unit} | {at_most} |")
    missed = [name for name, figure, _, goal in rows if goal is not None and figure > goal]
    if missed:
        raise SystemExit(f"missed: {', '.join(missed)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plugins", type=int, default=300)
    chosen = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    uvloop.run(run(chosen.plugins))


if __name__ == "__main__":
    main()
