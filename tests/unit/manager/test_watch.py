"""A daemon over the in-memory engine: order, trouble among plugins, and what is told of it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.model.status import PluginState, SubState
from tests.unit.manager.fleet_house import Actor, FleetHouse

LEVELS = {
    **{f"base-{n}": () for n in range(4)},
    **{f"middle-{n}": (f"base-{n}", f"base-{(n + 1) % 4}") for n in range(4)},
    **{f"top-{n}": (f"middle-{n}", f"middle-{(n + 1) % 4}") for n in range(4)},
}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[FleetHouse]:
    house = FleetHouse(tmp_path)
    async with house.open():
        yield house


# -- order --------------------------------------------------------------------------------------


async def test_a_level_starts_side_by_side_and_none_before_what_it_needs_is_ready(
    house: FleetHouse,
) -> None:
    gates = {level: asyncio.Event() for level in ("base", "middle", "top")}
    for name, needs in LEVELS.items():
        house.plugin(name, *needs, actor=Actor(gate=gates[name.partition("-")[0]]))
    await house.up()
    for level, below in (("base", []), ("middle", ["base"]), ("top", ["base", "middle"])):
        mine = {name for name in LEVELS if name.startswith(level)}
        # All four at one time, though none of them is ready yet.
        await house.until(lambda mine=mine: started(house) >= mine)
        await house.quiet()

        assert started(house) == {n for n in LEVELS if n.partition("-")[0] in {*below, level}}
        assert {house.sub_state(n) for n in mine} == {SubState.STARTING}
        gates[level].set()
    await house.all_run()
    order = [e.subject for e in house.told if e.type == "orchestrator.plugin.started"]

    assert all(order.index(need) < order.index(n) for n, needs in LEVELS.items() for need in needs)


async def test_plugins_stop_in_the_reverse_order(house: FleetHouse) -> None:
    for name, needs in LEVELS.items():
        house.plugin(name, *needs)
    await house.up()
    await house.all_run()
    await house.daemon.manager.down(with_volumes=False)
    order = [e.subject for e in house.told if e.type == "orchestrator.plugin.stopped"]

    assert sorted(order) == sorted(LEVELS)
    assert all(order.index(n) < order.index(need) for n, needs in LEVELS.items() for need in needs)


def started(house: FleetHouse) -> set[str]:
    return {name.rpartition("-")[0] for verb, name in house.engine.calls if verb == "start"} and {
        plugin_id for plugin_id in LEVELS if any(_is_of(plugin_id, c) for c in house.engine.calls)
    }


def _is_of(plugin_id: str, call: tuple[str, str]) -> bool:
    return call[0] == "start" and f"-{plugin_id}-" in call[1]


# -- who waits, and for what --------------------------------------------------------------------


async def test_a_dependency_that_fails_holds_its_dependants_with_the_reason(
    house: FleetHouse,
) -> None:
    search = house.plugin("search", actor=Actor(exits=1))
    house.plugin("indexer", "search")
    house.plugin("reader", "indexer")
    house.plugin("free")
    await house.up()
    await house.settled(
        search=SubState.BACKING_OFF,
        indexer=SubState.HELD,
        reader=SubState.HELD,
        free=SubState.RUNNING,
    )
    rows = house.rows

    why = "(error: exit_code_1: it ended with exit code 1)"
    assert rows["indexer"].detail == f"waiting for search {why}"
    assert rows["reader"].detail == f"waiting for indexer, held by search {why}"
    assert rows["reader"].causes == rows["indexer"].causes == ("search",)
    assert {rows[name].status for name in ("indexer", "reader")} == {PluginState.INACTIVE}
    assert await house.containers("indexer") == []
    search.exits = None
    house.later(1.0)
    await house.all_run()


async def test_a_dependency_on_its_way_is_waited_for_without_being_held(house: FleetHouse) -> None:
    search = house.plugin("search", actor=Actor(gate=asyncio.Event()))
    house.plugin("indexer", "search")
    await house.up()
    await house.settled(search=SubState.STARTING, indexer=SubState.WAITING)

    assert house.rows["indexer"].detail == "waiting for search (starting)"
    assert search.gate is not None
    search.gate.set()
    await house.all_run()


# -- degraded -----------------------------------------------------------------------------------


async def test_who_needs_a_plugin_that_is_down_is_degraded_and_recovers_told_once_each(
    house: FleetHouse,
) -> None:
    search = house.plugin("search")
    house.plugin("indexer", "search")
    house.plugin("reader", "indexer")
    house.plugin("free")
    await house.up()
    await house.all_run()
    search.exits = 3
    house.die("search", exit_code=3)
    await house.settled(indexer=SubState.DEGRADED, reader=SubState.DEGRADED)
    for _ in range(3):
        house.later(60.0)  # it fails again and again: that is no news to the others
        await house.until(lambda: house.sub_state("search") is SubState.BACKING_OFF)
        await house.quiet()
    rows = house.rows
    down = "degraded: search is down (error: exit_code_3: it ended with exit code 3)"

    assert rows["indexer"].detail == down
    assert rows["reader"].detail == f"{down}, which indexer needs"
    assert rows["free"].detail == "running"
    assert {rows[name].status for name in ("indexer", "reader", "free")} == {PluginState.ACTIVE}
    assert house.data("reader", "degraded") == [
        {"detail": f"{down}, which indexer needs", "causes": ["search"]}
    ]
    search.exits = None
    house.later(60.0)
    await house.all_run()
    await house.quiet()
    for name in ("indexer", "reader"):
        assert house.events(name, "degraded", "recovered") == ["degraded", "recovered"]
    assert house.events("free", "degraded", "recovered") == []


async def test_what_a_plugin_says_of_itself_and_what_it_needs_are_told_together(
    house: FleetHouse,
) -> None:
    search = house.plugin("search")
    indexer = house.plugin("indexer", "search")
    indexer.says = {"state": "degraded", "detail": "no index"}
    await house.up()
    await house.all_run()
    await house.probe("indexer")
    await house.quiet()
    own = house.rows["indexer"]
    search.exits = 1
    house.die("search")
    await house.until(lambda: "search" in house.rows["indexer"].causes)
    await house.quiet()

    assert (own.sub_state, own.detail) == (SubState.DEGRADED, "degraded: no index")
    assert own.causes == ("indexer",)
    assert house.rows["indexer"].detail.startswith("degraded: no index; search is down (error")
    assert [d["causes"] for d in house.data("indexer", "degraded")] == [
        ["indexer"],
        ["indexer", "search"],
    ]


async def test_a_plugin_that_is_adopted_is_not_told_to_be_down(tmp_path: Path) -> None:
    house = FleetHouse(tmp_path)
    house.plugin("search")
    house.plugin("indexer", "search")
    async with house.open():
        await house.up()
        await house.all_run()
        for name in ("search", "indexer"):
            await house.until(lambda name=name: "completed" in house.events(name))  # type: ignore[misc]
    house.told.clear()
    async with house.open():
        await house.all_run()
        await house.quiet()

    assert sorted(house.events("search") + house.events("indexer")) == ["adopted", "adopted"]
