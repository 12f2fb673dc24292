"""What is told of a plugin that was made for another orchestrator."""

from dataclasses import replace

from tests.chaos.paper_house import PaperHouse


async def test_a_plugin_that_was_made_for_an_older_core_is_told_as_such(house: PaperHouse) -> None:
    """It was deployed under that one, and this daemon took it over."""
    house.plugin("notes")
    house.plugin("todo")
    async with house.daemon_runs():
        await house.up()
        await house.converged()
        deployments = house.daemon.manager.fleet.deployments
        old = deployments["notes"]
        info = old.inputs.info.model_copy(update={"max_core_version": "0.0.1"})
        deployments["notes"] = replace(old, inputs=replace(old.inputs, info=info))
        rows = next(
            dict(family.rows)
            for family in house.daemon.monitoring.exporter.board()
            if family.metric.name == "orchestrator_plugin_version_compatible"
        )

    assert rows == {("notes",): 0, ("todo",): 1}
