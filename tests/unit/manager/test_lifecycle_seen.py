"""What is seen of plugins' lives over the in-memory engine, held to the table of sub-states."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from orchestrator.model.lifecycle import may_follow
from orchestrator.model.status import SubState
from tests.unit.manager.fleet_house import Actor, FleetHouse

Steps = set[tuple[SubState, SubState]]


@asynccontextmanager
async def watched(house: FleetHouse, seen: Steps) -> AsyncIterator[None]:
    """A daemon whose plugins are looked at each time that anything had its turn."""
    async with house.open():
        looking = asyncio.get_running_loop().create_task(look(house, seen))
        try:
            yield
        finally:
            looking.cancel()


async def look(house: FleetHouse, seen: Steps) -> None:
    before: dict[str, SubState] = {}
    while True:
        now = {name: row.sub_state for name, row in house.rows.items()}
        seen |= {(before[name], now[name]) for name in before.keys() & now.keys()}
        before = now
        await asyncio.sleep(0)


async def live(house: FleetHouse, search: Actor, notes: Actor) -> None:
    """Failures, and what they bring to those that need who failed."""
    await house.up()
    await house.settled(indexer=SubState.RUNNING, notes=SubState.BACKING_OFF)
    search.exits = 3
    house.die("search")
    await house.settled(indexer=SubState.DEGRADED)
    house.die("indexer")
    await house.settled(indexer=SubState.BACKING_OFF)
    house.later(0.6)
    await house.settled(indexer=SubState.HELD, search=SubState.BACKING_OFF)
    search.exits = None
    house.later(5.0)
    await house.settled(indexer=SubState.RUNNING, search=SubState.RUNNING)
    for _ in range(12):
        if house.sub_state("notes") is SubState.GAVE_UP:
            break
        house.later(60.0)
        await house.quiet()
    await house.settled(notes=SubState.GAVE_UP)
    notes.exits = None
    house.plugin("search", description="Another.")
    await house.up()
    await house.all_run()


async def test_what_follows_what_in_plugins_lives_is_in_the_table(tmp_path: Path) -> None:
    house, seen = FleetHouse(tmp_path), set()
    search = house.plugin("search")
    house.plugin("indexer", "search")
    notes = house.plugin("notes", actor=Actor(exits=1))
    async with watched(house, seen):
        await live(house, search, notes)
    async with watched(house, seen):
        await house.all_run()
        house.oom("search")
        await house.settled(indexer=SubState.DEGRADED)
        await house.daemon.manager.down(with_volumes=False)
    sub_states = {sub for pair in seen for sub in pair}

    assert {pair for pair in seen if not may_follow(*pair)} == set()
    assert sub_states >= {
        SubState.ADOPTING,
        SubState.DEGRADED,
        SubState.GAVE_UP,
        SubState.HELD,
        SubState.PREPARING,
        SubState.RESTARTING,
        SubState.STARTING,
        SubState.STOPPING,
        SubState.WAITING,
    }
