"""Daemons that are killed, and instances that are taken down, amid it all."""

from dataclasses import replace

from orchestrator.model.gitops import SyncState
from orchestrator.model.status import SubState
from tests.unit.gitops.house import GitHouse


async def test_down_amid_a_sync_is_not_undone_by_it(house: GitHouse) -> None:
    house.plugin("one")
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
        async with house.daemon.manager.one:  # somebody else's turn: the sync has to wait
            house.plugin("one", version="1.1.0")
            house.push()
            await house.until(lambda: house.record.run is not None)
            await house.rests()
            house.commands.forget()
        await house.rests()

        assert house.version("one") == "1.0.0"
        assert house.commands.status() is None
        assert house.record.applied == {}


async def test_a_daemon_that_is_killed_goes_on_where_it_was(house: GitHouse) -> None:
    house.plugin("one")
    house.plugin("two")
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
    for restart in range(3):  # before it looked, amid a wave, after all
        house.plugin("one", version=f"1.{restart}.1", actor=house.actors["one"])
        sha = house.repo.commit(subject=f"{restart}")
        async with house.goes_on():
            house.look()
            if restart == 1:
                await house.until(lambda: house.record.run is not None)
            elif restart == 2:
                await house.synced(sha)
        async with house.goes_on():
            house.look()
            await house.synced(sha)
            assert house.version("one") == f"1.{restart}.1"
            await house.until(lambda: house.sub_state("two") is SubState.RUNNING)
    subjects = [row["subject"] for row in house.commands.history()]
    assert subjects == ["Change", "0", "1", "2"]


async def test_a_wave_has_its_time_again_after_the_machine_was_off(house: GitHouse) -> None:
    house.plugin("one")
    first = house.repo.commit()
    async with house.follows(sync={"wave_deadline_seconds": 60}):
        await house.synced(first)
        house.plugin("one", version="1.1.0", actor=house.actors["one"])
        sha = house.push()
        await house.until(lambda: house.record.run and house.record.run.submitted)
    house.later(10_000)
    async with house.goes_on():
        await house.synced(sha)

        assert house.version("one") == "1.1.0"
        assert house.record.quarantine == {}


async def test_what_comes_to_something_else_than_before_is_set_back_once(house: GitHouse) -> None:
    house.plugin("one")
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
        # An image's tag was moved since, say: no repair brings back what it was.
        applied = replace(house.record.applied["one"], fingerprint="0" * 64)
        house.gitops.book.put(applied={"one": applied})
        await house.rests()
        await house.whole(SyncState.SYNCED)

        assert house.status.heals_total == 1


async def test_a_quarantine_outlives_the_daemon(house: GitHouse) -> None:
    house.plugin("good")
    house.plugin("bad")
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
        sha = await house.bad_update()
    async with house.goes_on():
        house.look()
        await house.rests()

        assert sha in house.record.quarantine
        assert (house.version("good"), house.status.synced) == ("1.0.0", first)
