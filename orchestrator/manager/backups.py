"""Backups: the state, the audit log and the plugins' data in one file, while everything runs.

Records and audit log are taken at one moment. A volume is read while its plugin is paused: what is
in it is what a power cut at that moment would have left, and calls wait so long.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from orchestrator.clock import Clock
from orchestrator.engine.base import (
    LABEL_PLUGIN,
    LABEL_ROLE,
    Engine,
    EngineFailure,
    VolumeStore,
)
from orchestrator.engine.pausing import Pausing
from orchestrator.engine.volume_content import ROLE_VOLUME, VolumeContent
from orchestrator.errors import Kind, OrchestratorError
from orchestrator.manager.actions import WHOLE
from orchestrator.manager.auditing import Clerk
from orchestrator.manager.backup_file import (
    AUDIT,
    EVENTS,
    FORMAT,
    VOLUMES,
    AuditPlace,
    BackupFailed,
    BackupInvalid,
    BackupWriter,
    Manifest,
    VolumePart,
    check_fits,
    check_volume,
    writing,
)
from orchestrator.manager.deployment import Place
from orchestrator.manager.fleet import Fleet
from orchestrator.manager.manager import OPERATOR
from orchestrator.model.container import ContainerPhase, VolumeMount
from orchestrator.policy.compile import volume_name
from orchestrator.store.audit_log import AuditLog
from orchestrator.store.copy import copy_database
from orchestrator.store.migrations import LATEST
from orchestrator.version import CORE_VERSION

LEFT_OUT: Final = (
    "secrets and credentials: they stay in the files that manifests name",
    "images: they are built anew from the plugins' folders",
    "manifests, orchestrator.yaml and plugins' folders: they are yours",
)
NO_VOLUMES: Final = "the plugins' data: --no-volumes was given"
_WITHOUT: Final = "leave the plugins' data out with --no-volumes"
_UNKNOWN_SIZE: Final = 64 << 20
"""Of a volume whose plugin is wanted no more; it gets its own again with the next `up`."""
_MOST_OF_UNKNOWN: Final = 1 << 40
_SPARSE_FACTOR: Final = 4
_SPARSE_BYTES: Final = 64 << 20
"""How much more than its size a volume's content may be with the holes of its files."""
_QUIET_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.05
_MOUNTED: Final = (ContainerPhase.RUNNING, ContainerPhase.PAUSED)
_AT_IT: Final = "its data is being backed up"


class BackupBusy(OrchestratorError):
    """Another backup is being made, or a plugin is being started all the time."""

    kind, code = Kind.CONFLICT, "backup_busy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A backup that is there."""

    path: Path
    bytes: int
    digest: str
    manifest: Manifest


class Backups:
    """One per daemon."""

    def __init__(
        self,
        *,
        fleet: Fleet,
        audit: AuditLog,
        event_log: Path,
        engine: Engine,
        volumes: VolumeStore,
        content: VolumeContent | None,
        pausing: Pausing | None,
        place: Place,
        clerk: Clerk,
        clock: Clock,
    ) -> None:
        self._fleet = fleet
        self._audit = audit
        self._event_log = event_log
        self._engine = engine
        self._volumes = volumes
        self._content = content
        self._pausing = pausing
        self._place = place
        self._clerk = clerk
        self._clock = clock
        self._one = asyncio.Lock()

    async def make(self, path: Path, *, with_volumes: bool, who: str = OPERATOR) -> Made:
        """Write a backup to `path`, which must be free.

        Raises BackupFailed, BackupBusy, StoreUnavailable, EngineUnavailable.
        """
        words = f"backup {path}"
        try:
            if self._one.locked():
                raise BackupBusy("another backup is being made: wait for its end")
            async with self._one:
                made = await self._make(path, with_volumes=with_volumes)
        except OrchestratorError as error:
            self._clerk.refusal(words, error, who=who)
            raise
        data: dict[str, JsonValue] = {"sha256_of_manifest": made.digest, "bytes": made.bytes}
        self._clerk.command(words, data, who=who)
        return made

    async def _make(self, path: Path, *, with_volumes: bool) -> Made:
        if with_volumes:
            await tidy(self._engine, self._place.labels)
        # One moment for both: nothing is awaited in between.
        records, at = self._fleet.store.dump(), self._clock.now()
        place, segments = self._audit.segments()
        with writing(path) as writer:
            await asyncio.to_thread(writer.add_records, records)
            for segment, size in segments:
                await asyncio.to_thread(_add_file, writer, f"{AUDIT}{segment.name}", segment, size)
            await asyncio.to_thread(_add_events, writer, self._event_log, writer.scratch)
            volumes: tuple[VolumePart, ...] = ()
            if with_volumes:
                volumes = await self._add_volumes(writer)
            manifest = Manifest(
                format=FORMAT,
                core_version=CORE_VERSION,
                store_version=LATEST,
                instance=self._place.instance,
                made_at=at,
                records=sum(map(len, records.values())),
                audit=AuditPlace(sequence=place.sequence, hash=place.hash),
                volumes=volumes,
                left_out=LEFT_OUT if with_volumes else (*LEFT_OUT, NO_VOLUMES),
                parts=writer.parts,
            )
            digest = await asyncio.to_thread(writer.finish, manifest)
        size = (await asyncio.to_thread(path.stat)).st_size
        return Made(path=path, bytes=size, digest=digest, manifest=manifest)

    async def _add_volumes(self, writer: BackupWriter) -> tuple[VolumePart, ...]:
        parts = []
        for state in await self._volumes.list(self._place.labels):
            plugin_id = dict(state.labels).get(LABEL_PLUGIN, "")
            if state.name == volume_name(self._place.prefix, plugin_id):
                parts.append(await self._add_volume(writer, plugin_id))
        return tuple(parts)

    async def _add_volume(self, writer: BackupWriter, plugin_id: str) -> VolumePart:
        mount, scratch = self._mount(plugin_id), writer.scratch
        name = f"{VOLUMES}{plugin_id}.tar"
        size_bytes = mount.size_bytes if mount is not None else _MOST_OF_UNKNOWN
        try:
            async with self._still(plugin_id) as paused:
                await self._read(plugin_id, mount, scratch, size_bytes)
            size = (await asyncio.to_thread(scratch.stat)).st_size
            needed = await asyncio.to_thread(_restorable, name, scratch)
            room = size_bytes if mount is not None else max(_UNKNOWN_SIZE, needed + needed // 4)
            _fits(name, needed, room)
            await asyncio.to_thread(_add_file, writer, name, scratch, size)
        finally:
            await asyncio.to_thread(scratch.unlink, missing_ok=True)
        return VolumePart(
            plugin_id=plugin_id,
            size_bytes=room,
            consistency="paused" if paused else "not running",
        )

    async def _read(
        self, plugin_id: str, mount: VolumeMount | None, target: Path, size_bytes: int
    ) -> None:
        if self._content is None:
            raise BackupFailed(
                "this engine cannot read volumes; leave the plugins' data out with --no-volumes"
            )
        labels = {**self._place.labels, LABEL_PLUGIN: plugin_id}
        volume = volume_name(self._place.prefix, plugin_id)
        most = _SPARSE_FACTOR * size_bytes + _SPARSE_BYTES
        try:
            with target.open("wb") as file:
                await self._content.read(volume, labels, file, max_bytes=most)
        except EngineFailure:
            if mount is None or self._alive(plugin_id, *_MOUNTED):
                raise
            # Its disk is not attached: since a reboot, say.
            await self._volumes.ensure(mount, labels)
            with target.open("wb") as file:
                await self._content.read(volume, labels, file, max_bytes=most)

    def _mount(self, plugin_id: str) -> VolumeMount | None:
        deployment = self._fleet.deployments.get(plugin_id)
        volume = volume_name(self._place.prefix, plugin_id)
        mounts = deployment.compiled.spec.volume_mounts if deployment is not None else ()
        return next((mount for mount in mounts if mount.volume == volume), None)

    def _alive(self, plugin_id: str, *phases: ContainerPhase) -> list[str]:
        return [
            container.container_id
            for container in self._fleet.containers.values()
            if container.label(LABEL_PLUGIN) == plugin_id and container.phase in phases
        ]

    @asynccontextmanager
    async def _still(self, plugin_id: str) -> AsyncIterator[bool]:
        """No step begins with the plugin, and none of its processes runs; whether one did."""
        async with self._reserved(plugin_id):
            running = self._alive(plugin_id, ContainerPhase.RUNNING)
            # One that sleeps stands still already, and is not woken before this is over.
            alive = bool(self._alive(plugin_id, *_MOUNTED))
            if running and self._pausing is None:
                raise BackupFailed(
                    f"{plugin_id} runs and this engine cannot pause it; stop it, or leave the"
                    " plugins' data out with --no-volumes"
                )
            try:
                for container_id in running:
                    await self._pause(container_id)
                yield alive
            finally:
                for container_id in running:
                    await self._unpause(container_id)

    @asynccontextmanager
    async def _reserved(self, plugin_id: str) -> AsyncIterator[None]:
        busy = self._fleet.busy
        until = self._clock.monotonic() + _QUIET_SECONDS
        while plugin_id in busy:
            if self._clock.monotonic() > until:
                found = busy.in_words(plugin_id)
                raise BackupBusy(f"{plugin_id}: found it {found}, expected it at rest")
            await asyncio.sleep(_LOOK_SECONDS)
        busy.begin(plugin_id, WHOLE, _AT_IT)
        try:
            yield
        finally:
            busy.end(plugin_id, WHOLE)

    async def _pause(self, container_id: str) -> None:
        if self._pausing is not None:
            await self._pausing.pause(container_id)

    async def _unpause(self, container_id: str) -> None:
        if self._pausing is not None:
            await self._pausing.unpause(container_id)


async def tidy(engine: Engine, labels: Mapping[str, str]) -> None:
    """Take away the helpers of a backup or restore that was killed. Raises EngineUnavailable."""
    for container in await engine.list({**labels, LABEL_ROLE: ROLE_VOLUME}):
        await engine.remove(container.container_id)


def _add_events(writer: BackupWriter, source: Path, scratch: Path) -> None:
    """A moment later than the records; what was accepted meanwhile is in it."""
    if not source.exists():
        return
    try:
        scratch.unlink(missing_ok=True)
        copy_database(source, scratch)
        _add_file(writer, EVENTS, scratch, scratch.stat().st_size)
    finally:
        scratch.unlink(missing_ok=True)


def _restorable(name: str, scratch: Path) -> int:
    """The bytes that the data takes when it is put back.

    Raises BackupFailed where `restore` would refuse it: a backup that is of no use must not seem
    to be made.
    """
    try:
        with scratch.open("rb") as file:
            return check_volume(name, file)
    except BackupInvalid as error:
        raise BackupFailed(f"{error}; {_WITHOUT}") from error


def _fits(name: str, needed: int, room: int) -> None:
    try:
        check_fits(name, needed, room)
    except BackupInvalid as error:
        raise BackupFailed(f"{error}; {_WITHOUT}") from error


def _add_file(writer: BackupWriter, name: str, path: Path, size: int) -> None:
    with path.open("rb") as file:
        writer.add(name, file, size)


def summary(made: Made) -> Mapping[str, object]:
    """As the API tells it."""
    return {
        "path": str(made.path),
        "bytes": made.bytes,
        "sha256_of_manifest": made.digest,
        "records": made.manifest.records,
        "audit_records": made.manifest.audit.sequence,
        "volumes": [volume.model_dump() for volume in made.manifest.volumes],
        "left_out": [*made.manifest.left_out],
    }
