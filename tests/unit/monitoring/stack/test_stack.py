"""The stack kept running: made, healed, replaced, taken away."""

import asyncio
from pathlib import Path

import pytest

from orchestrator.engine.base import EngineUnavailable
from orchestrator.engine.stack_images import PrometheusImageFailed
from orchestrator.model.monitoring import MonitoringConfig
from orchestrator.monitoring.stack.stack import MOST_PAUSE_SECONDS, WELL_SECONDS
from orchestrator.monitoring.stack.supply import AGAIN_SECONDS, FAILED_SECONDS
from tests.unit.conftest import FakeClock
from tests.unit.monitoring.stack.house import NO_REGISTRY, House

BOTH = {"prometheus": True, "grafana": True}


@pytest.fixture
def house(tmp_path: Path, clock: FakeClock) -> House:
    return House(tmp_path / "monitoring", clock)


async def turns(house: House, count: int = 2) -> None:
    for _ in range(count):
        await house.stack.tend()


async def test_all_four_run_and_are_told(house: House) -> None:
    await house.stack.tend()
    settled_at_once = house.stack.state().settled
    await house.stack.tend()

    assert not settled_at_once  # one that ends at once has not been seen yet
    assert {*await house.containers()} == {"inner", "door", "prometheus", "grafana"}
    assert house.running() == BOTH
    assert house.stack.state().settled
    addresses = [part.address for part in house.stack.state().parts]
    assert addresses == ["http://127.0.0.1:9090", "http://127.0.0.1:3000"]


async def test_a_turn_that_finds_all_right_changes_nothing(house: House) -> None:
    await turns(house)
    before = [*house.engine.calls]
    await turns(house)

    assert house.engine.calls == before


async def test_where_nobody_wants_it_nothing_is_made(house: House) -> None:
    house.config = MonitoringConfig()
    await house.stack.tend()

    assert await house.containers() == {}
    assert not house.stack.state().wanted


async def test_no_longer_wanted_it_goes_and_its_data_stays(house: House) -> None:
    await turns(house)
    house.config = MonitoringConfig()
    await house.stack.tend()

    assert await house.containers() == {}
    assert len(await house.volumes.list({})) == 2


async def test_other_runbooks_are_other_files_and_another_prometheus(house: House) -> None:
    await house.stack.tend()
    before = await house.ids()
    house.config = house.config.model_copy(update={"runbooks": "https://example.org/runbooks"})
    await house.stack.tend()
    after = await house.ids()

    assert after["prometheus"] != before["prometheus"]
    assert after["inner"] == before["inner"]


async def test_a_killed_part_comes_back(house: House) -> None:
    await turns(house)
    before = await house.ids()
    house.engine.die(before["door"], exit_code=137)
    await house.stack.tend()
    house.clock.at += 10
    await turns(house)

    after = await house.ids()
    assert {name for name in after if after[name] != before[name]} == {"door"}
    assert house.running() == BOTH


async def test_with_the_inner_relay_all_that_joined_it_are_made_anew(house: House) -> None:
    await turns(house)
    before = await house.ids()
    await house.engine.remove(before["inner"])
    await turns(house)

    after = await house.ids()
    assert {name for name in after if after[name] == before[name]} == {"door"}


async def test_one_that_ends_again_and_again_waits_longer_each_time_and_says_why(
    house: House,
) -> None:
    await turns(house)
    waited = []
    for _ in range(7):
        house.engine.log((await house.ids())["door"], "127.0.0.1:9090: Address already in use")
        house.engine.die((await house.ids())["door"], exit_code=1)
        began = house.clock.at
        await house.stack.tend()
        while "door" not in await house.containers():
            house.clock.at += 1
            await house.stack.tend()
        waited.append(house.clock.at - began)

    assert waited == sorted(waited)
    assert waited[0] == 2
    assert waited[-1] == MOST_PAUSE_SECONDS


async def test_what_stands_in_the_way_is_told_of_each_page(house: House) -> None:
    await turns(house)
    door = (await house.ids())["door"]
    house.engine.log(door, "127.0.0.1:9090: Address already in use")
    house.engine.die(door, exit_code=1)
    await house.stack.tend()

    assert house.running() == {"prometheus": False, "grafana": False}
    assert {*house.details().values()} == {"127.0.0.1:9090: Address already in use"}
    assert house.stack.state().settled


async def test_after_a_minute_of_running_a_trouble_is_forgotten(house: House) -> None:
    await turns(house)
    house.engine.die((await house.ids())["prometheus"], exit_code=1)
    await house.stack.tend()
    house.clock.at += 5
    await turns(house)
    house.clock.at += WELL_SECONDS + 1
    await turns(house)
    house.engine.die((await house.ids())["prometheus"], exit_code=1)
    await house.stack.tend()
    house.clock.at += 2
    await house.stack.tend()

    assert "prometheus" in await house.containers()


async def test_without_grafanas_image_prometheus_runs_alone_and_it_is_said(house: House) -> None:
    house.registry = False
    await turns(house)

    assert house.running() == {"prometheus": True, "grafana": False}
    assert NO_REGISTRY in house.details()["grafana"]
    assert house.stack.state().settled


async def test_grafanas_image_is_asked_for_again_after_a_while_and_not_before(
    house: House,
) -> None:
    house.registry = False
    await turns(house, 5)
    house.registry = True
    asked_before = house.pulls
    house.clock.at += AGAIN_SECONDS
    await turns(house)

    assert asked_before == 1
    assert house.running() == BOTH


async def test_without_prometheus_nothing_runs_and_it_is_not_made_again_at_once(
    house: House,
) -> None:
    house.packages = False
    for _ in range(5):
        with pytest.raises(PrometheusImageFailed):
            await house.stack.tend()
    told, made = house.stack.state(), house.makes
    house.packages = True
    house.clock.at += FAILED_SECONDS
    await turns(house)

    assert (told.settled, told.trouble, made) == (True, "no packages", 1)
    assert house.running() == BOTH


async def test_closed_while_an_image_is_made_it_makes_nothing_of_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.monitoring.stack.stack.CLOSE_SECONDS", 0.05)
    house.free.clear()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        turn = group.create_task(house.stack.tend())
        await asyncio.sleep(0)
        await house.stack.close()
        house.free.set()
        await turn

    assert await house.containers() == {}


async def test_another_port_is_settled_only_once_the_door_is_another(house: House) -> None:
    await turns(house)
    house.config = MonitoringConfig(stack=True, prometheus_port=1)
    at_once = house.stack.state().settled
    await turns(house)

    assert not at_once
    assert house.stack.state().settled


async def test_a_lost_engine_is_told_and_the_next_turn_goes_on(house: House) -> None:
    house.engine.failures.add("list", EngineUnavailable("away"))
    with pytest.raises(EngineUnavailable):
        await house.stack.tend()
    told = house.stack.state().trouble
    await turns(house)

    assert told == "away"
    assert house.stack.state().trouble == ""
    assert house.running() == BOTH


async def test_a_daemon_killed_between_making_and_starting_leaves_nothing(house: House) -> None:
    house.engine.failures.add("start", EngineUnavailable("killed"), nth=3)
    with pytest.raises(EngineUnavailable):
        await house.stack.tend()
    await turns(house)

    assert {*await house.containers()} == {"inner", "door", "prometheus", "grafana"}
    assert house.running() == BOTH


async def test_the_next_daemon_takes_over_what_runs(house: House, tmp_path: Path) -> None:
    await turns(house)
    before = await house.ids()
    second = House(tmp_path / "monitoring", house.clock)
    second.engine = house.engine
    second.stack._engine = house.engine
    await second.stack.tend()

    assert await second.ids() == before


async def test_closed_it_takes_all_away_and_makes_nothing_any_more(
    house: House, tmp_path: Path
) -> None:
    await turns(house)
    await house.stack.close()
    await house.stack.tend()

    assert await house.containers() == {}
    assert not (tmp_path / "monitoring").exists()


async def test_it_runs_by_itself_and_heeds_what_is_wanted(house: House) -> None:
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        task = group.create_task(house.stack.run())
        while len(await house.containers()) < 4:  # noqa: ASYNC110 - the engine tells nobody
            await asyncio.sleep(0.01)
        house.config = MonitoringConfig()
        while await house.containers():  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.01)
        task.cancel()
