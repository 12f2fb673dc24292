"""A plugin's network is its own alone: whoever puts its pause into another is undone."""

from typing import Any

import pytest

from orchestrator.engine.repairs import MemoryRepairs
from tests.unit.manager.test_networks import Town


@pytest.fixture
def town(make: Any) -> Town:
    return Town(make)


async def strayed(town: Town, *more: str) -> str:
    """The pause's id, after somebody put it into `more` networks."""
    await town.provide()
    [pause] = await town.guard.guarded()
    town.house.engine.adjust(pause.container_id, networks=tuple(sorted((*pause.networks, *more))))
    return pause.container_id


async def networks(town: Town) -> tuple[str, ...]:
    [pause] = await town.guard.guarded()
    return pause.networks


async def test_a_pause_is_taken_out_of_networks_that_are_not_its_own(town: Town) -> None:
    town.networks._repairs = MemoryRepairs(town.house.engine)
    container_id = await strayed(town, "bridge", "lan")
    await town.turn()
    await town.turn()
    left = await networks(town)

    assert len(left) == 1
    assert left[0].endswith("-notes-net")
    assert [(e.type, e.subject, e.data["found"], e.data["cure"]) for e in town.told] == [
        ("orchestrator.plugin.drifted", "notes", "bridge", "set back"),
        ("orchestrator.plugin.drifted", "notes", "lan", "set back"),
    ]
    assert town.told[0].data["container_id"] == container_id


async def test_without_the_power_to_part_them_it_is_told_once(town: Town) -> None:
    await strayed(town, "lan")
    await town.turn()
    await town.turn()

    assert len(await networks(town)) == 2
    assert [(event.data["found"], event.data["cure"]) for event in town.told] == [("lan", "tell")]


async def test_a_pause_in_its_own_network_is_left_alone(town: Town) -> None:
    town.networks._repairs = MemoryRepairs(town.house.engine)
    await town.provide()
    before = list(town.house.engine.calls)
    [pause] = await town.guard.guarded()
    await town.networks._take_out(pause)

    assert town.house.engine.calls == before
    assert town.told == []
