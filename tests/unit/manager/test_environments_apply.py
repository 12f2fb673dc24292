"""An environment reaches what is deployed, and the reason that is taken down."""

from pathlib import Path

import yaml

from tests.unit.manager.fleet_house import FleetHouse


async def test_up_with_an_environment_deploys_the_patched_manifest(tmp_path: Path) -> None:
    house = FleetHouse(tmp_path)
    house.plugin("echo", spec={"limits": {"max_memory_mb": 16}})
    place = house.manifests / "environments" / "prod"
    place.mkdir(parents=True)
    patch = yaml.safe_load((house.manifests / "echo.yaml").read_text())
    patch["spec"] = {"limits": {"max_memory_mb": 24}}
    (place / "any.yaml").write_text(yaml.safe_dump(patch))
    async with house.open():
        manager = house.daemon.manager
        memory = []
        for environment in (None, "prod"):
            await manager.apply([house.manifests], house.config, environment)
            memory.append(manager.deployment("echo").compiled.spec.memory_bytes >> 20)
        told = manager.rollouts.of("echo").wanted

    assert memory == [16, 24]
    assert told.why.endswith("--environment prod")
