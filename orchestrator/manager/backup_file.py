"""A backup file: one tar of parts, and a manifest that says what they are and what they hash to.

Written under another name and renamed when it is whole and on the disk. Read as a stranger's: what
a manifest does not name, is of another kind, size or hash, or would land outside, is refused before
anything changes.
"""

import hashlib
import io
import json
import os
import re
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Final, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError

from orchestrator.engine.volume_content import ROOT
from orchestrator.errors import Kind, OrchestratorError
from orchestrator.model.base import Model, Name, PluginId
from orchestrator.store.audit_chain import Item, decode
from orchestrator.store.audit_segments import MAX_LINE_BYTES
from orchestrator.store.base import AllRecords
from orchestrator.store.migrations import LATEST

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
STATE: Final = "state.json"
AUDIT: Final = "audit/"
VOLUMES: Final = "volumes/"
EVENTS: Final = "events/events.db"
_PART_NAME: Final = (
    r"^(state\.json|audit/[0-9]{6,9}\.jsonl|events/events\.db"
    r"|volumes/[a-z][a-z0-9-]{0,62}\.tar)$"
)
_HEX: Final = r"^[0-9a-f]{64}$"
_CHUNK: Final = 1 << 20
_MAX_MANIFEST_BYTES: Final = 16 << 20
_MAX_STATE_BYTES: Final = 256 << 20
_MAX_PARTS: Final = 100_000
_BLOCK_BYTES: Final = 4_096
_FILE_BYTES: Final = 8_192
"""A disk of ours has room for one file in so many bytes (`mkfs.ext4 -i`)."""
_VOLUME_MEMBERS: Final = frozenset(
    {tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE}
)
_RECORDS = TypeAdapter(dict[str, dict[str, dict[str, object]]])


class BackupInvalid(OrchestratorError):
    """A file that is no backup of ours, or no longer as it was written."""

    kind, code = Kind.INVALID, "backup_invalid"


class BackupNotFound(OrchestratorError):
    """There is no such file."""

    kind, code = Kind.NOT_FOUND, "backup_not_found"


class BackupFailed(OrchestratorError):
    """A backup could not be written; nothing under its name is there."""

    kind, code = Kind.EXHAUSTED, "backup_failed"


class Part(Model):
    """One member of the file."""

    name: Annotated[str, Field(pattern=_PART_NAME)]
    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=_HEX)]


class VolumePart(Model):
    """The content of one plugin's /data."""

    plugin_id: PluginId
    size_bytes: Annotated[int, Field(ge=1)]
    """What it is held to."""
    consistency: Literal["paused", "not running"]
    """Whether the plugin stood still while it was read, or did not run at all."""


class AuditPlace(Model):
    """Where the audit log ended."""

    sequence: Annotated[int, Field(ge=0)]
    hash: Annotated[str, Field(pattern=_HEX)]


class Manifest(Model):
    """What the file is. Everything in it is checked before it is believed."""

    format: Literal[1]
    core_version: str
    store_version: Annotated[int, Field(ge=1)]
    instance: Name
    made_at: float
    records: Annotated[int, Field(ge=0)]
    audit: AuditPlace
    volumes: tuple[VolumePart, ...]
    left_out: tuple[str, ...]
    """What is not in it, in words: secrets, first of all."""
    parts: Annotated[tuple[Part, ...], Field(max_length=_MAX_PARTS)]


class BackupWriter:
    """Adds part after part; `finish` writes the manifest."""

    def __init__(self, archive: tarfile.TarFile, file: IO[bytes], scratch: Path) -> None:
        self._archive = archive
        self._file = file
        self.scratch = scratch
        """For what must be whole before it is added: on the same disk, for the owner only."""
        self._parts: list[Part] = []

    @property
    def parts(self) -> tuple[Part, ...]:
        return tuple(self._parts)

    def add(self, name: str, source: IO[bytes], size: int) -> None:
        """Exactly `size` bytes of `source`, from where it stands."""
        hashing = _Hashing(source)
        self._archive.addfile(_info(name, size), hashing)
        self._parts.append(Part(name=name, bytes=size, sha256=hashing.hexdigest))

    def add_records(self, records: AllRecords) -> None:
        content = json.dumps(records, sort_keys=True).encode()
        self.add(STATE, io.BytesIO(content), len(content))

    def finish(self, manifest: Manifest) -> str:
        """The manifest's own hash: who keeps it elsewhere can tell this file from any other."""
        content = manifest.model_dump_json(indent=2).encode()
        self._archive.addfile(_info(MANIFEST, len(content)), io.BytesIO(content))
        self._file.flush()
        os.fsync(self._file.fileno())  # the most of it here, in the caller's thread
        return hashlib.sha256(content).hexdigest()


@contextmanager
def writing(path: Path) -> Iterator[BackupWriter]:
    """The file gets its name at the end, if all went well. Raises BackupFailed."""
    try:
        if path.exists():
            raise BackupFailed(f"{path}: found a file, expected a name that is free")
        # Of a name that nobody foresees, and closed to others: /data passes through it.
        with tempfile.TemporaryDirectory(prefix=".backup-", dir=path.parent) as folder:
            draft = Path(folder) / "draft"
            fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as file:
                with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
                    yield BackupWriter(archive, file, Path(folder) / "scratch")
                file.flush()
                os.fsync(file.fileno())
            draft.rename(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise BackupFailed(f"{path}: cannot be written: {error}") from error


class BackupFile:
    """A backup whose every part has been checked."""

    def __init__(self, archive: tarfile.TarFile, manifest: Manifest, digest: str) -> None:
        self._archive = archive
        self.manifest = manifest
        self.digest = digest
        """The manifest's hash."""

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Self]:
        """Reads all of it once. Raises BackupInvalid, BackupNotFound."""
        try:
            with tarfile.open(path, mode="r:") as archive:
                members = _members(archive)
                manifest, digest = _manifest(archive, members)
                backup = cls(archive, manifest, digest)
                backup._check(members)
                yield backup
        except FileNotFoundError as error:
            raise BackupNotFound(f"{path}: found nothing there, expected a backup") from error
        except (tarfile.TarError, OSError, EOFError) as error:
            raise BackupInvalid(f"{path}: cannot be read as a backup: {error}") from error

    def part(self, name: str) -> IO[bytes]:
        """A part's content. Raises BackupInvalid."""
        named = {part.name for part in self.manifest.parts}
        found = self._archive.extractfile(name) if name in named else None
        if found is None:
            raise BackupInvalid(f"{name}: found no such part, expected one")
        return found

    def records(self) -> dict[str, dict[str, dict[str, object]]]:
        """All records by kind and key."""
        with self.part(STATE) as file:
            content = file.read(_MAX_STATE_BYTES + 1)
        if len(content) > _MAX_STATE_BYTES:
            raise BackupInvalid(f"{STATE}: found more than {_MAX_STATE_BYTES} bytes")
        try:
            return _RECORDS.validate_json(content)
        except ValidationError as error:
            raise BackupInvalid(f"{STATE}: found no records in it: {error}") from error

    @property
    def audit_segments(self) -> list[str]:
        """Names of the audit log's parts, in order."""
        names = [part.name for part in self.manifest.parts if part.name.startswith(AUDIT)]
        return sorted(names, key=lambda name: int(Path(name).stem))

    def audit_items(self, name: str) -> Iterator[Item]:
        """What the lines of a segment hold."""
        with self.part(name) as file:
            while line := file.readline(MAX_LINE_BYTES + 1):
                yield decode(line.removesuffix(b"\n"))

    def _check(self, members: Mapping[str, tarfile.TarInfo]) -> None:
        named = [part.name for part in self.manifest.parts]
        if sorted(named) != sorted(members.keys() - {MANIFEST}):
            raise BackupInvalid("the file's members are not those that its manifest names")
        expected = {f"{VOLUMES}{volume.plugin_id}.tar" for volume in self.manifest.volumes}
        if STATE not in named or {n for n in named if n.startswith(VOLUMES)} != expected:
            raise BackupInvalid("the manifest's parts are not its state and its volumes")
        for part in self.manifest.parts:
            with self.part(part.name) as file:
                _check_part(part, file)
        for volume in self.manifest.volumes:
            name = f"{VOLUMES}{volume.plugin_id}.tar"
            with self.part(name) as file:
                check_fits(name, check_volume(name, file), volume.size_bytes)
        if sum(map(len, self.records().values())) != self.manifest.records:
            raise BackupInvalid(f"{STATE}: found another number of records than its manifest says")


def _members(archive: tarfile.TarFile) -> dict[str, tarfile.TarInfo]:
    members: dict[str, tarfile.TarInfo] = {}
    for member in archive:
        plain = member.name == MANIFEST or re.fullmatch(_PART_NAME, member.name)
        if not plain or not member.isreg() or member.sparse or member.name in members:
            raise BackupInvalid(f"found {member.name[:100]!r}, expected plain parts, each once")
        if len(members) > _MAX_PARTS:
            raise BackupInvalid(f"found more than {_MAX_PARTS} parts")
        members[member.name] = member
    return members


def _manifest(
    archive: tarfile.TarFile, members: Mapping[str, tarfile.TarInfo]
) -> tuple[Manifest, str]:
    member = members.get(MANIFEST)
    if member is None:
        raise BackupInvalid(f"found no {MANIFEST}, expected one at the end: is the file cut short?")
    if member.size > _MAX_MANIFEST_BYTES:
        raise BackupInvalid(f"{MANIFEST}: found {member.size} bytes")
    file = archive.extractfile(member)
    content = file.read() if file is not None else b""
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise BackupInvalid(f"{MANIFEST}: {field}: {first['msg']}") from error
    if manifest.store_version > LATEST:
        raise BackupInvalid(
            f"{MANIFEST}: store_version: found {manifest.store_version}, expected at most {LATEST};"
            f" it was made by orchestrator {manifest.core_version[:40]}"
        )
    return manifest, hashlib.sha256(content).hexdigest()


def _check_part(part: Part, file: IO[bytes]) -> None:
    digest, size = hashlib.sha256(), 0
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
        size += len(chunk)
    if (size, digest.hexdigest()) != (part.bytes, part.sha256):
        raise BackupInvalid(
            f"{part.name}: found {size} bytes with SHA-256 {digest.hexdigest()}, expected"
            f" {part.bytes} with {part.sha256}"
        )


def check_volume(name: str, file: IO[bytes]) -> int:
    """The bytes that the content takes on a disk: holes in files are filled when they come back.

    Raises BackupInvalid for a device, and for what would land or link outside of its folder.
    """
    blocks = count = 0
    with tarfile.open(fileobj=file, mode="r|") as archive:
        for member in archive:
            fine = member.type in _VOLUME_MEMBERS and _is_inside(member.name)
            if not fine or (member.islnk() and not _is_inside(member.linkname)):
                raise BackupInvalid(
                    f"{name}: found {member.name[:100]!r}, expected files, folders and links"
                    f" below {ROOT}/"
                )
            count += 1
            blocks += 1 if member.isdir() else -(-member.size // _BLOCK_BYTES)
    return max(blocks * _BLOCK_BYTES, count * _FILE_BYTES)


def check_fits(name: str, needed: int, size_bytes: int) -> None:
    """Asked before the old data goes. Raises BackupInvalid."""
    if needed > size_bytes:
        raise BackupInvalid(
            f"{name}: found content that takes {needed} bytes when it is put back (holes in files"
            f" are filled), expected at most the {size_bytes} of its /data"
        )


def _is_inside(name: str) -> bool:
    parts = name.removesuffix("/").split("/")
    return parts[0] == ROOT and not {"", ".", ".."} & set(parts)


def _info(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    return info


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class _Hashing(io.RawIOBase):
    """Reads on, and hashes what it has read."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._digest = hashlib.sha256()

    @property
    def hexdigest(self) -> str:
        return self._digest.hexdigest()

    def read(self, size: int = -1) -> bytes:
        content = self._source.read(size)
        self._digest.update(content)
        return content
