"""What is told of a plugin while two of its revisions run."""

from dataclasses import replace

from tests.chaos.paper_house import PaperHouse


async def test_limits_are_of_as_many_containers_as_their_usage_is(house: PaperHouse) -> None:
    """Two revisions run while one takes over: a rollout that stands is no plugin near its limit."""
    house.plugin("notes")
    house.plugin("todo")
    async with house.daemon_runs():
        await house.up()
        await house.converged()
        monitoring, fleet = house.daemon.monitoring, house.daemon.manager.fleet
        one = (await monitoring.sampler.sample())["notes"]
        monitoring.sampler.latest = {"notes": replace(one, containers=2, memory_bytes=150 << 20)}
        fleet.routes["notes"] = fleet.routes["notes"] * 2
        found = {
            (family.metric.name.removeprefix("orchestrator_plugin_"), *labels): value
            for family in monitoring.exporter.board()
            for labels, value in family.rows
        }
        most = fleet.deployments["notes"].grant.limits.max_concurrent_requests

    assert found["memory_bytes", "notes"] < found["memory_limit_bytes", "notes"] == 200 << 20
    assert (found["cpu_limit_cores", "notes"], found["pids_limit", "notes"]) == (0.2, 256)
    assert found["calls_in_flight_limit", "notes"] == 2 * most
    assert found["memory_limit_bytes", "todo"] == 100 << 20
