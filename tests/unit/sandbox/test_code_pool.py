"""WarmPool: what waits, what is paused, what is replaced, over the in-memory engine."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from orchestrator.engine.base import EngineFailure
from orchestrator.model.container import ContainerPhase
from orchestrator.model.policy import CodePolicy
from orchestrator.sandbox.code_result import CodeEnd
from tests.unit.sandbox.code_house import CodeHouse, code_house

PAUSED, RUNNING = ContainerPhase.PAUSED, ContainerPhase.RUNNING


@pytest.fixture
async def house() -> AsyncIterator[CodeHouse]:
    async with code_house() as house:
        await house.open()
        yield house


async def test_before_the_first_run_there_is_no_pool(house: CodeHouse) -> None:
    await asyncio.sleep(0.1)

    assert house.engine.calls == []


async def test_a_warm_run_starts_nothing_before_its_answer(house: CodeHouse) -> None:
    await house.run()
    await house.full()
    waiting = house.containers()
    house.engine.calls.clear()
    await house.run()

    assert house.used[-1] in waiting
    assert [verb for verb, _ in house.engine.calls if verb != "remove"] == []


async def test_all_but_the_next_are_paused_and_the_next_is_woken_ahead(house: CodeHouse) -> None:
    house.policy = CodePolicy(pool_size=3)
    await house.run()
    await house.full(3)
    await house.until(lambda: house.phases() == [RUNNING, PAUSED, PAUSED])
    second = house.containers()[1]
    await house.run()
    await house.full(3)
    await house.until(lambda: house.phases() == [RUNNING, PAUSED, PAUSED])

    assert house.containers()[0] == second


async def test_a_paused_sandbox_is_woken_before_it_gets_code(house: CodeHouse) -> None:
    house.policy = CodePolicy(awake=0)
    await house.run()
    await house.full()
    await house.until(lambda: house.phases() == [PAUSED, PAUSED])
    running = asyncio.ensure_future(house.run("wait:0.1"))  # noqa: TID251 - of this test alone
    await house.until(lambda: len(house.used) == 2)
    phase = house.engine._containers[house.used[1]].state.phase
    await running

    assert phase is RUNNING


async def test_a_pool_of_none_starts_a_container_for_each_run(house: CodeHouse) -> None:
    house.policy = CodePolicy(pool_size=0)
    results = [await house.run() for _ in range(2)]
    await house.full(0)

    assert [r.reason for r in results] == [CodeEnd.OK, CodeEnd.OK]
    assert [verb for verb, _ in house.engine.calls].count("create") == 2


async def test_the_pool_starts_no_more_at_a_time_than_policy_says(house: CodeHouse) -> None:
    house.policy = CodePolicy(pool_size=4, parallel_starts=2)
    house.dials = False
    house.sandbox._pool("python").take("")
    await house.until(lambda: house.sandbox.pools()["python"].starting)
    await asyncio.sleep(0.2)

    assert house.sandbox.pools()["python"].starting == 2


async def test_a_waiting_sandbox_that_died_is_dropped_and_replaced(house: CodeHouse) -> None:
    await house.run()
    await house.full()
    dead = house.containers()[0]
    house.engine.die(dead)
    await house.until(lambda: dead not in house.containers())
    await house.full()
    result = await house.run()

    assert result.reason is CodeEnd.OK


async def test_one_that_died_unseen_costs_the_run_nothing(house: CodeHouse) -> None:
    await house.run()
    await house.full()
    for box in house.maker.boxes.values():
        box.sandbox.died()
    result = await house.run()

    assert result.reason is CodeEnd.OK


class FatalPausing:
    """What is woken up turns out to be dead."""

    def __init__(self, house: CodeHouse) -> None:
        self._house = house

    async def pause(self, container_id: str) -> None: ...

    async def unpause(self, container_id: str) -> None:
        for box in self._house.maker.boxes.values():
            box.sandbox.died()


async def test_one_that_dies_as_it_is_woken_up_costs_the_run_nothing(house: CodeHouse) -> None:
    house.policy = CodePolicy(awake=0)
    house.maker._pausing = FatalPausing(house)
    await house.run()
    await house.full()
    await house.until(lambda: all(box.paused for box in house.maker.boxes.values()))
    result = await house.run()

    assert (result.reason, len(house.used)) == (CodeEnd.OK, 2)


async def test_an_old_sandbox_is_replaced_though_nobody_uses_it(house: CodeHouse) -> None:
    house.policy = CodePolicy(replace_minutes=10)
    await house.run()
    await house.full()
    old = set(house.containers())
    house.clock.at += 599
    await house.nudge()
    young = set(house.containers())
    house.clock.at += 1
    await house.nudge()
    await house.until(lambda: not old & set(house.containers()))
    await house.full()

    assert young == old


async def test_the_pool_goes_when_nobody_ran_code_for_long(house: CodeHouse) -> None:
    await house.run()
    await house.full()
    house.clock.at += house.policy.keep_warm_minutes * 60
    await house.nudge()
    await house.full(0)

    assert house.containers() == []


async def test_a_changed_policy_replaces_what_waits(house: CodeHouse) -> None:
    await house.run()
    await house.full()
    old = set(house.containers())
    house.policy = CodePolicy(max_memory_mb=64)
    await house.run()
    await house.until(lambda: not old & set(house.containers()))
    await house.full()

    assert house.used[-1] not in old
    assert {c.spec.memory_bytes for c in house.engine._containers.values()} == {64 << 20}


async def test_a_start_that_fails_is_told_and_not_tried_without_a_pause(house: CodeHouse) -> None:
    await house.run()
    await house.full()
    for _ in range(20):
        house.engine.fail_next("start", EngineFailure("no more"))
    await house.run()
    await house.until(lambda: house.sandbox.pools()["python"].trouble)
    await asyncio.sleep(0.3)
    starts = [verb for verb, _ in house.engine.calls].count("start")

    assert starts == 4  # the first run's, two of the pool, and one that failed
    assert house.sandbox.pools()["python"].trouble == "no more"


async def test_an_end_in_the_midst_of_refilling_leaves_nothing(house: CodeHouse) -> None:
    house.policy = CodePolicy(pool_size=4, parallel_starts=4)
    house.dials = False
    house.sandbox._pool("python").take("")
    await house.until(lambda: house.sandbox.pools()["python"].starting)
    await house.shut()

    assert (house.containers(), list(house.folder.iterdir())) == ([], [])


async def test_a_run_that_ends_while_the_daemon_does_is_still_answered(house: CodeHouse) -> None:
    run = asyncio.ensure_future(house.run("hang"))  # noqa: TID251 - of this test alone
    await house.until(lambda: house.used)
    await house.shut()

    assert (await run).reason is CodeEnd.SANDBOX_LOST
