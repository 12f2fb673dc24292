"""What may come back with an old revision: nothing that was revoked, all that can run today."""

from typing import Any

import pytest

from orchestrator.engine.base import EngineUnavailable
from orchestrator.manager.revisions import RevisionState
from orchestrator.model.permissions import PermissionKind
from tests.unit.manager.rollout_house import RolloutHouse

API = PermissionKind.EXTERNAL_API
HOSTS = [{"external_api": {"hosts": ["a.example:443"]}}]


async def test_nothing_comes_back_that_was_revoked_since(rollout_house: RolloutHouse) -> None:
    house = rollout_house
    house.manifest(*HOSTS)
    await house.good(1, permissions=HOSTS)
    await house.wanted(2, permissions=HOSTS)
    await house.revoke(API)
    for _ in range(3):
        house.fails()
        await house.pass_after(1.0)

    assert house.runs_version == "1.0.0"
    assert house.has == {}
    assert house.daemon.manager.fleet.earlier == {}


async def test_while_an_update_comes_up_only_what_is_not_revoked_may_be_healed(
    rollout_house: RolloutHouse,
) -> None:
    house = rollout_house
    house.manifest(*HOSTS)
    await house.good(1, permissions=HOSTS)
    first = house.deployment
    await house.wanted(2, permissions=HOSTS)
    [before] = house.daemon.manager.fleet.earlier["notes"].values()
    await house.revoke(API)
    [after] = house.daemon.manager.fleet.earlier["notes"].values()

    assert before.compiled.digest == first.compiled.digest
    assert before.grant.permissions != ()
    assert after.inputs.info.version == "1.0.0"
    assert after.grant.permissions == ()


async def test_a_revoke_makes_a_revision_and_tells_by_whom_and_why(
    rollout_house: RolloutHouse,
) -> None:
    house = rollout_house
    house.manifest(*HOSTS)
    house.plugin(permissions=HOSTS)
    await house.up()
    await house.revoke(API)
    newest = house.rollout.wanted

    assert (newest.number, newest.who, newest.why) == (
        2,
        "ada",
        "external_api was revoked: it leaks",
    )


async def test_a_revoke_is_no_way_around_the_quarantine(rollout_house: RolloutHouse) -> None:
    house = rollout_house
    house.manifest(*HOSTS)
    await house.good(1, permissions=HOSTS)
    await house.bad(2, permissions=HOSTS)
    await house.revoke(API)
    after_revoke = (house.runs_version, house.has)
    await house.up()
    asked = house.rollouts.asked(house.deployment).info.version

    assert after_revoke == ("1.0.0", {})
    assert (house.runs_version, house.has, asked) == ("1.0.0", {}, "2.0.0")


async def test_a_grant_to_what_was_gone_back_to_leaves_what_was_asked_for_as_it_is(
    rollout_house: RolloutHouse,
) -> None:
    house = rollout_house
    asks = [{"file_system_read": {"shares": ["docs"]}}]
    await house.good(1, permissions=asks)
    await house.bad(2, permissions=asks)
    await house.system.grant_permission("notes", PermissionKind.FILE_SYSTEM_READ)
    [record] = house.daemon.manager.fleet.store.load("desired").values()

    info = record["info"]
    assert isinstance(info, dict)
    assert (house.runs_version, [*house.has]) == ("1.0.0", ["file_system_read"])
    assert info["version"] == "2.0.0"


async def test_a_revision_that_needs_what_was_revoked_is_not_gone_back_to(
    rollout_house: RolloutHouse,
) -> None:
    house = rollout_house
    needs = [{"external_api": {"hosts": ["a.example:443"], "required": True}}]
    house.manifest(*HOSTS)
    await house.good(1, permissions=needs)
    house.manifest()
    await house.wanted(2)
    await house.revoke(API)
    for _ in range(3):
        house.fails()
        await house.pass_after(1.0)

    assert house.runs_version == "2.0.0"
    assert house.rollout.wanted.reason.endswith(
        "nothing to go back to: revision 1: it cannot work without what was revoked"
    )
    assert house.news[-1] == "failed"


async def test_a_revision_whose_image_is_gone_is_not_gone_back_to(
    rollout_house: RolloutHouse,
) -> None:
    house = rollout_house
    await house.good(1)
    await house.good(2)
    gone = house.deployment.inputs.image
    await house.wanted(3)
    house.images._images.pop(gone)
    for _ in range(3):
        house.fails()
        await house.pass_after(1.0)

    assert house.runs_version == "1.0.0"


async def test_a_revision_that_was_well_is_there_to_go_back_to_though_images_are_pruned(
    rollout_house: RolloutHouse,
) -> None:
    """Each time the name `notes:1` moves on to another image."""
    house = rollout_house
    await house.good(1)
    await house.good(2)
    await house.wanted(3)
    house.images.prune()
    for _ in range(3):
        house.fails()
        await house.pass_after(1.0)
    first, _, third = (revision.inputs.image for revision in house.rollout.revisions)

    assert house.runs_version == "2.0.0"
    assert await house.images.find(first) is not None
    assert await house.images.find(third) is not None  # it has the name now


async def test_an_engine_that_is_away_holds_up_the_verdict_and_loses_none(
    rollout_house: RolloutHouse,
) -> None:
    house = rollout_house
    await house.wanted(1)
    house.images.failures.add("tag", EngineUnavailable("away"))
    await house.pass_after(house.well())
    again_at = await house.pass_after(5.0)
    waiting = house.rollout.wanted.state
    await house.pass_after(1.0)

    assert (again_at, waiting) == (house.played.at, RevisionState.PROGRESSING)
    assert house.rollout.wanted.state is RevisionState.HEALTHY


async def test_what_is_revoked_while_the_way_back_is_looked_for_does_not_come_back(
    rollout_house: RolloutHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine is asked for the image meanwhile, which takes its time."""
    house = rollout_house
    house.manifest(*HOSTS)
    await house.good(1, permissions=HOSTS)
    house.manifest()
    await house.wanted(2)
    way_back = house.rollouts._way_back
    find = way_back.find

    async def slowly(*about: Any) -> Any:
        found = await find(*about)
        await house.revoke(API)
        return found

    monkeypatch.setattr(way_back, "find", slowly)
    for _ in range(3):
        house.fails()
        await house.pass_after(1.0)

    assert house.has == {}
