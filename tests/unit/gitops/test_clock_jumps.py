"""The clock on the wall is set, by a day, either way: what waits goes on, what is well stays."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from orchestrator.gitops.state import SyncRecord, failed_again
from orchestrator.model.gitops import SyncState
from orchestrator.model.status import SubState
from tests.unit.gitops.house import GitHouse
from tests.unit.gitops.test_order_in_life import FUSSY, HOOK

DAY = 86_400.0
JUMPS = pytest.mark.parametrize("jump", [-DAY, DAY], ids=["back", "forward"])


NONE = failed_again(None, "", at=0.0, words="", passing=True)


async def within(seconds: int, house: GitHouse, check: Callable[[], bool]) -> None:
    """It comes true before so much time has passed, which is let pass slowly."""
    for _ in range(seconds):
        if check():
            return
        house.later(1.0)
        house.gitops.wake()
        await asyncio.sleep(0.05)
    assert check(), house.record


@JUMPS
async def test_a_revision_that_waits_for_another_try_gets_it(house: GitHouse, jump: float) -> None:
    house.plugin("checker", tools=[FUSSY])
    first = house.repo.commit()
    async with house.follows(sync={"pre_sync": [HOOK]}):
        await house.synced(first)
        house.plugin("one")
        sha = house.push()
        await house.until(lambda: house.record.attempt and house.record.attempt.tries == 1)
        house.clock.jumped = jump
        await within(20, house, lambda: (house.record.attempt or NONE).tries >= 2)

        assert sha not in house.record.quarantine


@JUMPS
async def test_a_repair_that_waits_for_another_try_gets_it(house: GitHouse, jump: float) -> None:
    house.plugin("one")
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
        del house.images._images["one:1.0.0"]  # as if somebody had removed it
        await house.by_hand("one", version="2.0.0")
        house.gitops.wake()
        await house.until(lambda: house.record.heal and house.record.heal.tries == 1)
        house.clock.jumped = jump
        house.plugin("one")  # its image is there again
        await within(20, house, lambda: house.status.heals_total == 1)

        assert house.version("one") == "1.0.0"


@JUMPS
async def test_a_wave_that_comes_up_is_not_given_up_for_it(house: GitHouse, jump: float) -> None:
    gate = house.plugin("one").gate = asyncio.Event()
    sha = house.repo.commit()
    async with house.follows(sync={"wave_deadline_seconds": 60}):
        await house.settled(one=SubState.STARTING)
        await house.until(lambda: house.record.run and house.record.run.submitted)
        house.clock.jumped = jump
        await house.rests()
        assert house.status.state is SyncState.PROGRESSING
        gate.set()
        await house.synced(sha)

        assert house.record.quarantine == {}
        await house.settled(one=SubState.RUNNING)


@JUMPS
async def test_one_that_does_not_come_up_is_given_up_in_its_own_time(
    house: GitHouse, jump: float
) -> None:
    house.plugin("one").gate = asyncio.Event()
    sha = house.repo.commit()
    async with house.follows(sync={"wave_deadline_seconds": 20}):
        await house.until(lambda: house.record.run and house.record.run.submitted)
        house.clock.jumped = jump
        await within(40, house, lambda: sha in house.record.quarantine)

        assert "wave not well within 20 s" in house.record.quarantine[sha]


def test_tries_of_the_future_are_written_down_as_of_now_and_others_stay() -> None:
    """Else their end would move on with the clock."""
    late = failed_again(None, "a", at=100.0, words="x", passing=True)
    record = SyncRecord(attempt=late, heal=replace(late, at=10.0))

    assert record.not_after(50.0) == replace(record, attempt=replace(late, at=50.0))
    assert record.not_after(100.0) is record
    assert record.not_after(5.0).heal == replace(late, at=5.0)
