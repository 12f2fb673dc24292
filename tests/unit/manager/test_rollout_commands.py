"""What operators say to rollouts, and what they may not."""

import pytest

from orchestrator.manager.revisions import NothingToUndo, RevisionNotFound, RevisionState
from orchestrator.model.permissions import PermissionKind
from tests.unit.manager.rollout_house import RolloutHouse

API = PermissionKind.EXTERNAL_API
HOSTS = [{"external_api": {"hosts": ["a.example:443"]}}]


async def test_undo_wants_the_last_good_revision_again(rollout_house: RolloutHouse) -> None:
    house = rollout_house
    await house.good(1)
    await house.good(2)
    answer = await house.commands.undo(house.wish("too slow"), None)
    await house.pass_after(house.well())
    await house.pass_after(5.0)
    newest = house.rollout.wanted

    assert (answer["undone"], answer["back_to"], answer["revision"]) == (2, 1, 3)
    assert house.states == [
        (1, "1.0.0", "healthy"),
        (2, "2.0.0", "undone"),
        (3, "1.0.0", "healthy"),
    ]
    assert (newest.who, newest.why) == ("ada", "undo of revision 2, back to 1: too slow")
    assert house.audited("rollout")[-2][:4] == ("done", "operator", "too slow", "ada")


async def test_undo_leaves_the_revisions_of_other_plugins_alone(
    rollout_house: RolloutHouse,
) -> None:
    house = rollout_house
    house.other("search")
    await house.good(1)
    await house.good(2)
    before = house.rollouts.of("search")
    await house.commands.undo(house.wish(), None)

    assert house.rollouts.of("search") == before


async def test_undo_is_remembered_and_the_next_up_brings_the_files_back(
    rollout_house: RolloutHouse,
) -> None:
    house = rollout_house
    await house.good(1)
    await house.good(2)
    await house.commands.undo(house.wish(), None)
    async with house.open():
        kept = house.runs_version
        await house.up()

        assert (kept, house.runs_version) == ("1.0.0", "2.0.0")


async def test_undo_to_a_revision_that_is_not_kept_is_refused_and_taken_down(
    rollout_house: RolloutHouse,
) -> None:
    house = rollout_house
    await house.good(1)

    with pytest.raises(RevisionNotFound):
        await house.commands.undo(house.wish(), 7)
    assert house.audited("rollout")[-1][:2] == ("refused", "operator")


async def test_undo_to_what_is_the_same_today_is_refused(rollout_house: RolloutHouse) -> None:
    house = rollout_house
    house.manifest(*HOSTS)
    await house.good(1, permissions=HOSTS)
    await house.revoke(API)

    with pytest.raises(NothingToUndo, match="under today's policy the same"):
        await house.commands.undo(house.wish(), 1)


async def test_a_paused_rollout_stands_still_also_for_the_next_daemon(
    rollout_house: RolloutHouse,
) -> None:
    house = rollout_house
    await house.good(1)
    answer = await house.commands.pause(house.wish())
    again = await house.commands.pause(house.wish())
    await house.wanted(2)
    for _ in range(40):
        await house.pass_after(10.0)
    async with house.open():
        paused = house.daemon.manager.fleet.paused
        await house.pass_after(1.0)

        assert (answer["changed"], again["changed"]) == (True, False)
        assert paused == {"notes"}
        assert house.rollout.wanted.state is RevisionState.PENDING
        assert house.row.detail.startswith("rollout paused: revision 2 waits, 1 runs")
        assert house.row.rollout is not None
        assert house.row.rollout.moving is False


async def test_resume_lets_a_paused_rollout_go_on(rollout_house: RolloutHouse) -> None:
    house = rollout_house
    await house.good(1)
    await house.commands.pause(house.wish())
    await house.wanted(2)
    await house.pass_after(1.0)
    answer = await house.commands.resume(house.wish())
    await house.pass_after(1.0)

    assert (answer["changed"], answer["retried"]) == (True, False)
    assert house.daemon.manager.fleet.paused == set()
    assert house.rollout.wanted.state is RevisionState.PROGRESSING
    assert house.news[-1] == "resumed"


async def test_resume_tries_what_failed_again(rollout_house: RolloutHouse) -> None:
    house = rollout_house
    await house.good(1)
    await house.bad(2)
    answer = await house.commands.resume(house.wish())
    tried = house.runs_version
    await house.pass_after(house.well())
    await house.pass_after(5.0)

    assert (answer["retried"], tried) == (True, "2.0.0")
    assert house.rollout.wanted.state is RevisionState.HEALTHY


async def test_resume_of_what_is_well_changes_nothing(rollout_house: RolloutHouse) -> None:
    house = rollout_house
    await house.good(1)
    answer = await house.commands.resume(house.wish())

    assert answer["changed"] is False
    assert "resumed" not in house.news
