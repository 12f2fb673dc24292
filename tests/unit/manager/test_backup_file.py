"""A backup file is what was written, or it is refused before anything is done with it."""

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import Kind
from orchestrator.manager import backup_file
from orchestrator.manager.backup_file import (
    AuditPlace,
    BackupFailed,
    BackupFile,
    BackupInvalid,
    BackupNotFound,
    Manifest,
    VolumePart,
    check_fits,
    check_volume,
    writing,
)
from orchestrator.store.migrations import LATEST

Members = list[tuple[tarfile.TarInfo, bytes]]
RECORDS = {"desired": {"notes": {"a": [1, "ü"]}}, "history": {}}


def volume(**fields: Any) -> bytes:
    """A volume's tar with one member beside its folder."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        folder = tarfile.TarInfo("data/")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        member = tarfile.TarInfo("data/file")
        content = b"kept"
        member.size = len(content)
        for name, value in fields.items():
            setattr(member, name, value)
        archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


def write(path: Path, *, content: bytes | None = None, **changes: Any) -> None:
    content = volume() if content is None else content
    with writing(path) as writer:
        writer.add_records(RECORDS)
        writer.add("volumes/notes.tar", io.BytesIO(content), len(content))
        fields: dict[str, Any] = {
            "format": 1,
            "core_version": "1.0.0",
            "store_version": LATEST,
            "instance": "home",
            "made_at": 1.0,
            "records": 1,
            "audit": AuditPlace(sequence=0, hash="0" * 64),
            "volumes": (VolumePart(plugin_id="notes", size_bytes=1 << 20, consistency="paused"),),
            "left_out": ("secrets",),
            "parts": writer.parts,
        }
        writer.finish(Manifest(**fields | changes))


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    path = tmp_path / "backup.tar"
    write(path)
    return path


def test_where_no_file_is_that_is_said_once_and_as_a_thing_not_found(tmp_path: Path) -> None:
    path = tmp_path / "nofile"
    with pytest.raises(BackupNotFound) as caught, BackupFile.open(path):
        pass

    assert str(caught.value) == f"{path}: found nothing there, expected a backup"
    assert caught.value.kind is Kind.NOT_FOUND


def refused(path: Path) -> str:
    with pytest.raises(BackupInvalid) as caught, BackupFile.open(path):
        pass
    assert (caught.value.kind, caught.value.code) == (Kind.INVALID, "backup_invalid")
    return str(caught.value)


def rewritten(path: Path, change: Callable[[Members], None]) -> None:
    """The same file with other members, and nothing else changed."""
    with tarfile.open(path) as archive:
        members: Members = [
            (member, file.read()) for member in archive if (file := archive.extractfile(member))
        ]
    change(members)
    with tarfile.open(path, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member, content in members:
            member.size = len(content) if member.isreg() else 0
            archive.addfile(member, io.BytesIO(content))


def test_what_was_written_is_read_back(backup: Path) -> None:
    with BackupFile.open(backup) as read:
        assert read.records() == RECORDS
        assert read.part("volumes/notes.tar").read() == volume()
        assert read.manifest.volumes[0].plugin_id == "notes"


def test_only_its_owner_can_read_it(backup: Path) -> None:
    assert backup.stat().st_mode & 0o777 == 0o600


def test_what_it_is_made_of_is_closed_to_others_and_gone_afterwards(tmp_path: Path) -> None:
    with writing(tmp_path / "backup.tar") as writer:
        (folder,) = tmp_path.iterdir()
        mode = folder.stat().st_mode & 0o777
        inside = writer.scratch.parent
        writer.scratch.write_bytes(b"secret")

    assert (mode, inside) == (0o700, folder)
    assert [path.name for path in tmp_path.iterdir()] == ["backup.tar"]


def test_any_bit_that_flips_in_the_file_is_found(backup: Path) -> None:
    """But for the padding, which nobody reads; a tar's headers have a checksum of their own."""
    sound = backup.read_bytes()
    with tarfile.open(backup) as archive:
        meant = [(m.offset_data, m.offset_data + m.size) for m in archive]
    for begin, end in meant:
        for place in {begin, (begin + end) // 2, end - 1}:
            spoilt = bytearray(sound)
            spoilt[place] ^= 0x01
            backup.write_bytes(spoilt)
            refused(backup)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.99])
def test_a_file_that_was_cut_short_is_refused(backup: Path, share: float) -> None:
    content = backup.read_bytes().rstrip(b"\0")  # what follows is padding
    backup.write_bytes(content[: int(len(content) * share)])

    refused(backup)


def _named(name: str, **fields: Any) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(member, field, value)
    return member


ADDED = {
    "a path outside": _named("../../etc/cron.d/x"),
    "an absolute path": _named("/etc/passwd"),
    "a path that goes up within": _named("volumes/../../x.tar"),
    "a symbolic link": _named("volumes/x.tar", type=tarfile.SYMTYPE, linkname="/etc/shadow"),
    "a hard link": _named("volumes/x.tar", type=tarfile.LNKTYPE, linkname="state.json"),
    "a device": _named("volumes/x.tar", type=tarfile.CHRTYPE),
    "a part twice": _named("state.json"),
    "a part that the manifest does not name": _named("volumes/other.tar"),
}


@pytest.mark.parametrize("words", ADDED)
def test_a_member_that_does_not_belong_is_refused(backup: Path, words: str) -> None:
    rewritten(backup, lambda members: members.insert(0, (ADDED[words], b"")))

    assert "expected" in refused(backup) or "members" in refused(backup)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_member_that_is_missing_is_missed(backup: Path, number: int) -> None:
    rewritten(backup, lambda members: members.pop(number) and None)

    refused(backup)


INSIDE = {
    "a device": {"type": tarfile.BLKTYPE, "size": 0},
    "a path outside": {"name": "data/../../etc/x"},
    "an absolute path": {"name": "/data/x"},
    "another folder": {"name": "etc/x"},
    "a hard link outside": {"type": tarfile.LNKTYPE, "linkname": "etc/shadow", "size": 0},
}


@pytest.mark.parametrize("words", INSIDE)
def test_a_volume_that_would_reach_outside_is_refused(tmp_path: Path, words: str) -> None:
    path = tmp_path / "backup.tar"
    write(path, content=volume(**INSIDE[words]))

    assert "below data/" in refused(path)


def test_what_would_not_fit_is_refused_before_anything_is_taken_away() -> None:
    one = io.BytesIO(volume())
    many = io.BytesIO()
    with tarfile.open(fileobj=many, mode="w") as archive:
        for number in range(10):
            archive.addfile(tarfile.TarInfo(f"data/{number}"))

    assert check_volume("one", one) == 16_384
    many.seek(0)
    assert check_volume("many", many) == 81_920  # of no content, but each takes a place
    check_fits("many", 81_920, 81_920)
    with pytest.raises(BackupInvalid, match="many: found content that takes 81920 bytes"):
        check_fits("many", 81_920, 81_919)


def test_what_a_plugin_may_have_in_its_data_is_fine(tmp_path: Path) -> None:
    for number, fields in enumerate(
        [
            {"type": tarfile.SYMTYPE, "linkname": "/etc/shadow", "size": 0},
            {"type": tarfile.FIFOTYPE, "size": 0},
            {"name": "data/" + "x" * 255},
            {"name": "data/..x"},
            {"mode": 0o6777, "uid": 65532},
        ]
    ):
        path = tmp_path / f"{number}.tar"
        write(path, content=volume(**fields))
        with BackupFile.open(path):
            pass


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"store_version": LATEST + 1}, "store_version: found"),
        ({"records": 2}, "another number of records"),
        ({"volumes": ()}, "its state and its volumes"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    path = tmp_path / "backup.tar"
    write(path, **changes)

    assert words in refused(path)


def test_a_file_of_another_format_is_refused(backup: Path) -> None:
    def change(members: Members) -> None:
        member, content = members.pop()
        members.append((member, json.dumps(json.loads(content) | {"format": 2}).encode()))

    rewritten(backup, change)

    assert "format" in refused(backup)


@pytest.mark.parametrize("content", [b"", b"words", b"\x00" * 20_000])
def test_what_is_no_backup_at_all_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "backup.tar"
    path.write_bytes(content)

    refused(path)


def test_a_file_that_is_there_is_not_overwritten(backup: Path) -> None:
    before = backup.read_bytes()
    with pytest.raises(BackupFailed, match="expected a name that is free"):
        write(backup)

    assert backup.read_bytes() == before


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def fail(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup_file.os, "fsync", fail)
    yield
    monkeypatch.undo()


def test_a_backup_that_does_not_fit_leaves_nothing(tmp_path: Path, full: None) -> None:
    with pytest.raises(BackupFailed, match="No space left"):
        write(tmp_path / "backup.tar")

    assert list(tmp_path.iterdir()) == []
