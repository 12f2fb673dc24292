"""What /metrics says of plugins that sleep."""

import asyncio

from orchestrator.manager.statuses import statuses
from orchestrator.model.status import SubState
from tests.chaos.paper_house import SECONDS, PaperHouse
from tests.unit.monitoring.test_scrape import scrape


async def test_what_sleeps_is_up_for_itself_and_for_those_that_need_it(house: PaperHouse) -> None:
    house.plugin("notes", idle_timeout=1)
    house.plugin("todo", info={"dependencies": ["notes"]})
    async with house.daemon_runs():
        await house.up()
        fleet = house.daemon.manager.fleet
        async with asyncio.timeout(SECONDS):
            while [r.sub_state for r in statuses(fleet)] != [SubState.IDLE, SubState.RUNNING]:
                await house.daemon.manager.loop.passed()
        found = await scrape(house)
        takes_calls = fleet.sandbox("notes") is not None

    p = "orchestrator_plugin"
    assert not takes_calls
    assert (found[f"{p}_up", "notes"], found[f"{p}_dependency_up", "todo", "notes"]) == (1, 1)
