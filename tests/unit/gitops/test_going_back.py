"""Revisions that do not work, are gone back from or undone; and nobody fights about it."""

import pytest

from orchestrator.gitops.commands import GitOpsNotConfigured, GitOpsSuspended, GitRevisionNotFound
from orchestrator.manager.rollout_commands import RolloutCommands
from orchestrator.manager.rollout_commands import Wish as RolloutWish
from orchestrator.model.gitops import SyncState
from orchestrator.model.status import SubState
from tests.unit.gitops.house import ADA, GitHouse


async def test_a_revision_that_does_not_work_goes_back_whole_and_is_left_alone(
    house: GitHouse,
) -> None:
    house.plugin("good")
    house.plugin("bad")
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
        sha = await house.bad_update()
        await house.time_passes(lambda: house.sub_state("bad") is SubState.RUNNING)

        assert (house.version("good"), house.version("bad")) == ("1.0.0", "1.0.0")
        assert (house.status.state, house.status.synced) == (SyncState.DEGRADED, first)
        assert any(
            "is not tried again until there is a new commit" in r for r in house.status.reasons
        )
        assert "bad: failed 3 times in a row: exit_code_3" in house.record.quarantine[sha]
        assert house.heard()[-2:] == ["failed", "rolled_back"]
        starts = house.events("bad", "started", "died")
        house.look()
        await house.rests()
        assert house.events("bad", "started", "died") == starts
        entry = house.commands.history()[-1]
        assert (entry["outcome"], entry["changed"]) == ("failed", ["bad", "good"])


async def test_the_next_commit_is_deployed(house: GitHouse) -> None:
    house.plugin("good")
    house.plugin("bad")
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
        await house.bad_update()
        house.plugin("bad", version="1.2.0")
        third = house.push("Mended")
        await house.synced(third)

        assert (house.version("good"), house.version("bad")) == ("1.1.0", "1.2.0")
        await house.whole(SyncState.SYNCED)


async def test_a_commit_that_mends_it_does_not_wait_for_the_bad_one_to_fail(
    house: GitHouse,
) -> None:
    house.plugin("bad")
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
        house.plugin("bad", version="1.1.0")
        house.broken.add(("bad", "1.1.0"))
        second = house.push()
        await house.until(lambda: house.record.run and house.record.run.submitted)
        house.plugin("bad", version="1.2.0")
        third = house.push()
        await house.synced(third)

        assert house.version("bad") == "1.2.0"
        assert second not in house.record.quarantine


async def test_what_an_overtaken_revision_changed_goes_back_as_well(house: GitHouse) -> None:
    house.plugin("one")
    house.plugin("two")
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
        for version in ("1.1.0", "1.2.0"):
            house.broken.add(("one", version))
        house.plugin("one", version="1.1.0")
        house.plugin("two", version="1.1.0")
        house.push()
        await house.until(lambda: house.record.run and house.record.run.submitted)
        house.plugin("one", version="1.2.0")
        third = house.push()
        await house.time_passes(lambda: third in house.record.quarantine and not house.record.run)

        assert (house.version("one"), house.version("two")) == ("1.0.0", "1.0.0")


async def test_a_new_plugin_that_does_not_work_is_tried_on_and_named(house: GitHouse) -> None:
    house.plugin("good")
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
        house.plugin("new")
        house.broken.add(("new", "1.0.0"))
        sha = house.push()
        await house.time_passes(lambda: sha in house.record.quarantine and not house.record.run)

        assert "exit_code_3" in house.record.quarantine[sha]
        assert house.plugins["new"].state is SyncState.DEGRADED
        house.plugin("good", version="1.1.0")
        await house.synced(house.push())  # it holds up no commit that does not touch it
        assert house.version("good") == "1.1.0"


async def test_an_operator_who_asks_has_a_quarantined_revision_tried_again(
    house: GitHouse,
) -> None:
    house.plugin("good")
    house.plugin("bad")
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
        sha = await house.bad_update()
        house.broken.clear()
        house.commands.sync(ADA, prune=False)
        house.later(5)
        await house.synced(sha)

        assert house.version("bad") == "1.1.0"
        assert sha not in house.record.quarantine
        assert house.commands.history()[-1]["who"] == "ada"


async def test_an_operator_goes_back_and_that_stands_until_the_next_commit(
    house: GitHouse,
) -> None:
    house.plugin("one")
    first = house.repo.commit(subject="First")
    async with house.follows():
        await house.synced(first)
        house.plugin("one", version="1.1.0")
        second = house.push("Second")
        await house.synced(second)
        answer = house.commands.rollback(ADA, "")
        await house.synced(first)
        assert (answer["to"], house.version("one")) == (first, "1.0.0")
        house.look()
        await house.rests()
        assert (house.version("one"), house.status.head) == ("1.0.0", second)
        assert house.status.state is SyncState.OUT_OF_SYNC
        assert any("rolled back by ada" in reason for reason in house.status.reasons)
        house.plugin("one", version="1.2.0")
        await house.synced(house.push("Third"))

        assert house.version("one") == "1.2.0"
        await house.whole(SyncState.SYNCED)


async def test_a_sync_that_is_asked_for_takes_up_the_newest_again(house: GitHouse) -> None:
    house.plugin("one")
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
        house.plugin("one", version="1.1.0")
        second = house.push()
        await house.synced(second)
        house.commands.rollback(ADA, "")
        await house.synced(first)
        house.commands.sync(ADA, prune=False)
        house.later(5)
        await house.synced(second)

        assert house.version("one") == "1.1.0"
        await house.whole(SyncState.SYNCED)


async def test_one_goes_back_to_revisions_that_were_good_and_are_known(house: GitHouse) -> None:
    house.plugin("one")
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
        other = "1" if first.startswith("0") else "0"
        for to in ("", other * 40, other, "zzz"):
            with pytest.raises(GitRevisionNotFound, match=first[:12]):
                house.commands.rollback(ADA, to)
        with pytest.raises(
            GitRevisionNotFound, match=r"^found revision 'z\\x1b\[2J', expected the"
        ):
            house.commands.rollback(ADA, "z\x1b[2J")

        house.commands.suspend(ADA)
        for act in (
            lambda: house.commands.rollback(ADA, first),
            lambda: house.commands.sync(ADA, prune=False),
        ):
            with pytest.raises(GitOpsSuspended):
                act()


async def test_what_was_undone_by_hand_stays_so_until_git_says_another_thing(
    house: GitHouse,
) -> None:
    house.plugin("one")
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
        house.plugin("one", version="1.1.0")
        await house.synced(house.push())
        manager = house.daemon.manager
        rollouts = RolloutCommands(manager=manager, bus=house.daemon.bus, clerk=manager._clerk)
        await rollouts.undo(RolloutWish(plugin_id="one", who="ada"), None)
        await house.rests()

        assert (house.version("one"), house.plugins["one"].state) == ("1.0.0", "out_of_sync")
        assert "undone" in house.plugins["one"].reason
        house.plugin("one", version="1.2.0")
        await house.synced(house.push())
        assert house.version("one") == "1.2.0"


async def test_what_somebody_changed_by_hand_is_set_back_also_when_the_last_sync_failed(
    house: GitHouse,
) -> None:
    house.plugin("good")
    house.plugin("bad")
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
        await house.by_hand("good", version="6.6.6")
        await house.until(lambda: house.version("good") == "1.0.0")
        await house.bad_update()
        await house.by_hand("good", version="6.6.6")
        await house.until(lambda: house.version("good") == "1.0.0")

        assert house.heard().count("healed") == 2
        assert house.status.heals_total == 2


async def test_what_somebody_changed_is_shown_and_left_where_healing_is_off(
    house: GitHouse,
) -> None:
    house.plugin("one")
    first = house.repo.commit()
    async with house.follows(sync={"self_heal": False}):
        await house.synced(first)
        await house.by_hand("one", version="6.6.6")
        await house.whole(SyncState.OUT_OF_SYNC)
        await house.rests()

        assert house.version("one") == "6.6.6"
        assert house.plugins["one"].reason == "something else is wanted than git says"


async def test_while_it_is_suspended_nothing_is_taken_up_and_nothing_set_back(
    house: GitHouse,
) -> None:
    house.plugin("one")
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
        house.commands.suspend(ADA)
        assert house.status.state is SyncState.SUSPENDED
        await house.by_hand("one", version="6.6.6")
        house.plugin("one", version="1.1.0")
        sha = house.push()
        await house.rests()
        assert (house.version("one"), house.status.synced) == ("6.6.6", first)
        assert house.status.reasons[0] == "suspended by ada: a test"
        house.commands.resume(ADA)
        await house.synced(sha)

        assert house.version("one") == "1.1.0"
        assert [n for n in house.heard() if n in {"suspended", "resumed"}] == [
            "suspended",
            "resumed",
        ]


async def test_down_ends_the_following_too(house: GitHouse) -> None:
    house.plugin("one")
    first = house.repo.commit()
    async with house.follows():
        await house.synced(first)
        house.commands.forget()
        await house.daemon.manager.down(with_volumes=True)
        await house.rests()

        assert house.rows == {}
        assert house.commands.status() is None
        with pytest.raises(GitOpsNotConfigured):
            house.commands.sync(ADA, prune=False)
