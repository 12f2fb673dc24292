"""The engine's events are hints: a lost one costs time, never the truth."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest

from orchestrator.engine.base import (
    LABEL_PLUGIN,
    EngineEvent,
    EngineEventKind,
    EngineFailure,
    EngineUnavailable,
)
from orchestrator.engine.memory import MemoryEngine
from orchestrator.manager import hints
from orchestrator.manager.hints import hear
from orchestrator.model.container import ContainerPhase, ContainerSpec
from tests.unit.manager.loop_house import LABELS, LoopHouse

OF_A_PLUGIN = {**LABELS, LABEL_PLUGIN: "notes"}


@pytest.fixture
def spec(make: Any) -> ContainerSpec:
    compiled: ContainerSpec = make.deployment().compiled.spec
    return compiled


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints, "ENGINE_RETRY_SECONDS", 0.0)


async def test_what_happened_while_the_stream_was_broken_is_seen_after_it(
    spec: ContainerSpec,
) -> None:
    house = LoopHouse()
    async with house.running():
        container_id = await house.engine.create(spec, name="notes", labels=OF_A_PLUGIN)
        await house.until(lambda: container_id in house.fleet.containers)
        house.engine.drop_events(dropped=True)  # an engine that restarts remembers no events
        house.engine.set_available(available=False)
        await house.until(lambda: bool(house.loop.engine_lost))
        house.engine.set_available(available=True)
        await house.engine.remove(container_id)
        house.engine.drop_events(dropped=False)
        await house.until(lambda: not house.fleet.containers)

    assert house.types() == ["engine.lost", "engine.found"]


async def test_events_that_are_lost_are_made_up_for_by_the_full_pass(spec: ContainerSpec) -> None:
    house = LoopHouse(full_pass_seconds=1)
    async with house.running():
        container_id = await house.engine.create(spec, name="notes", labels=OF_A_PLUGIN)
        await house.until(lambda: container_id in house.fleet.containers)
        house.engine.drop_events(dropped=True)
        await house.engine.start(container_id)
        await house.until(
            lambda: house.fleet.containers[container_id].phase is ContainerPhase.RUNNING
        )


async def test_a_loop_that_is_never_quiet_has_its_full_pass_all_the_same(
    spec: ContainerSpec,
) -> None:
    house = LoopHouse(full_pass_seconds=1)
    async with house.running():
        house.engine.drop_events(dropped=True)
        container_id = await house.engine.create(spec, name="notes", labels=OF_A_PLUGIN)

        def woken_again() -> bool:
            house.loop.wake()
            return container_id in house.fleet.containers

        await house.until(woken_again)


class Stream:
    """An engine whose stream the test speaks: each connection is a list of events, then an end."""

    def __init__(self, *connections: list[EngineEvent], end: Exception) -> None:
        self.asked: list[float] = []
        self.silent = asyncio.Event()
        self._connections = list(connections)
        self._end = end

    async def events(
        self, labels: Mapping[str, str], *, since: float, opened: Callable[[], None]
    ) -> AsyncIterator[EngineEvent]:
        self.asked.append(since)
        opened()
        if not self._connections:
            self.silent.set()
            await asyncio.Event().wait()
        for event in self._connections.pop(0):
            yield event
        raise self._end


class Heard:
    """An observer that only takes down what it is told."""

    def __init__(self) -> None:
        self.labels = LABELS
        self.heard: list[EngineEvent] = []
        self.doubts = 0

    def hear(self, event: EngineEvent) -> None:
        self.heard.append(event)

    def doubt_all(self) -> None:
        self.doubts += 1


def oom(at: float, container_id: str = "1") -> EngineEvent:
    return EngineEvent(kind=EngineEventKind.OOM, container_id=container_id, at=at)


async def listen(stream: Stream) -> Heard:
    heard = Heard()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(
            hear(stream, heard, lambda: None, since=5.0)  # type: ignore[arg-type]
        )
        await stream.silent.wait()
        task.cancel()
    return heard


@pytest.mark.parametrize("end", [EngineUnavailable("gone"), EngineFailure("500")])
async def test_a_connection_goes_on_where_the_last_one_ended_and_nothing_is_told_twice(
    end: Exception,
) -> None:
    first, second, beside, third = oom(7.0), oom(9.0), oom(9.0, "2"), oom(11.0)
    # What happened at the moment of the checkpoint is replayed, heard before or not.
    stream = Stream([first, second], [second, beside, third], end=end)
    heard = await listen(stream)

    assert stream.asked[:3] == [5.0, 9.0, 11.0]
    assert heard.heard == [first, second, beside, third]


async def test_within_one_connection_two_equal_events_are_two() -> None:
    stream = Stream([oom(7.0), oom(7.0)], [], end=EngineUnavailable("gone"))

    assert len((await listen(stream)).heard) == 2


async def test_everything_is_listed_once_the_engine_tells_and_when_it_no_longer_does() -> None:
    heard = await listen(Stream([], [], end=EngineUnavailable("gone")))

    assert heard.doubts == 3 + 2


async def test_the_in_memory_engine_says_when_it_tells(spec: ContainerSpec) -> None:
    engine, opened = MemoryEngine(), []
    stream = engine.events({}, since=0.0, opened=lambda: opened.append(1))
    await engine.create(spec, name="notes", labels={})
    await anext(stream)

    assert opened == [1]
