"""What containers of an engine far away use: over a relay, which knows what it was asked."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from orchestrator.clock import SystemClock
from orchestrator.engine.base import EngineUnavailable
from orchestrator.engine.docker_client import DockerClients
from orchestrator.engine.docker_stats import StatsStreams
from orchestrator.engine.docker_usage import DockerUsages
from orchestrator.engine.usage import Usage
from tests.support.engine_relay import EngineRelay

HERE = "unix:///var/run/docker.sock"

pytestmark = pytest.mark.docker


def threads() -> int:
    return sum(thread.name == "docker-stream" for thread in threading.enumerate())


async def until(holds: Callable[[], bool], seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - it looks from outside
            await asyncio.sleep(0.05)


@asynccontextmanager
async def usages_at(address: str, **bounds: Any) -> AsyncIterator[DockerUsages]:
    clients = DockerClients.connect(address)
    usages = DockerUsages(clients, StatsStreams(clients, SystemClock(), **bounds))
    try:
        yield usages
    finally:
        await usages.aclose()
        await clients.aclose()
        assert threads() == 0


@pytest.fixture
async def relay() -> AsyncIterator[EngineRelay]:
    async with EngineRelay.running() as relay:
        yield relay


class Far:
    """One container, and how it is looked at from afar."""

    def __init__(self, world: Any, usages: DockerUsages, container_id: str) -> None:
        self.engine, self.usages, self.container_id = world.engine, usages, container_id

    async def read(self) -> Usage | None:
        return await self.usages.read(await self.engine.inspect(self.container_id))

    async def news(self) -> Usage:
        """Read until the figure is another one, which only a new line brings."""
        first = await self.read()
        async with asyncio.timeout(15):
            while True:
                found = await self.read()
                if found is not None and found != first:
                    return found
                await asyncio.sleep(0.05)

    async def nothing(self) -> None:
        async with asyncio.timeout(15):
            while await self.read() is not None:  # noqa: ASYNC110 - it looks from outside
                await asyncio.sleep(0.05)


async def test_its_figures_are_those_of_the_kernels_files_and_cost_one_stream(
    docker_world: Any, relay: EngineRelay
) -> None:
    container_id = await docker_world.run("spin")
    async with usages_at(HERE) as near, usages_at(relay.address) as usages:
        far = Far(docker_world, usages, container_id)
        first = await far.read()
        ends = time.monotonic() + 3.2
        while time.monotonic() < ends:
            last = await far.read()
            await asyncio.sleep(0.1)
        here = await near.read(await docker_world.engine.inspect(container_id))
        assert first is not None
        assert last is not None
        assert here is not None
        assert here.oom_kills is not None  # so it was the files

    assert [last.pids, last.oom_kills, last.disk_bytes] == [here.pids, None, None]
    assert last.memory_bytes == pytest.approx(here.memory_bytes, abs=1 << 20)
    for name in ("cpu_seconds", "throttled_seconds", "throttled_periods", "periods"):
        begun, told, true = (getattr(usage, name) for usage in (first, last, here))
        assert begun < told
        assert true / 4 < told <= true
    assert len(relay.streams) == 1
    assert len(relay.shots) == 1


async def test_a_paused_one_has_figures_a_stopped_one_none_and_a_restarted_one_again(
    docker_world: Any, relay: EngineRelay, clients: DockerClients
) -> None:
    container_id = await docker_world.run("spin")
    async with usages_at(relay.address) as usages:
        far = Far(docker_world, usages, container_id)
        running = await far.news()
        await clients.run(lambda api: api.pause(container_id))
        await asyncio.sleep(1.5)
        paused = await far.read()
        await clients.run(lambda api: api.unpause(container_id))
        await docker_world.engine.stop(container_id, grace_seconds=1)
        await far.nothing()
        await docker_world.engine.start(container_id)
        restarted = await far.news()
        assert paused is not None
        assert paused.cpu_seconds is not None
        assert running.cpu_seconds is not None
        assert restarted.cpu_seconds is not None

    assert paused.cpu_seconds >= running.cpu_seconds
    assert 0 < restarted.cpu_seconds < paused.cpu_seconds
    assert len(relay.streams) == 1


async def test_of_a_removed_one_nothing_is_left(docker_world: Any, relay: EngineRelay) -> None:
    container_id = await docker_world.run("spin")
    async with usages_at(relay.address) as usages:
        far = Far(docker_world, usages, container_id)
        await far.news()
        state = await docker_world.engine.inspect(container_id)
        held = threads()
        await docker_world.engine.remove(container_id)
        await until(lambda: threads() == 0)

        assert held == 1
        assert await usages.read(state) is None
        assert len(relay.streams) == 1


async def test_an_engine_cut_off_is_an_error_until_it_is_back(
    docker_world: Any, relay: EngineRelay
) -> None:
    container_id = await docker_world.run("spin")
    async with usages_at(relay.address) as usages:
        far = Far(docker_world, usages, container_id)
        before = await far.news()
        await relay.cut()
        await until(lambda: threads() == 0)
        for _ in range(2):
            with pytest.raises(EngineUnavailable, match=relay.address):
                await far.read()
        await relay.back()
        at_once = await far.read()
        after = await far.news()
        assert at_once is not None

    assert before.cpu_seconds < at_once.cpu_seconds < after.cpu_seconds  # type: ignore[operator]
    assert len(relay.streams) == 2


async def test_containers_beyond_the_bound_are_asked_for_single_shots(
    docker_world: Any, relay: EngineRelay
) -> None:
    one, two = await docker_world.run("sleep"), await docker_world.run("sleep")
    async with usages_at(relay.address, most=1) as usages:
        for _ in range(2):
            for container_id in (one, two):
                assert await Far(docker_world, usages, container_id).read() is not None
        await until(lambda: len(relay.streams) == 1)
        held = threads()

    assert held == 1
    assert [one in path for path in relay.shots] == [True, False, False]
    assert one in relay.streams[0]
