"""What a killed daemon left beside its containers goes; what belongs to anything stays."""

from pathlib import Path

import pytest

from orchestrator.manager.fleet import Fleet
from orchestrator.manager.leftovers import is_of_code
from tests.unit.manager.permission_house import PermissionHouse


@pytest.fixture
def kept(house: PermissionHouse) -> str:
    return house.deployment.compiled.sandbox_id


def folders(house: PermissionHouse) -> set[str]:
    return {path.name for path in house.settings.sockets_root.iterdir()}


def lay(house: PermissionHouse, *names: str) -> None:
    for name in names:
        (house.settings.sockets_root / name).mkdir(parents=True)
        (house.settings.sockets_root / name / "plugin.sock").touch()


async def test_folders_of_no_container_go_and_those_of_what_is_wanted_stay(
    house: PermissionHouse, kept: str
) -> None:
    lay(house, kept, f"{kept}-1", "notes-0123456789ab", "gone-0123456789ab")
    house.daemon.leftovers.take_away()

    assert folders(house) == {kept, f"{kept}-1"}


async def test_the_folder_of_a_container_that_is_there_stays_though_it_is_not_wanted(
    house: PermissionHouse, kept: str
) -> None:
    container = await house.engine.inspect(await house.runs())
    assert container is not None
    fleet: Fleet = house.daemon.manager.fleet
    fleet.containers[container.container_id] = container
    fleet.deployments = {}
    lay(house, kept, "notes-0123456789ab")
    house.daemon.leftovers.take_away()

    assert folders(house) == {kept}


async def test_plugins_whose_records_cannot_be_read_keep_their_folders(
    house: PermissionHouse,
) -> None:
    house.daemon.manager.fleet.unread = {"riddle"}
    lay(house, "riddle-0123456789ab", "gone-0123456789ab")
    house.daemon.leftovers.take_away()

    assert folders(house) == {"riddle-0123456789ab"}


async def test_code_sandboxes_look_after_their_own_and_a_plugin_may_be_called_like_them(
    house: PermissionHouse,
) -> None:
    lay(house, "code-0a1b2c3d", "code-review-0123456789ab")
    house.daemon.leftovers.take_away()

    assert folders(house) == {"code-0a1b2c3d"}
    assert not is_of_code("code-0123456789ab")


async def test_runs_of_sandboxes_that_are_no_more_are_forgotten(
    house: PermissionHouse, kept: str
) -> None:
    fleet = house.daemon.manager.fleet
    for sandbox_id in (kept, "gone-0123456789ab"):
        fleet.store.put_all("run", {sandbox_id: {"container": "c", "started_at": 1.0}})
    house.daemon.leftovers.take_away()

    assert fleet.remembered_runs() == {kept}


async def test_secrets_go_with_the_sockets(house: PermissionHouse, tmp_path: Path) -> None:
    secrets = house.settings.secrets_root / "gone-0123456789ab"
    secrets.mkdir(parents=True)
    house.daemon.leftovers.take_away()

    assert not secrets.exists()
    secrets.parent.rmdir()
