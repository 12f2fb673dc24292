"""PermissionSystem.reset_permissions: what was granted and revoked by command is forgotten."""

from dataclasses import replace

import pytest

from orchestrator.manager.manager import PluginNotFound
from orchestrator.store.base import StoreUnavailable
from tests.unit.manager.permission_house import API, READ, TALK, PermissionHouse


async def test_a_reset_forgets_grant_and_revoke_so_that_the_manifest_alone_holds(
    house: PermissionHouse,
) -> None:
    before = house.deployment
    await house.system.grant_permission("notes", API)
    await house.revoke(API)
    await house.revoke(READ)
    forgotten = await house.system.reset_permissions("notes", who="ada", why="all is well")

    assert [(one.permission, one.state) for one in forgotten] == [
        (API, "granted"),
        (API, "revoked"),
        (READ, "revoked"),
    ]
    assert house.deployment == before
    assert house.row.drift == ()
    assert house.audited("permission_reset") == [("done", "operator", "all is well", "ada", "")]


async def test_the_history_says_who_reset_what_and_why(house: PermissionHouse) -> None:
    await house.revoke(READ)
    await house.system.reset_permissions("notes", who="ada", why="all is well")
    newest = house.daemon.manager.rollouts.of("notes").wanted

    assert newest.who == "ada"
    assert newest.why == f"what was granted or revoked of {READ} was reset: all is well"


async def test_it_is_forgotten_for_the_next_daemon_too(house: PermissionHouse) -> None:
    await house.system.grant_permission("notes", API)
    await house.revoke(READ)
    await house.system.reset_permissions("notes")
    async with house.open():
        kept = house.has
        await house.up()

        assert house.has == kept
        assert sorted(kept) == [READ]


async def test_a_reset_of_one_permission_leaves_the_others(house: PermissionHouse) -> None:
    await house.system.grant_permission("notes", API)
    await house.revoke(READ)
    await house.system.reset_permissions("notes", API)

    assert house.has == {}
    [left] = house.row.drift
    assert (left.permission, left.state) == (READ, "revoked")


async def test_a_reset_leaves_what_was_said_of_other_plugins(house: PermissionHouse) -> None:
    overrides = house.daemon.permissions._overrides
    await house.revoke(READ)
    [mine] = overrides.all
    theirs = replace(mine, plugin_id="mail")
    overrides.put(theirs)
    await house.system.reset_permissions("notes")

    assert overrides.all == (theirs,)


async def test_after_a_reset_of_a_revoke_the_brake_no_longer_holds(house: PermissionHouse) -> None:
    """Else the next sandbox would get no socket for what it was given back."""
    cut = house.daemon.permissions._brake._access._cut
    await house.system.grant_permission("notes", API)
    await house.revoke(API)
    held = ("notes", API) in cut
    await house.system.reset_permissions("notes", API)

    assert held
    assert cut == set()


async def test_a_reset_where_nothing_was_said_changes_nothing(house: PermissionHouse) -> None:
    before = house.deployment

    assert await house.system.reset_permissions("notes", TALK) == ()
    assert house.deployment is before


async def test_a_reset_of_a_plugin_that_is_not_there_is_refused_and_recorded(
    house: PermissionHouse,
) -> None:
    with pytest.raises(PluginNotFound):
        await house.system.reset_permissions("nobody", READ)

    assert house.audited("permission_reset") == [("refused", "operator", "", "operator", READ)]


async def test_without_a_store_a_revoke_is_not_forgotten(
    house: PermissionHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(kind: str, records: object) -> None:
        raise StoreUnavailable("no space left on device")

    await house.revoke(READ)
    monkeypatch.setattr(house.daemon.manager.fleet.store, "put_all", full)
    with pytest.raises(StoreUnavailable):
        await house.system.reset_permissions("notes")

    assert house.has == {}
