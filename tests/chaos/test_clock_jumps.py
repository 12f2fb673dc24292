"""Somebody sets the machine's clock, forth or back: what waits, waits no longer than it should.

The clock is an argument of all that decides, so it is turned there. What the kernel and the event
loop measure (deadlines of calls, grace periods) is monotonic and cannot be turned by anybody.
"""

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.engine.base import LABEL_PLUGIN
from orchestrator.manager.actions import Sleep
from orchestrator.manager.restart import (
    FIRST_DELAY_SECONDS,
    MAX_DELAY_SECONDS,
    WINDOW_SECONDS,
    History,
    next_start,
    note_failure,
)
from orchestrator.sandbox.call import CallFailure, FailureCode, Reply
from orchestrator.store.event_values import Choice
from tests.chaos.paper_house import SECONDS, PaperHouse, paper_house
from tests.support.paper import HANG

pytestmark = pytest.mark.chaos
HOUR, DAY = 3_600.0, 86_400.0
TIMES = st.floats(-2 * DAY, 2 * DAY)


@pytest.mark.parametrize("ahead", [HOUR, -HOUR, DAY, -DAY])
async def test_a_plugin_that_crashes_around_a_jump_is_back_as_soon_as_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    async with paper_house(tmp_path, monkeypatch) as house:
        house.plugin("base")
        house.plugin("ask", info={"dependencies": ["base"]})
        async with house.daemon_runs():
            await house.up()
            await house.converged()
            await _crash(house)
            await _crash(house)
            house.clock.ahead_seconds = ahead
            await _crash(house)
            rows = {
                name: house.daemon.manager.fleet.plugin_history(name) for name in ("base", "ask")
            }
            answer = await house.call("base", b'{"well": 1}')
            house.plugin("base", image="2", info={"version": "2.0.0"})
            await house.up()
            await house.converged()
        async with house.daemon_runs():  # what it was left, another daemon reads
            await house.converged()

            assert isinstance(answer, Reply)
            assert (rows["base"].restarts, rows["ask"].restarts) == (3, 0)
            assert house.daemon.audit.verify().intact
            assert await house.leaks() == []


async def _crash(house: PaperHouse) -> None:
    """Its end, and that it is back; without a jump that takes two seconds at most."""
    before = house.daemon.manager.fleet.plugin_history("base").restarts
    house.engine.die(house.container("base"))
    async with asyncio.timeout(SECONDS):
        while house.daemon.manager.fleet.plugin_history("base").restarts == before:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    await house.converged()


@pytest.mark.parametrize("ahead", [DAY, -DAY])
async def test_a_calls_deadline_comes_when_it_should_though_the_clock_jumps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    async with paper_house(tmp_path, monkeypatch) as house:
        house.plugin("base")
        async with house.daemon_runs():
            await house.up()
            await house.converged()
            async with asyncio.TaskGroup() as group:
                late = group.create_task(house.call("base", HANG, deadline_seconds=0.5))
                long = group.create_task(house.call("base", HANG, deadline_seconds=SECONDS))
                await asyncio.sleep(0.1)
                house.clock.ahead_seconds = ahead
                answer = await late
                still = not long.done()
                long.cancel()

    assert isinstance(answer, CallFailure)
    assert answer.code is FailureCode.DEADLINE_EXCEEDED
    assert still


@pytest.mark.parametrize("ahead", [25 * HOUR, -25 * HOUR])
async def test_events_that_wait_over_a_jump_all_arrive_also_by_the_next_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    """The clock is set by more than `retention_hours`, and few dead letters are kept."""
    async with paper_house(tmp_path, monkeypatch) as house:
        house.config.write_text(
            "policy: {events: {max_dead: 3}, rollout: {min_healthy_seconds: 0}}\n"
        )
        house.plugin("late", info={"subscribes": ["order.*"]}, state="stopped")
        async with house.daemon_runs():
            await house.up()
            sent = [await _publish(house) for _ in range(10)]
            house.clock.ahead_seconds = ahead
            await _a_look_later(house)
            first = (house.daemon.events.pending(), await house.daemon.events.dead_counts())
        async with house.daemon_runs():
            await _a_look_later(house)
            second = (house.daemon.events.pending(), await house.daemon.events.dead_counts())
            house.plugin("late", info={"subscribes": ["order.*"]})
            await house.up()
            await house.converged()
            async with asyncio.timeout(SECONDS):
                while house.daemon.events.pending():  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            kept = await house.daemon.events.latest(Choice(type="order.*"), count=100)

        assert first == second == ({"late": 10}, {})
        assert [path for _, _, path in house.players.heard].count("/v1/events") == 10
        assert [json.loads(body)["id"] for body in kept] == sent
        assert house.daemon.audit.verify().intact


async def _publish(house: PaperHouse) -> str:
    bus = house.daemon.bus
    event = bus.event("order.created", source="operator/ada", subject="", data={})
    return (await house.daemon.manager.route_event(event)).event_id


async def _a_look_later(house: PaperHouse) -> None:
    """The daemon has looked at its queues, and forgotten what is old."""
    queues = house.daemon.bus.queues
    assert queues is not None
    await asyncio.sleep(1.5)
    queues.prune()
    await house.daemon.events.dead_counts()


@pytest.mark.parametrize("ahead", [DAY, -DAY])
async def test_who_sleeps_and_how_many_run_is_no_matter_of_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    async with paper_house(tmp_path, monkeypatch) as house:
        house.plugin("base", idle_timeout=600)
        house.plugin("many", replicas=3)
        async with house.daemon_runs():
            await house.up()
            await house.converged()
            house.clock.ahead_seconds = ahead
            house.daemon.manager.loop.wake()
            await house.daemon.manager.loop.passed()
            await house.daemon.manager.loop.passed()
            slept = house.daemon.manager.fleet.sleep("base")[0]
            many = await house.engine.list({LABEL_PLUGIN: "many"})
            house.engine.die(many[0].container_id)
            await asyncio.sleep(0.1)
            await house.converged()  # all three, soon
            house.plugin("base", idle_timeout=1)
            await house.up()
            async with asyncio.timeout(SECONDS):
                while house.daemon.manager.fleet.sleep("base")[0] is Sleep.AWAKE:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            answer = await house.call("base", b'{"well": 1}')

    assert slept is Sleep.AWAKE
    assert isinstance(answer, Reply)


@given(failures=st.lists(TIMES, max_size=10), now=TIMES)
def test_nothing_waits_longer_than_the_longest_back_off(failures: list[float], now: float) -> None:
    due = next_start(History(failures=(*failures,)), now=now)

    assert due is not None
    assert due <= now + 2 * MAX_DELAY_SECONDS


@pytest.mark.parametrize("back", [HOUR, DAY])
def test_back_off_grows_as_ever_after_the_clock_was_set_back(back: float) -> None:
    before = note_failure(note_failure(History(), "x", at=DAY), "x", at=DAY + 1)
    first = note_failure(before, "x", at=DAY - back)
    second = note_failure(first, "x", at=DAY - back + 1)

    assert next_start(first, now=DAY - back) == DAY - back + FIRST_DELAY_SECONDS
    assert next_start(second, now=DAY - back + 1) == DAY - back + 1 + 2 * FIRST_DELAY_SECONDS


def test_a_clock_that_is_a_little_behind_the_engines_forgets_no_failure() -> None:
    history = note_failure(note_failure(History(), "x", at=10.0), "x", at=11.0)

    assert next_start(history, now=10.9) == 11.0 + 2 * FIRST_DELAY_SECONDS
    assert next_start(history, now=11.0 + WINDOW_SECONDS) == 11.0 + WINDOW_SECONDS
