"""A restore that is killed leaves the old state, or comes to the new one."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from orchestrator.clock import SystemClock
from orchestrator.daemon.restore import go_on
from orchestrator.manager import restoring
from orchestrator.manager.restoring import unfinished
from orchestrator.store.audit_log import AuditLog
from orchestrator.store.sqlite import SqliteStore
from tests.unit.manager.backup_house import BackupHouse, backed_up, data


class Killed(BaseException):
    """As far as the code can tell, the process is gone."""


STEPS = [
    (Path, "rename"),
    (Path, "mkdir"),
    (shutil, "copytree"),
    (shutil, "rmtree"),
    (AuditLog, "open"),
    (AuditLog, "record"),
    (SqliteStore, "replace"),
]


async def test_killed_at_any_step_a_restore_leaves_the_old_state_or_comes_to_the_new(
    tmp_path: Path,
) -> None:
    place, ended, outcomes = 0, False, set()
    while not ended:
        place += 1
        folder = tmp_path / str(place)
        folder.mkdir()
        house = BackupHouse(folder)
        new = await backed_up(house)
        shutil.rmtree(house.settings.folder)  # the audit log here is of another history
        async with house.open():
            await house.up()
            await house.fill("old")
        old = house.records()
        assert old != new
        ended = await restored_until(house, place)
        await go_on(house.settings, house.backends, clock=SystemClock())
        now, content = house.records(), await house.content()
        outcomes.add("new" if now == new else "old")

        assert (now, content) in [(old, data("old")), (new, data("as it was"))], place
        assert unfinished(house.settings.folder) == ""
        with house.log() as log:
            assert log.verify().intact, place
            why = str(log.read()[-1].entry["why"])
        assert "restored from" in why if now == new else ("cut off" in why or "up" in why), place
    assert outcomes == {"old", "new"}
    assert place > 15


async def restored_until(house: BackupHouse, place: int) -> bool:
    """Whether it came to its end before the step of that number."""
    count = 0

    def step(real: Any) -> Any:
        def counted(*arguments: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count == place:
                raise Killed
            return real(*arguments, **named)

        return counted

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in STEPS:
            patch.setattr(owner, name, step(getattr(owner, name)))
        for owner, name in (
            (house.engine, "remove"),
            (house.volumes, "remove"),
            (house.volumes, "ensure"),
            (house.volumes, "write"),
        ):
            patch.setattr(owner, name, step(getattr(owner, name)))
        patch.setattr(restoring.json, "loads", step(restoring.json.loads))
        try:
            await house.restore()
        except Killed:
            return False
    return True
