"""A task of the daemon's that fails is told and begun anew; the others do not notice."""

import asyncio
import logging

import pytest

from orchestrator.clock import SystemClock
from orchestrator.daemon import supervise
from orchestrator.daemon.supervise import supervised
from orchestrator.events.bus import PluginEventBus
from orchestrator.model.events import PluginEvent


class Task:
    """Fails a number of times, then runs until it is cancelled."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.begun = 0
        self.runs = asyncio.Event()

    async def run(self) -> None:
        self.begun += 1
        if self.begun <= self.failures:
            raise ZeroDivisionError("a bug")
        self.runs.set()
        await asyncio.Event().wait()


@pytest.fixture
def told() -> list[PluginEvent]:
    return []


@pytest.fixture
def bus(told: list[PluginEvent]) -> PluginEventBus:
    bus = PluginEventBus(clock=SystemClock(), instance="one")
    bus.listen(told.append)
    return bus


async def test_a_task_that_fails_is_told_and_begun_anew_beside_one_that_runs_on(
    bus: PluginEventBus,
    told: list[PluginEvent],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(supervise, "FIRST_PAUSE_SECONDS", 0.001)
    broken, well = Task(3), Task(0)
    with caplog.at_level(logging.ERROR):
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            tasks = [group.create_task(supervised("t", it.run, bus)) for it in (broken, well)]
            await broken.runs.wait()
            await well.runs.wait()
            for task in tasks:
                task.cancel()

    pauses = [event.data["again_in_seconds"] for event in told]
    assert (broken.begun, well.begun) == (4, 1)
    assert pauses == [0.001, 0.002, 0.004]
    assert {(e.type, e.data["task"], e.data["detail"]) for e in told} == {
        ("orchestrator.daemon.task_failed", "t", "ZeroDivisionError: a bug")
    }
    assert caplog.text.count("Traceback") == 3


async def test_a_task_that_ends_by_itself_is_not_begun_anew(
    bus: PluginEventBus, told: list[PluginEvent]
) -> None:
    begun = []

    async def run() -> None:
        begun.append(1)

    await supervised("t", run, bus)

    assert (begun, told) == ([1], [])
