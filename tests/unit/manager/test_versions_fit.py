"""Which versions fit together: asked by `up` over the whole instance, before anything changes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.errors import OrchestratorError
from orchestrator.model.status import PluginState, SubState
from orchestrator.registry.resolve import DependenciesUnresolved
from tests.unit.manager.fleet_house import FleetHouse


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[FleetHouse]:
    """`reader` needs `search@^1.0`; both run."""
    house = FleetHouse(tmp_path)
    house.plugin("search")
    house.plugin("reader", "search@^1.0")
    async with house.open():
        await house.up()
        await house.all_run()
        yield house


async def refused(house: FleetHouse) -> str:
    """Why the next `up` is refused; nothing has changed then."""
    before = dict(house.daemon.manager.fleet.deployments)
    calls = [*house.engine.calls]
    with pytest.raises(OrchestratorError) as caught:
        await house.up()
    await house.quiet()

    assert house.daemon.manager.fleet.deployments == before
    assert house.engine.calls == calls
    assert {row.sub_state for row in house.rows.values()} == {SubState.RUNNING}
    return str(caught.value)


async def test_an_update_that_leaves_the_range_of_who_needs_it_is_refused(
    house: FleetHouse,
) -> None:
    house.plugin("search", version="2.0.0")

    assert await refused(house) == (
        f"reader ({house.manifests}/reader.yaml): plugin.yaml dependencies[0]: "
        f"found search 2.0.0 ({house.manifests}/search.yaml), expected ^1.0"
    )


async def test_an_update_within_the_range_goes_through(house: FleetHouse) -> None:
    house.plugin("search", version="1.9.0")
    await house.up()
    await house.until(lambda: house.rows["search"].version == "1.9.0")
    await house.all_run()

    assert house.rows["reader"].restarts == 0


async def test_both_may_be_updated_in_one_up(house: FleetHouse) -> None:
    house.plugin("search", version="2.0.0")
    house.plugin("reader", "search@^2.0")
    await house.up()
    await house.until(lambda: house.rows["search"].version == "2.0.0")
    await house.all_run()


async def test_a_plugin_that_another_needs_is_not_taken_away(house: FleetHouse) -> None:
    house.drop("search")

    assert await refused(house) == (
        f"reader ({house.manifests}/reader.yaml): plugin.yaml dependencies[0]: "
        "found 'search@^1.0', expected a plugin that has a manifest"
    )


async def test_a_plugin_that_another_needs_is_not_stopped(house: FleetHouse) -> None:
    house.plugin("search", spec={"state": "stopped"})

    assert "found search with spec.state stopped" in await refused(house)


async def test_plugins_that_need_each_other_in_a_circle_are_refused(house: FleetHouse) -> None:
    house.plugin("one", "other")
    house.plugin("other", "one")

    assert "found the cycle" in await refused(house)


@pytest.mark.parametrize(
    ("bound", "words"),
    [
        ({"min_core_version": "99.0.0"}, "plugin.yaml min_core_version: found 99.0.0, expected"),
        ({"max_core_version": "0.0.1"}, "plugin.yaml max_core_version: found 0.0.1, expected"),
    ],
)
async def test_a_plugin_for_another_orchestrator_is_refused(
    house: FleetHouse, bound: dict[str, str], words: str
) -> None:
    house.plugin("search", version="1.1.0", **bound)

    assert words in await refused(house)


async def test_what_an_older_daemon_cannot_take_up_is_left_running_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = FleetHouse(tmp_path)
    house.plugin("search", min_core_version="0.1.0")
    house.plugin("reader", "search", min_core_version="0.0.1")
    async with house.open():
        await house.up()
        await house.all_run()
    calls = [*house.engine.calls]
    monkeypatch.setattr("orchestrator.policy.decide.CORE_VERSION", "0.0.9")
    async with house.open():
        await house.settled(search=SubState.UNFIT)
        await house.until(lambda: house.events("search", "unfit"))
        await house.quiet()
        row = house.rows["search"]
        reader = house.rows["reader"].detail

        assert house.engine.calls == calls  # nothing was started, stopped or removed
        assert row.status is PluginState.ERROR
        assert "min_core_version: found 0.1.0, expected at most 0.0.9" in row.detail
        assert reader.startswith("degraded: search is down (error: ")
        assert house.events("search", "unfit") == ["unfit"]
    monkeypatch.undo()
    async with house.open():
        await house.all_run()


async def test_problems_name_the_field_the_file_and_both_versions(house: FleetHouse) -> None:
    house.plugin("writer", "search@^3", "absent")
    with pytest.raises(DependenciesUnresolved) as caught:
        await house.up()

    assert [p.partition("plugin.yaml ")[2].partition(":")[0] for p in caught.value.problems] == [
        "dependencies[0]",
        "dependencies[1]",
    ]
