"""Restoring: an instance gets the state, the audit log and the data of a backup.

In two halves. `stage` checks the whole file and lays its parts out in the state folder; nothing of
the instance has changed by then, and a kill leaves the old state. The folder's renaming to
`restore.committed` is the moment from which the new state counts: `finish` carries it out, and
whoever starts next does so again from the beginning if it was killed. No daemon runs meanwhile.
"""

import asyncio
import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pydantic import JsonValue, TypeAdapter

from orchestrator.clock import Clock
from orchestrator.engine.base import LABEL_PLUGIN, LABEL_ROLE, DiskFull, Engine, VolumeStore
from orchestrator.engine.volume_content import ROLE_VOLUME, VolumeContent
from orchestrator.errors import Kind, OrchestratorError
from orchestrator.manager.backup_file import (
    AUDIT,
    EVENTS,
    STATE,
    VOLUMES,
    AuditPlace,
    BackupFile,
    BackupInvalid,
    Manifest,
    VolumePart,
)
from orchestrator.manager.deployment import Place
from orchestrator.manager.manager import OPERATOR
from orchestrator.manager.restored_logs import (
    fate_of_log,
    replace_events,
    replace_log,
    sync_folder,
)
from orchestrator.model.audit import AuditAction, AuditEntry, AuditOutcome
from orchestrator.model.container import VolumeMount
from orchestrator.policy.baseline import DATA_TARGET
from orchestrator.policy.compile import volume_name
from orchestrator.store.audit_archive import judge
from orchestrator.store.audit_chain import Anchor
from orchestrator.store.audit_log import ANCHOR_KIND, AuditLog, anchor_records
from orchestrator.store.base import RecordStore
from orchestrator.store.copy import check_database
from orchestrator.store.rebuild import REBUILT

_DRAFT, _COMMITTED, _DONE = "restore.draft", "restore.committed", "restore.done"
_REPLACED: Final = "restore.replaced"
"""One that was committed and could not be ended, while another takes its place."""
_ORDER: Final = "order.json"
_KEPT_KINDS: Final = frozenset({"run"})
"""Which containers were initialised: of this machine now, not of the backup's."""
_SPARE_BYTES: Final = 64 << 20


class RestoreRefused(OrchestratorError):
    """The instance has something that a restore would replace, and nobody said that it may."""

    kind, code = Kind.CONFLICT, "restore_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be done, as it lies beside the parts."""

    source: str
    digest: str
    """The hash of the backup's manifest."""
    made_at: float
    of_instance: str
    records: int
    audit: AuditPlace
    events: bool
    volumes: tuple[VolumePart, ...]
    user: str = OPERATOR
    """Who said so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was done."""

    order: Order
    audit: str
    """What became of the audit log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The instance that is restored; its daemon's lock is the caller's."""

    folder: Path
    audit_folder: Path
    event_log: Path
    place: Place
    store: RecordStore
    engine: Engine
    volumes: VolumeStore
    content: VolumeContent | None
    clock: Clock


_ORDERS = TypeAdapter(Order)


def stage(source: Path, folder: Path, *, with_volumes: bool, who: str = OPERATOR) -> Order:
    """Check the file and lay it out; after this the new state counts.

    Raises BackupInvalid, DiskFull, and OSError; then nothing has changed.
    """
    draft = folder / _DRAFT
    shutil.rmtree(draft, ignore_errors=True)
    with BackupFile.open(source) as backup:
        _check_audit(backup)
        size = sum(part.bytes for part in backup.manifest.parts)
        free = shutil.disk_usage(folder).free
        if free < size + _SPARE_BYTES:
            raise DiskFull(f"{folder}: found {free} bytes free, expected {size + _SPARE_BYTES}")
        order = replace(_order(source, backup, with_volumes=with_volumes), user=who)
        try:
            _lay_out(backup, order, draft)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    _replace(draft, folder)
    return order


def _replace(draft: Path, folder: Path) -> None:
    """The draft counts from here on, and a restore that was not ended counts no more."""
    committed, replaced = folder / _COMMITTED, folder / _REPLACED
    if committed.exists():
        committed.rename(replaced)
    draft.rename(committed)
    sync_folder(folder)
    shutil.rmtree(replaced, ignore_errors=True)


def unfinished(folder: Path) -> str:
    """What an earlier restore left: `committed`, `draft`, or nothing."""
    committed, replaced = folder / _COMMITTED, folder / _REPLACED
    if replaced.exists() and not committed.exists():
        replaced.rename(committed)  # it was killed between the two: the earlier one still counts
    shutil.rmtree(replaced, ignore_errors=True)
    if committed.exists():
        return "committed"
    return "draft" if (folder / _DRAFT).exists() else ""


def drop_draft(ground: Ground) -> None:
    """A restore was killed before anything changed: that is told, and its parts go."""
    shutil.rmtree(ground.folder / _DRAFT, ignore_errors=True)
    why = "a restore was cut off before it changed anything: the state is as it was before"
    _record(ground, AuditOutcome.FAILED, why, {})


async def finish(ground: Ground) -> Restored:
    """Carry out what is committed; may be cut off anywhere and be called again.

    Raises EngineUnavailable, StoreUnavailable and their kin; then it is still to be done.
    """
    staged = ground.folder / _COMMITTED
    order = _ORDERS.validate_json((staged / _ORDER).read_bytes())
    for volume in order.volumes:
        await _restore_volume(ground, staged, volume)
    audit = _restore_records(ground, staged, order)
    if order.events:
        replace_events(ground.event_log, staged / EVENTS, order.digest)
    data: dict[str, JsonValue] = {
        "sha256_of_manifest": order.digest,
        "made_at": order.made_at,
        "of_instance": order.of_instance,
        "records": order.records,
        "volumes": [volume.plugin_id for volume in order.volumes],
        "user": order.user,
    }
    _record(ground, AuditOutcome.DONE, f"restored from {order.source}; {audit}", data)
    done = ground.folder / _DONE
    await asyncio.to_thread(shutil.rmtree, done, ignore_errors=True)
    staged.rename(done)
    sync_folder(ground.folder)
    await asyncio.to_thread(shutil.rmtree, done, ignore_errors=True)
    return Restored(order=order, audit=audit)


# -- the first half -----------------------------------------------------------------------------


def _check_audit(backup: BackupFile) -> None:
    """The log in the file is whole, and ends where its manifest says."""
    place = backup.manifest.audit
    anchor = Anchor(sequence=place.sequence, hash=place.hash)
    found = judge(
        (item for name in backup.audit_segments for item in backup.audit_items(name)),
        anchor=anchor,
    )
    if not found.intact or found.last.sequence != place.sequence:
        raise BackupInvalid(f"{AUDIT}: {found.first_break or 'it goes on after its end'}")


def _order(source: Path, backup: BackupFile, *, with_volumes: bool) -> Order:
    manifest: Manifest = backup.manifest
    return Order(
        source=str(source),
        digest=backup.digest,
        made_at=manifest.made_at,
        of_instance=manifest.instance,
        records=manifest.records,
        audit=manifest.audit,
        events=any(part.name == EVENTS for part in manifest.parts),
        volumes=manifest.volumes if with_volumes else (),
    )


def _lay_out(backup: BackupFile, order: Order, draft: Path) -> None:
    draft.mkdir(mode=0o700)
    folders = (draft / AUDIT, draft / VOLUMES, (draft / EVENTS).parent)
    for folder in folders:
        folder.mkdir(mode=0o700)
    volumes = {f"{VOLUMES}{volume.plugin_id}.tar" for volume in order.volumes}
    for part in backup.manifest.parts:
        if part.name in {*volumes, STATE, EVENTS} or part.name.startswith(AUDIT):
            with backup.part(part.name) as file, (draft / part.name).open("wb") as target:
                shutil.copyfileobj(file, target, 1 << 20)
                target.flush()
                os.fsync(target.fileno())
    with (draft / _ORDER).open("wb") as target:
        target.write(_ORDERS.dump_json(order))
        target.flush()
        os.fsync(target.fileno())
    if order.events:
        check_database(draft / EVENTS)
    for folder in (*folders, draft):
        sync_folder(folder)


# -- the second half ----------------------------------------------------------------------------


async def _restore_volume(ground: Ground, staged: Path, volume: VolumePart) -> None:
    """Its plugin's containers go first: the daemon makes them anew, with the data in place."""
    if ground.content is None:
        raise BackupInvalid("this engine cannot fill volumes; restore with --no-volumes")
    labels = {**ground.place.labels, LABEL_PLUGIN: volume.plugin_id}
    for container in await ground.engine.list(labels):
        if container.label(LABEL_ROLE) in {"", ROLE_VOLUME}:
            await ground.engine.remove(container.container_id)
    name = volume_name(ground.place.prefix, volume.plugin_id)
    mount = VolumeMount(volume=name, target=DATA_TARGET, size_bytes=volume.size_bytes)
    await ground.volumes.remove(name)
    await ground.volumes.ensure(mount, labels)
    with (staged / VOLUMES / f"{volume.plugin_id}.tar").open("rb") as file:
        await ground.content.write(name, labels, file)


def _restore_records(ground: Ground, staged: Path, order: Order) -> str:
    """The records and the audit log; what became of the log."""
    new = json.loads((staged / STATE).read_bytes())
    now = ground.store.dump()
    place = Anchor(sequence=order.audit.sequence, hash=order.audit.hash)
    fate = fate_of_log(
        ground.audit_folder,
        staged,
        theirs=anchor_records(place),
        ours=now.get(ANCHOR_KIND, {}),
        now=ground.clock.now(),
    )
    if fate.replaced:
        replace_log(ground.audit_folder, staged / AUDIT, fate.aside)
    records = {kind: table for kind, table in new.items() if kind != REBUILT}
    for kind in _KEPT_KINDS:
        records[kind] = now.get(kind, {})
    ground.store.replace({**records, ANCHOR_KIND: fate.anchor})
    return fate.said


def _record(ground: Ground, outcome: AuditOutcome, why: str, data: dict[str, JsonValue]) -> None:
    log = AuditLog.open(ground.audit_folder, store=ground.store, clock=ground.clock)
    log.record(
        AuditEntry(
            at=ground.clock.now(),
            actor="operator",
            action=AuditAction.STATE,
            outcome=outcome,
            why=why,
            data=data,
        )
    )
    log.close()
