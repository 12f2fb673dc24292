"""BackupHouse: an instance on in-memory backends with a plugin that has data."""

import io
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from orchestrator.clock import SystemClock
from orchestrator.daemon.restore import instance_lock, restore
from orchestrator.daemon.state import open_state
from orchestrator.engine.base import LABEL_PLUGIN
from orchestrator.manager.restoring import Restored
from orchestrator.model.container import VolumeMount
from orchestrator.policy.compile import volume_name
from orchestrator.store.audit_log import AuditLog
from tests.unit.manager.permission_house import API, PermissionHouse

WRITE = "file_system_write"


def data(text: str) -> bytes:
    """A volume's content."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        member = tarfile.TarInfo("data/file")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text.encode()))
    return target.getvalue()


class BackupHouse(PermissionHouse):
    """A plugin with data, and what is asked of it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.backup = folder / "backup.tar"
        self.plugin(permissions=[WRITE, "external_api", "plugin_communication"])
        self.manifest(WRITE, "external_api", limits={"max_disk_mb": 8})

    async def fill(self, text: str) -> None:
        mount = VolumeMount(volume=self.volume, target="/data", size_bytes=8 << 20)
        await self.volumes.ensure(mount, {**self.labels, LABEL_PLUGIN: "notes"})
        await self.volumes.write(self.volume, {}, io.BytesIO(data(text)))

    async def make(self, **fields: Any) -> Any:
        return await self.daemon.api._backups.make(self.backup, **{"with_volumes": True, **fields})

    async def restore(self, **fields: Any) -> Restored:
        with instance_lock(self.settings):
            return await restore(
                self.settings,
                self.backends,
                self.backup,
                clock=SystemClock(),
                **{"with_volumes": True, **fields},
            )

    async def content(self) -> bytes:
        target = io.BytesIO()
        await self.volumes.read(self.volume, {}, target, max_bytes=1 << 20)
        return target.getvalue()

    @property
    def volume(self) -> str:
        return volume_name(self.prefix, "notes")

    def records(self) -> dict[str, Any]:
        """What is wanted and remembered: all but the newest place of the audit log."""
        with closing(open_state(self.settings, now=0.0)) as store:
            found: dict[str, Any] = store.dump()
        found.pop("audit", None)
        return found

    @contextmanager
    def log(self) -> Iterator[AuditLog]:
        with closing(open_state(self.settings, now=0.0)) as store:
            log = AuditLog.open(self.settings.audit_folder, store=store, clock=SystemClock())
            yield log
            log.close()


async def backed_up(house: BackupHouse) -> dict[str, Any]:
    """A backup with a plugin, its data and a revoke; the records in it."""
    async with house.open():
        await house.up()
        await house.fill("as it was")
        await house.system.revoke_permission("notes", API, why="too much")
        await house.make()
    return house.records()
