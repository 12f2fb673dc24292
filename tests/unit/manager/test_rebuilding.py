"""A damaged state file under a whole daemon: it starts, tells, and leaves what is unsure alone."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.manager import rebuilding
from orchestrator.manager.plan import Action
from orchestrator.manager.revisions import Note
from orchestrator.manager.statuses import state_trouble, status
from orchestrator.model.events import EventName
from orchestrator.model.permissions import PermissionKind
from orchestrator.store.rebuild import REBUILT, set_aside
from orchestrator.store.sqlite import SqliteStore
from tests.unit.manager.permission_house import API, PermissionHouse

Damage = Callable[[Path], Any]


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def without(kind: str) -> Damage:
    """One bit of each record of that kind has flipped."""

    def damage(path: Path) -> None:
        store = SqliteStore.open(path)
        store._connection.execute("UPDATE records SET value = value || ' ' WHERE kind = ?", (kind,))
        store.close()

    return damage


def misnamed(kind: str, *, key: bool = False) -> Damage:
    """One bit has flipped in the kind, or in the key, of the records of that kind."""
    change = (
        "UPDATE records SET key = 'ootes' WHERE kind = ?"
        if key
        else "UPDATE records SET kind = 'x' || substr(kind, 2) WHERE kind = ?"
    )

    def damage(path: Path) -> None:
        store = SqliteStore.open(path)
        assert store._connection.execute(change, (kind,)).rowcount > 0
        store.close()

    return damage


@pytest.fixture
def house(tmp_path: Path) -> PermissionHouse:
    house = PermissionHouse(tmp_path)
    house.plugin()
    house.manifest("external_api")
    return house


async def planned(house: PermissionHouse, monkeypatch: pytest.MonkeyPatch) -> list[Action]:
    """What one pass of the loop would do."""
    found: list[Action] = []

    async def note(action: Action, policy: object) -> None:
        found.append(action)

    loop = house.daemon.manager.loop
    monkeypatch.setattr(loop._steps, "perform", note)
    async with asyncio.TaskGroup() as group:
        await loop._pass(group)
    return found


async def run_and_damage(house: PermissionHouse, damage: Damage) -> None:
    async with house.open():
        await house.up()
        await house.runs()
    damage(house.settings.database)


@pytest.mark.parametrize(
    "damage",
    [
        emptied,
        without("desired"),
        without("instance"),
        misnamed("desired"),
        misnamed("desired", key=True),
    ],
    ids=["all", "desired", "policy", "a kind's name", "a plugin's name"],
)
async def test_no_container_is_removed_while_what_is_wanted_is_unknown(
    house: PermissionHouse, monkeypatch: pytest.MonkeyPatch, damage: Damage
) -> None:
    await run_and_damage(house, damage)
    for _ in range(2):  # and not by the start after that one either
        async with house.open():
            assert await planned(house, monkeypatch) == []


async def test_what_was_saved_goes_on(
    house: PermissionHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run_and_damage(house, without("nothing"))
    house.settings.database.write_bytes(b"\xff" * 100 + house.settings.database.read_bytes()[100:])
    async with house.open():
        actions = await planned(house, monkeypatch)

        assert [type(action).__name__ for action in actions] == ["Adopt"]
        assert house.daemon.manager.fleet.unread == set()


async def test_a_container_of_another_revision_than_was_saved_is_left_alone(
    house: PermissionHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was saved may be older than what was wanted last."""
    async with house.open():
        await house.up()
        await house.runs()
        house.manifest("external_api", limits={"max_memory_mb": 99})
        await house.up()
    database = house.settings.database
    database.write_bytes(b"\xff" * 100 + database.read_bytes()[100:])
    async with house.open():
        assert await planned(house, monkeypatch) == []
        row = status(house.daemon.manager.fleet, "notes")
        assert row is not None
        assert row.detail == rebuilding.LEFT_ALONE


async def test_the_loss_is_told_by_event_audit_log_and_status(house: PermissionHouse) -> None:
    await run_and_damage(house, emptied)
    async with house.open():
        (event,) = house.daemon.bus.latest(subject="", count=1)
        (aside,) = set_aside(house.settings.database)
        (record,) = [r for r in house.daemon.audit.read() if r.entry["action"] == "state"]

        assert event.type == EventName.STATE_REBUILT
        assert (event.data["aside"], event.data["saved"]) == (aside.name, 0)
        assert "found an empty file" in str(record.entry["why"])
        assert record.entry["outcome"] == "failed"
        assert house.daemon.audit.verify().intact
        assert f"set aside as {aside.name}" in state_trouble(house.daemon.manager.fleet)


async def test_the_loss_is_told_by_event_once_and_by_status_until_it_is_settled(
    house: PermissionHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run_and_damage(house, emptied)
    async with house.open():
        pass
    async with house.open():
        assert not [e for e in house.daemon.bus.latest(subject="", count=9) if "state" in e.type]
        assert "rebuilt" in state_trouble(house.daemon.manager.fleet)
        await house.up()
        await planned(house, monkeypatch)
        await house.up()

        assert state_trouble(house.daemon.manager.fleet) == ""
        assert house.daemon.manager.fleet.store.load(REBUILT) == {}


async def test_an_up_takes_the_plugin_back(
    house: PermissionHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run_and_damage(house, emptied)
    async with house.open():
        await planned(house, monkeypatch)
        await house.up()
        actions = await planned(house, monkeypatch)

        assert [type(action).__name__ for action in actions] == ["Adopt"]
        assert house.daemon.manager.fleet.unread == set()


async def test_an_up_of_other_paths_leaves_what_is_unknown_alone_also_after_a_restart(
    house: PermissionHouse, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    await run_and_damage(house, emptied)
    empty = tmp_path / "others"
    empty.mkdir()
    house.images.add("other:1", files={"/plugin/plugin.yaml": house.plugin_text("other")})
    (empty / "other.yaml").write_text(
        (house.manifests / "notes.yaml").read_text().replace("notes", "other")
    )
    async with house.open():
        await house.daemon.manager.apply([empty], house.config)
        await planned(house, monkeypatch)
        await house.daemon.manager.apply([empty], house.config)
    async with house.open():
        actions = await planned(house, monkeypatch)

        assert {action.plugin_id for action in actions} == {"other"}
        assert house.daemon.manager.fleet.unread == {"notes"}


async def test_down_takes_what_is_unknown_away_in_order(
    house: PermissionHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run_and_damage(house, emptied)
    async with house.open():
        manager = house.daemon.manager
        manager._commit({}, manager.policy, Note(who="ada", why="down"), named=set(), held={})
        actions = await planned(house, monkeypatch)

        assert [type(action).__name__ for action in actions] == ["Remove"]
        assert state_trouble(manager.fleet) == ""


@pytest.mark.parametrize(
    "damage",
    [emptied, without("override"), misnamed("override")],
    ids=["all", "overrides", "their kind's name"],
)
async def test_what_was_revoked_stays_revoked_when_its_record_is_lost(
    house: PermissionHouse, damage: Damage
) -> None:
    async with house.open():
        await house.up()
        await house.system.revoke_permission("notes", API, why="it sends too much")
        await house.system.revoke_permission("notes", PermissionKind.NETWORK_ACCESS)
        await house.system.grant_permission("notes", PermissionKind.NETWORK_ACCESS)
    damage(house.settings.database)
    async with house.open():
        await house.up()

        assert API not in house.has
        (override,) = [o for o in house.daemon.permissions._overrides.all if o.state == "revoked"]
        assert (override.permission, override.why) == (API, "it sends too much")
