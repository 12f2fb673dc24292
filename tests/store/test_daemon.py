"""A whole daemon on PostgreSQL, over the in-memory engine."""

from pathlib import Path

import pytest

from orchestrator.daemon.settings import DaemonSettings
from orchestrator.store.base import StoreTaken
from tests.store.conftest import Elsewhere
from tests.support.postgres import PASSWORD
from tests.unit.manager.backup_house import BackupHouse, backed_up, data

pytestmark = pytest.mark.docker


def on_postgres(house: BackupHouse, elsewhere: Elsewhere, home: Path) -> None:
    """The next daemon of the house keeps its state there."""
    home.mkdir()
    password = home / "password"
    password.write_text(PASSWORD)
    house.settings = DaemonSettings(
        home=home,
        instance=elsewhere.instance,
        store=elsewhere.server.url,
        store_password_file=password,
    )


async def test_a_daemon_finds_there_what_an_earlier_one_was_told(
    tmp_path: Path, elsewhere: Elsewhere
) -> None:
    house = BackupHouse(tmp_path)
    on_postgres(house, elsewhere, tmp_path / "one")
    async with house.open():
        await house.up()
        told = house.deployment
    async with house.open():
        assert house.deployment == told
    assert not house.settings.database.exists()


async def test_a_second_daemon_in_another_folder_is_refused(
    tmp_path: Path, elsewhere: Elsewhere
) -> None:
    house = BackupHouse(tmp_path)
    on_postgres(house, elsewhere, tmp_path / "one")
    async with house.open():
        on_postgres(house, elsewhere, tmp_path / "two")
        with pytest.raises(StoreTaken):
            async with house.open():
                pass


async def test_state_moves_from_a_file_to_the_database_by_backup_and_restore(
    tmp_path: Path, elsewhere: Elsewhere
) -> None:
    house = BackupHouse(tmp_path)
    records = await backed_up(house)
    on_postgres(house, elsewhere, tmp_path / "one")
    await house.restore()

    assert house.records() == records
    assert await house.content() == data("as it was")
    with house.log() as log:
        assert log.verify().intact
