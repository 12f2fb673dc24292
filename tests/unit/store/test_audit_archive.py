"""Archiving: what is moved away stays verifiable, what vanished otherwise is found."""

import shutil
from pathlib import Path

import pytest

import orchestrator.store.audit_log as module
from orchestrator.model.audit import AuditAction
from orchestrator.store.audit_archive import AuditNotArchived, Pieces
from orchestrator.store.audit_log import AuditLog
from orchestrator.store.audit_pieces import (
    AuditPieceUnreadable,
    first_break,
    verify_pieces,
)
from orchestrator.store.memory import MemoryStore
from tests.unit.store.audit_house import House, entry, named

SEGMENT = 1_500
TOLD = entry(500, action=AuditAction.AUDIT_LOG, why="archived")


@pytest.fixture
def away(tmp_path: Path) -> Path:
    return tmp_path / "away"


@pytest.fixture
def full(house: House) -> House:
    """Twenty records in six segments or so; entry N is N seconds old."""
    house.write(*range(20), segment_bytes=SEGMENT)
    return house


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def archive(log: AuditLog, folder: Path, before: float = 1e9) -> Pieces:
    pieces = log.copy_out(folder, before=before)
    assert pieces is not None
    await log.release(pieces, TOLD)
    return pieces


async def test_what_is_archived_is_gone_here_and_the_rest_stays_whole(
    full: House, away: Path
) -> None:
    before = full.files
    log = full.open(segment_bytes=SEGMENT)
    size = log.size_bytes()
    pieces = await archive(log, away)
    log.record(entry(21))
    verdict = log.verify()
    log.close()

    assert [piece.path.name for piece in pieces.pieces] == before[:-1]
    assert names(away) == before[:-1]
    assert set(full.files).isdisjoint(before[:-1])
    assert log.size_bytes() < size / 2
    assert verdict.intact
    assert named(full.open()) is None


async def test_only_segments_that_lie_wholly_before_the_moment_go(full: House, away: Path) -> None:
    log = full.open(segment_bytes=SEGMENT)
    pieces = await archive(log, away, before=10.0)
    left = [record.entry["at"] for record in log.read() if record.entry != TOLD]

    assert 5 < pieces.end.sequence <= 10
    assert set(range(10, 20)) <= set(left)
    assert named(log) is None


def test_where_nothing_is_old_enough_nothing_is_done(full: House, away: Path) -> None:
    assert full.open().copy_out(away, before=1.0) is None
    assert not away.exists()


async def test_archives_follow_one_another_and_the_rest(full: House, away: Path) -> None:
    log = full.open(segment_bytes=SEGMENT)
    await archive(log, away, before=10.0)
    await archive(log, away)
    export = away / "rest.jsonl"
    export.write_bytes(b"".join(log.export()))
    chained = verify_pieces([away])

    assert first_break(chained) is None
    assert chained[0].joint == "the log's beginning"
    assert {it.joint.partition(" ")[0] for it in chained[1:]} == {"follows"}
    assert sum(it.piece.records for it in chained) == log.place.sequence
    assert named(log) is None


async def test_a_segment_that_vanished_without_being_archived_is_found(
    full: House, away: Path
) -> None:
    log = full.open(segment_bytes=SEGMENT)
    pieces = await archive(log, away, before=10.0)
    log.close()
    oldest = full.files[0]
    shutil.move(full.folder / oldest, away / oldest)

    assert named(full.open()) == (pieces.end.sequence + 1, "removed")


def test_a_first_segment_that_vanished_is_found(full: House) -> None:
    (full.folder / "000001.jsonl").unlink()

    assert named(full.open()) == (1, "removed")


async def test_the_beginning_needs_no_store_to_be_known(full: House, away: Path) -> None:
    """A state file that was rebuilt or restored knows nothing of archives."""
    log = full.open(segment_bytes=SEGMENT)
    await archive(log, away)
    log.close()
    full.store = MemoryStore()

    assert named(full.open()) is None


def test_a_record_that_only_looks_like_an_archiving_covers_nothing(full: House) -> None:
    log = full.open(segment_bytes=SEGMENT)
    place = {"sequence": 100, "hash": "0" * 64}
    log.record(entry(30, action=AuditAction.HOST_CALL, data={"archived": place}))
    log.close()
    (full.folder / "000001.jsonl").unlink()

    assert named(full.open()) == (1, "removed")


@pytest.mark.parametrize("gone", range(4))
async def test_killed_between_the_copy_and_the_removal_nothing_is_lost(
    full: House, away: Path, gone: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After so many were removed; and the next try finishes it."""

    def cut_short(pieces: Pieces) -> None:
        for piece in pieces.pieces[:gone]:
            piece.path.unlink()
        raise OSError(5, "killed here")

    log = full.open(segment_bytes=SEGMENT)
    monkeypatch.setattr(module, "remove", cut_short)
    with pytest.raises(AuditNotArchived, match="copied, but not removed"):
        await archive(log, away)
    monkeypatch.undo()
    log.close()
    again = full.open(segment_bytes=SEGMENT)
    left = named(again)
    held = {*names(away), *full.files}
    await archive(again, away)

    assert left is None
    assert {f"{number:06}.jsonl" for number in range(1, 6)} <= held
    assert named(again) is None
    assert first_break(verify_pieces([away, full.folder])) is None


async def test_killed_before_the_record_was_written_nothing_has_changed(
    full: House, away: Path
) -> None:
    files = full.files
    full.open().copy_out(away, before=1e9)

    assert full.files == files
    assert named(full.open()) is None
    await archive(full.open(segment_bytes=SEGMENT), away)


async def test_a_record_that_cannot_be_written_keeps_everything(full: House, away: Path) -> None:
    log = full.open()
    pieces = log.copy_out(away, before=1e9)
    assert pieces is not None
    log.close()
    files = full.files
    with pytest.raises(AuditNotArchived, match="cannot be written"):
        await log.release(pieces, TOLD)

    assert full.files == files


def test_a_damaged_log_is_not_archived(full: House, away: Path) -> None:
    full.put([line.replace(b"entry 2", b"entry 9") for line in full.lines()])
    with pytest.raises(AuditNotArchived, match="record 3 was changed"):
        full.open().copy_out(away, before=1e9)

    assert not away.exists()


def test_another_file_in_the_way_is_not_written_over(full: House, away: Path) -> None:
    away.mkdir()
    (away / "000002.jsonl").write_text("mine")
    with pytest.raises(AuditNotArchived, match=r"000002\.jsonl: found another file"):
        full.open().copy_out(away, before=1e9)

    assert (away / "000002.jsonl").read_text() == "mine"


@pytest.mark.parametrize("name", [".", "deeper"])
def test_the_logs_own_folder_is_no_archive(full: House, name: str) -> None:
    with pytest.raises(AuditNotArchived, match="own folder"):
        full.open().copy_out(full.folder / name, before=1e9)


def test_an_archive_that_cannot_be_written_is_told(full: House, away: Path) -> None:
    away.write_text("a file")
    with pytest.raises(AuditNotArchived, match="cannot be made"):
        full.open().copy_out(away, before=1e9)


# -- pieces ---------------------------------------------------------------------------------------


@pytest.fixture
async def archived(full: House, away: Path) -> Path:
    log = full.open(segment_bytes=SEGMENT)
    await archive(log, away)
    log.close()
    return away


def found(*paths: Path) -> tuple[str, int, str] | None:
    broken = first_break(verify_pieces(paths))
    if broken is None or broken.first_break is None:
        return None
    at = broken.first_break
    return broken.piece.path.name, at.sequence, str(at.damage)


def edit(path: Path, old: bytes, new: bytes) -> None:
    path.write_bytes(path.read_bytes().replace(old, new))


def test_a_changed_word_in_an_archived_piece_is_named(archived: Path) -> None:
    edit(archived / "000002.jsonl", b"entry 5", b"entry 6")
    broken = found(archived)

    assert broken == ("000002.jsonl", 6, "changed")


def test_a_piece_that_is_missing_is_named_by_its_first_record(archived: Path) -> None:
    first = verify_pieces([archived / "000003.jsonl"])[0].piece.start.sequence + 1
    (archived / "000003.jsonl").unlink()

    assert found(archived) == ("000004.jsonl", first, "removed")


def test_a_last_record_that_was_cut_off_at_the_boundary_is_found(
    archived: Path, full: House
) -> None:
    """Also between the archive and the log, which goes on elsewhere."""
    last = archived / names(archived)[-1]
    end = verify_pieces([last])[0].piece.last.sequence
    lines = last.read_bytes().splitlines(keepends=True)
    last.write_bytes(b"".join(lines[:-1]))

    assert found(archived) is None  # alone it cannot be known
    assert found(archived, full.folder) == (full.files[0], end, "removed")


def test_a_first_line_that_was_forged_does_not_follow(archived: Path) -> None:
    piece = archived / "000002.jsonl"
    hash_before = verify_pieces([piece])[0].piece.start.hash
    edit(piece, hash_before.encode(), b"f" * 64)
    broken = found(archived)

    assert broken is not None
    assert broken[0] == "000002.jsonl"


def test_another_chain_does_not_fit(archived: Path, tmp_path: Path) -> None:
    other = House(tmp_path / "other", None)
    other.write(*range(100, 106))
    log = other.open()
    export = tmp_path / "other.jsonl"
    export.write_bytes(b"".join(list(log.export())[3:]))
    chained = verify_pieces([archived, export])

    assert any(it.joint.startswith("does not follow") for it in chained)
    assert first_break(chained) is not None


def test_a_single_segment_is_whole_alone_and_says_where_it_begins(archived: Path) -> None:
    chained = verify_pieces([archived / "000003.jsonl"])

    assert first_break(chained) is None
    assert chained[0].joint.startswith("the first one here; records before")


def test_an_export_that_overlaps_its_segments_fits(full: House, tmp_path: Path) -> None:
    export = tmp_path / "whole.jsonl"
    export.write_bytes(b"".join(full.open().export()))
    chained = verify_pieces([full.folder, export])

    assert first_break(chained) is None
    assert sum("overlaps" in it.joint for it in chained) >= 1


@pytest.mark.parametrize("kind", ["missing", "empty", "folder"])
def test_what_is_no_piece_is_said(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.jsonl"
    if kind == "empty":
        path.touch()
    elif kind == "folder":
        path.mkdir()
    with pytest.raises(AuditPieceUnreadable, match=str(path)):
        verify_pieces([path])
