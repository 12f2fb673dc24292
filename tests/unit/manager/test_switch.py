"""`start`, `stop` and `remove` of one plugin, by command and without its files."""

from pathlib import Path

import pytest

from orchestrator.manager.manager import PluginNotFound
from orchestrator.manager.revisions import RevisionState
from orchestrator.manager.rollout_commands import Wish
from orchestrator.manager.switch import Switch
from orchestrator.registry.resolve import DependenciesUnresolved
from tests.unit.manager.permission_house import ASKED, PermissionHouse
from tests.unit.manager.rollout_house import RolloutHouse

NOTES = Wish(plugin_id="notes", who="ada", why="it is loud")
MORE = [*ASKED[:1], {"external_api": {"hosts": ["a.example:443", "c.example:443"]}}]


def switch(house: PermissionHouse) -> Switch:
    manager = house.daemon.manager
    return Switch(manager=manager, clerk=manager._clerk)


def told(house: PermissionHouse) -> list[tuple[object, ...]]:
    """(outcome, words, what was changed) of the commands since the last `up`."""
    entries = [dict(record.entry) for record in house.daemon.audit.read()]
    rows = [(e["outcome"], e["why"], e["data"]) for e in entries if e["action"] == "command"]
    return [
        (outcome, why, data.get("changed"), data.get("user"), data.get("reason"))
        for outcome, why, data in rows
        if not why.startswith("up ")
    ]


async def needed(house: RolloutHouse) -> None:
    """`notes` is well, and `reader` needs it."""
    house.other("reader")
    text = house.plugin_text("reader", permissions=[], dependencies=["notes"])
    house.images.add("reader:1", files={"/plugin/plugin.yaml": text})
    await house.good(1)


async def test_a_plugin_is_stopped_and_started_and_both_are_remembered_and_taken_down(
    rollout_house: RolloutHouse,
) -> None:
    house = rollout_house
    await house.good(1)
    changed = [await switch(house).stop(NOTES), await switch(house).stop(NOTES)]
    async with house.open():
        stopped = not house.deployment.running
        changed += [await switch(house).start(NOTES), await switch(house).start(NOTES)]

        assert stopped
        assert house.deployment.running
        assert changed == [True, False, True, False]
        assert house.states == [(1, "1.0.0", "healthy")]
        assert told(house) == [
            ("done", "stop notes", True, "ada", "it is loud"),
            ("done", "stop notes", False, "ada", "it is loud"),
            ("done", "start notes", True, "ada", "it is loud"),
            ("done", "start notes", False, "ada", "it is loud"),
        ]


async def test_the_next_up_brings_back_what_the_files_say(rollout_house: RolloutHouse) -> None:
    house = rollout_house
    await house.good(1)
    await switch(house).stop(NOTES)
    await house.up()

    assert house.deployment.running


async def test_what_another_one_needs_is_neither_stopped_nor_removed(
    rollout_house: RolloutHouse,
) -> None:
    house = rollout_house
    await needed(house)
    with pytest.raises(DependenciesUnresolved) as stop:
        await switch(house).stop(NOTES)
    with pytest.raises(DependenciesUnresolved) as remove:
        await switch(house).remove(NOTES)
    found = "notes: found reader, which needs it, expected"

    assert str(stop.value) == f"{found} `orchestrator stop reader` first"
    assert str(remove.value) == f"{found} `orchestrator remove reader` first"
    assert house.deployment.running
    assert [row[0] for row in told(house)] == ["refused", "refused"]


async def test_what_a_stopped_plugin_needs_can_be_stopped_too(rollout_house: RolloutHouse) -> None:
    house = rollout_house
    await needed(house)
    await switch(house).stop(Wish(plugin_id="reader"))

    assert await switch(house).stop(NOTES)
    with pytest.raises(DependenciesUnresolved, match="remove reader"):
        await switch(house).remove(NOTES)


async def test_what_is_removed_is_wanted_no_more_and_others_stay(
    rollout_house: RolloutHouse,
) -> None:
    house = rollout_house
    await needed(house)
    changed = await switch(house).remove(Wish(plugin_id="reader"))
    async with house.open():
        assert changed
        assert [*house.daemon.manager.fleet.deployments] == ["notes"]
        with pytest.raises(PluginNotFound):
            house.daemon.manager.deployment("reader")


async def test_a_plugin_that_is_refused_by_now_can_be_removed(house: PermissionHouse) -> None:
    (Path(house.config).parent / "docs").rmdir()  # its share is gone
    house.daemon.manager.fleet.deployments["notes"].inputs.shares.clear()  # type: ignore[attr-defined]

    assert await switch(house).remove(NOTES)
    assert house.daemon.manager.fleet.deployments == {}


async def test_nobody_starts_what_nobody_deployed(rollout_house: RolloutHouse) -> None:
    house = rollout_house
    await house.good(1)
    for command in (switch(house).start, switch(house).stop, switch(house).remove):
        with pytest.raises(PluginNotFound):
            await command(Wish(plugin_id="ghost"))

    assert [row[0] for row in told(house)] == ["refused"] * 3


async def test_what_was_gone_back_from_stays_away_through_a_stop_and_a_start(
    rollout_house: RolloutHouse,
) -> None:
    house = rollout_house
    await house.good(1)
    await house.bad(2)
    await switch(house).stop(NOTES)
    stopped = (house.deployment.running, house.runs_version)
    await switch(house).start(NOTES)

    assert stopped == (False, "1.0.0")
    assert (house.deployment.running, house.runs_version) == (True, "1.0.0")
    assert house.rollout.wanted.state is RevisionState.FAILED


async def test_a_start_tries_again_what_was_given_up(rollout_house: RolloutHouse) -> None:
    house = rollout_house
    await house.wanted(1)
    for _ in range(11):
        house.fails()
    gave_up = house.daemon.manager.fleet.gave_up("notes")
    changed = await switch(house).start(NOTES)

    assert gave_up
    assert changed
    assert not house.daemon.manager.fleet.gave_up("notes")


async def test_an_update_that_waits_for_a_grant_goes_on_waiting(house: PermissionHouse) -> None:
    house.plugin(version="2.0.0", permissions=MORE)
    await house.up()
    before = house.daemon.manager.fleet.held["notes"]
    await switch(house).stop(NOTES)
    await switch(house).start(NOTES)
    async with house.open():
        assert house.daemon.manager.fleet.held["notes"] == before
        assert house.deployment.inputs.info.version == "1.0.0"
