"""Backup and restore of whole instances, over the in-memory engine."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.clock import SystemClock
from orchestrator.daemon.backends import place_of
from orchestrator.daemon.restore import go_on
from orchestrator.daemon.settings import DaemonSettings
from orchestrator.engine.base import LABEL_PLUGIN, LABEL_ROLE, EngineFailure
from orchestrator.engine.volume_content import ROLE_VOLUME
from orchestrator.manager import restoring
from orchestrator.manager.backup_file import BackupFailed, BackupFile, BackupInvalid
from orchestrator.manager.backups import BackupBusy
from orchestrator.manager.restoring import unfinished
from orchestrator.model.container import ContainerPhase
from orchestrator.store.base import StoreUnavailable
from orchestrator.store.event_log import EventLog
from orchestrator.store.event_values import Entry
from tests.unit.manager.backup_house import BackupHouse, backed_up, data
from tests.unit.manager.permission_house import API


@pytest.fixture
def house(tmp_path: Path) -> BackupHouse:
    return BackupHouse(tmp_path)


async def test_a_backup_has_the_state_the_audit_log_and_the_data(house: BackupHouse) -> None:
    records = await backed_up(house)
    with BackupFile.open(house.backup) as backup:
        held: Any = backup.records()
        held.pop("audit", None)

        assert held == records
        assert backup.part("volumes/notes.tar").read() == data("as it was")
        assert backup.audit_segments == ["audit/000001.jsonl"]
        assert any("secrets" in text for text in backup.manifest.left_out)
        assert backup.manifest.volumes[0].size_bytes == 8 << 20


async def test_what_a_backup_holds_is_there_again_after_everything_was_lost(
    house: BackupHouse,
) -> None:
    records = await backed_up(house)
    shutil.rmtree(house.settings.folder)
    await house.volumes.remove(house.volume)
    restored = await house.restore()

    assert house.records() == records
    assert await house.content() == data("as it was")
    assert house.volumes.size(house.volume) == 8 << 20
    assert restored.audit == "the audit log is the backup's"
    with house.log() as log:
        assert log.verify().intact
        assert [r.entry["action"] for r in log.read()][-2:] == ["permission_revoke", "state"]
    async with house.open():
        assert API not in house.has


async def test_a_restore_replaces_what_came_after_the_backup(house: BackupHouse) -> None:
    records = await backed_up(house)
    async with house.open():
        house.manifest()
        await house.up()
        await house.fill("changed since")
    await house.restore()

    assert house.records() == records
    assert await house.content() == data("as it was")


async def test_the_audit_log_never_loses_what_came_after_the_backup(house: BackupHouse) -> None:
    await backed_up(house)
    async with house.open():
        await house.up()
    with house.log() as log:
        before = log.read()
    await house.restore()

    with house.log() as log:
        after = log.read()
        assert after[: len(before)] == before
        assert log.verify().intact
    assert "restored from" in str(after[-1].entry["why"])


async def test_an_audit_log_of_another_history_is_set_aside_whole(house: BackupHouse) -> None:
    await backed_up(house)
    shutil.rmtree(house.settings.folder)
    async with house.open():
        await house.up()
    other = (house.settings.audit_folder / "000001.jsonl").read_bytes()
    restored = await house.restore()

    (aside,) = house.settings.folder.glob("audit.before-restore-*")
    assert (aside / "000001.jsonl").read_bytes() == other
    assert aside.name in restored.audit
    with house.log() as log:
        assert log.verify().intact
        assert aside.name in str(log.read()[-1].entry["why"])


async def test_data_can_be_left_out_on_both_ways(house: BackupHouse) -> None:
    await backed_up(house)
    await house.fill("of today")
    await house.restore(with_volumes=False)
    assert await house.content() == data("of today")
    house.backup.unlink()
    async with house.open():
        await house.make(with_volumes=False)
    with BackupFile.open(house.backup) as backup:
        assert backup.manifest.volumes == ()
        assert any("--no-volumes" in text for text in backup.manifest.left_out)


async def test_a_backup_goes_into_an_instance_of_another_name(
    house: BackupHouse, tmp_path: Path
) -> None:
    records = await backed_up(house)
    house.settings = DaemonSettings(home=tmp_path / "elsewhere", instance="other")
    await house.restore()

    assert house.records() == records
    assert house.volume.startswith(place_of(house.settings).prefix)
    assert await house.content() == data("as it was")


async def test_a_plugin_stands_still_while_its_data_is_read_and_runs_on_afterwards(
    house: BackupHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[ContainerPhase, str]] = []
    real = house.volumes.read

    async def read(*arguments: Any, **named: Any) -> None:
        container = await house.engine.inspect(running)
        assert container is not None
        seen.append((container.phase, house.daemon.manager.fleet.busy.in_words("notes")))
        await real(*arguments, **named)

    async with house.open():
        await house.up()
        running = await house.runs()
        await house.fill("of a running plugin")
        await house.daemon.manager.loop._observer.look(0.0)
        monkeypatch.setattr(house.volumes, "read", read)
        made = await house.make()
        after = await house.engine.inspect(running)

        assert seen == [(ContainerPhase.PAUSED, "its data is being backed up")]
        assert after is not None
        assert after.phase is ContainerPhase.RUNNING
        assert house.daemon.manager.fleet.busy == {}
        assert made.manifest.volumes[0].consistency == "paused"


async def test_a_backup_that_fails_leaves_no_file_a_running_plugin_and_a_record(
    house: BackupHouse,
) -> None:
    async with house.open():
        await house.up()
        running = await house.runs()
        await house.fill("whatever")
        await house.daemon.manager.loop._observer.look(0.0)
        house.volumes.failures.add("read", EngineFailure("the disk is on fire"))
        with pytest.raises(EngineFailure):
            await house.make()
        after = await house.engine.inspect(running)
        record = house.daemon.audit.read()[-1].entry

        assert after is not None
        assert after.phase is ContainerPhase.RUNNING
        assert not [path for path in house.backup.parent.iterdir() if "backup" in path.name]
        assert (record["action"], record["outcome"]) == ("command", "refused")


async def test_a_plugin_that_never_comes_to_rest_is_told(
    house: BackupHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.manager.backups._QUIET_SECONDS", 0.05)
    async with house.open():
        await house.up()
        await house.fill("whatever")
        house.daemon.manager.fleet.busy.begin("notes", "one", "starting")
        with pytest.raises(BackupBusy, match="notes: found it starting"):
            await house.make()

        assert house.daemon.manager.fleet.busy == {"notes": {"one": "starting"}}


async def test_the_helpers_of_a_killed_backup_are_taken_away_by_the_next(
    house: BackupHouse,
) -> None:
    async with house.open():
        await house.up()
        spec = house.deployment.compiled.spec
        labels = {**house.labels, LABEL_ROLE: ROLE_VOLUME, LABEL_PLUGIN: "notes"}
        left = await house.engine.create(spec, name="left", labels=labels)
        await house.make()

        assert await house.engine.inspect(left) is None


async def test_containers_on_a_restored_volume_go_and_others_stay(house: BackupHouse) -> None:
    await backed_up(house)
    async with house.open():
        running = await house.runs()
        spec = house.deployment.compiled.spec
        other = await house.engine.create(
            spec, name="other", labels={**house.labels, LABEL_PLUGIN: "other"}
        )
    await house.restore()

    assert await house.engine.inspect(running) is None
    assert await house.engine.inspect(other) is not None


async def test_a_backup_whose_audit_log_was_changed_is_refused_and_nothing_is_touched(
    house: BackupHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    await backed_up(house)
    before = house.records()
    monkeypatch.setattr(
        BackupFile, "audit_items", lambda file, name: iter([*items_of(file, name)][:-1])
    )
    with pytest.raises(BackupInvalid, match="audit"):
        await house.restore()

    assert house.records() == before
    assert unfinished(house.settings.folder) == ""


def items_of(file: BackupFile, name: str) -> Iterator[Any]:
    return _real_items(file, name)


_real_items = BackupFile.audit_items


def waiting(path: Path) -> list[str]:
    """Bodies of events that are still to be delivered to the plugin."""
    log = EventLog.open(path)
    due, _ = log.due("notes", after=0, count=10, most_bytes=1 << 20)
    log.close()
    return [one.body.decode() for one in due]


def publish(path: Path, body: str) -> None:
    log = EventLog.open(path)
    with log.transaction():
        log.add(
            Entry(
                event_id=f"id-{body}",
                own_id="",
                source="orchestrator/default",
                type="order.created",
                subject="",
                body=body.encode(),
            ),
            ["notes"],
            since=1.0,
        )
    log.close()


async def test_events_that_wait_are_restored_and_those_that_were_here_are_set_aside(
    house: BackupHouse,
) -> None:
    path = house.settings.event_log
    async with house.open():
        await house.up()
    publish(path, "before")
    async with house.open():
        await house.make()
    publish(path, "since")
    await house.restore()

    (aside,) = path.parent.glob("events.before-restore-*.db")
    assert waiting(path) == ["before"]
    assert waiting(aside) == ["before", "since"]


async def test_what_cannot_be_ended_now_is_ended_by_the_next_start(
    house: BackupHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = await backed_up(house)
    async with house.open():
        house.manifest()
        await house.up()
    house.volumes.failures.add("write", EngineFailure("not now"))
    with pytest.raises(EngineFailure):
        await house.restore()
    assert unfinished(house.settings.folder) == "committed"
    house.volumes.failures.add("write", StoreUnavailable("still not"))
    with pytest.raises(StoreUnavailable):
        await go_on(house.settings, house.backends, clock=SystemClock())
    await go_on(house.settings, house.backends, clock=SystemClock())

    assert house.records() == records
    assert await house.content() == data("as it was")


async def test_data_that_could_not_be_put_back_is_told_when_it_is_backed_up(
    house: BackupHouse,
) -> None:
    """A file with a hole takes its whole length then: more than the volume has."""
    async with house.open():
        await house.up()
        await house.fill("x" * ((8 << 20) + 1))
        with pytest.raises(BackupFailed, match=r"volumes/notes\.tar: found content that takes"):
            await house.make()
        await house.make(with_volumes=False)

        assert house.backup.exists()


async def test_a_restore_that_could_not_be_ended_gives_way_to_one_that_can(
    house: BackupHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while it does so, the earlier one still counts."""
    records = await backed_up(house)
    house.volumes.failures.add("write", EngineFailure("not now"))
    with pytest.raises(EngineFailure):
        await house.restore()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(restoring, "sync_folder", killed)
        with pytest.raises(KeyboardInterrupt):
            await house.restore()
    folder = house.settings.folder
    half_done = unfinished(folder)
    (folder / "restore.committed").rename(folder / "restore.replaced")  # killed between the two
    between = unfinished(folder)
    await house.restore()

    assert (half_done, between, unfinished(folder)) == ("committed", "committed", "")
    assert house.records() == records
    assert await house.content() == data("as it was")
