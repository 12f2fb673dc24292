"""Held updates: what asks for more than before waits until exactly it is granted."""

import pytest

from orchestrator.manager.permissions import UpdateChanged, UpdateNotHeld
from orchestrator.registry.resolve import DependenciesUnresolved
from tests.unit.manager.permission_house import ASKED, PermissionHouse


async def held_id(house: PermissionHouse) -> str:
    """Version 2 asks for one host more; the id under which it waits."""
    more = [*ASKED[:1], {"external_api": {"hosts": ["a.example:443", "c.example:443"]}}]
    house.plugin(version="2.0.0", permissions=more)
    await house.up()
    return house.daemon.manager.fleet.held["notes"].update


async def test_an_update_that_asks_for_more_waits_and_the_old_one_goes_on(
    house: PermissionHouse,
) -> None:
    before = house.deployment
    await held_id(house)
    row = house.row

    assert house.deployment.compiled == before.compiled
    assert row.version == "1.0.0"
    assert row.held is not None
    assert row.held.version == "2.0.0"
    assert row.held.differences == (
        (
            "asks for c.example:443 in external_api.hosts (before: a.example:443, b.example:443, "
            "now: a.example:443, c.example:443)"
        ),
    )


async def test_a_held_update_is_remembered_and_the_same_after_another_up(
    house: PermissionHouse,
) -> None:
    update = await held_id(house)
    async with house.open():
        kept = house.daemon.manager.fleet.held["notes"].update
        version = house.deployment.inputs.info.version
        await house.up()
        again = house.daemon.manager.fleet.held["notes"].update

    assert (kept, again, version) == (update, update, "1.0.0")


async def test_the_grant_of_an_update_lets_exactly_it_through(house: PermissionHouse) -> None:
    update = await held_id(house)
    with pytest.raises(UpdateChanged, match=update):
        await house.system.grant_update("notes", "000000000000")
    told = await house.system.grant_update("notes", update, who="ada", why="fine")
    await house.up()

    assert len(told) == 1
    assert house.deployment.inputs.info.version == "2.0.0"
    assert house.daemon.manager.fleet.held == {}
    assert [row[:4] for row in house.audited("permission_grant")] == [
        ("refused", "operator", "", "operator"),
        ("done", "operator", "fine", "ada"),
    ]


async def test_an_update_that_changed_while_it_waited_is_another_one(
    house: PermissionHouse,
) -> None:
    seen = await held_id(house)
    house.plugin(version="2.0.1", permissions=[*ASKED[:2], "plugin_communication"])
    await house.up()

    with pytest.raises(UpdateChanged):
        await house.system.grant_update("notes", seen)
    assert house.deployment.inputs.info.version == "1.0.0"


async def test_there_is_no_update_to_grant_where_none_waits(house: PermissionHouse) -> None:
    with pytest.raises(UpdateNotHeld):
        await house.system.grant_update("notes", "000000000000")


async def test_an_update_that_was_taken_back_waits_no_more(house: PermissionHouse) -> None:
    await held_id(house)
    house.plugin()
    await house.up()

    assert house.daemon.manager.fleet.held == {}


async def test_a_revoke_holds_through_the_grant_of_an_update(house: PermissionHouse) -> None:
    update = await held_id(house)
    await house.revoke()
    await house.system.grant_update("notes", update)

    assert house.deployment.inputs.info.version == "2.0.0"
    assert house.has == {}


async def test_a_plugin_that_is_to_stop_stops_though_its_update_waits(
    house: PermissionHouse,
) -> None:
    house.manifest(state="stopped")
    await held_id(house)

    assert house.deployment.inputs.info.version == "1.0.0"
    assert house.deployment.running is False


async def test_nothing_waits_after_down(house: PermissionHouse) -> None:
    await held_id(house)
    await house.daemon.manager.down(with_volumes=False)

    assert house.daemon.manager.fleet.held == {}
    assert house.daemon.manager.fleet.store.load("held") == {}


async def test_the_grant_of_an_update_is_weighed_like_an_up(house: PermissionHouse) -> None:
    house.plugin(version="2.0.0", dependencies=["search"])
    await house.up()
    update = house.daemon.manager.fleet.held["notes"].update

    with pytest.raises(DependenciesUnresolved):
        await house.system.grant_update("notes", update)
    assert house.deployment.inputs.info.version == "1.0.0"
    assert house.daemon.manager.fleet.held["notes"].update == update
