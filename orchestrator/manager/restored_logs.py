"""What a restore does with the two logs: none ever gets shorter, and another one is set aside."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from orchestrator.manager.backup_file import AUDIT
from orchestrator.store.audit_chain import GENESIS, ChainedRecord
from orchestrator.store.audit_segments import items, segments
from orchestrator.store.base import Record, StoreCorrupt
from orchestrator.store.copy import copy_database
from orchestrator.store.sqlite import SIDE_FILES

_LOG_FATE: Final = "log.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFate:
    """What becomes of the audit log that was here."""

    said: str
    anchor: Mapping[str, Record]
    replaced: bool = False
    aside: str = ""


_FATES = TypeAdapter(LogFate)


def fate_of_log(
    folder: Path,
    staged: Path,
    *,
    theirs: Mapping[str, Record],
    ours: Mapping[str, Record],
    now: float,
) -> LogFate:
    """Decided once, as a restore that is called again finds another log.

    A log never gets shorter: the one here stays if it holds all that the backup's does.
    """
    decided = staged / _LOG_FATE
    if decided.exists():
        return _FATES.validate_json(decided.read_bytes())
    here, there = segments(folder), segments(staged / AUDIT)
    if not there or (here and _holds(here, there)):
        fate = LogFate(said="the audit log goes on, and holds the backup's", anchor=dict(ours))
    elif not here:
        fate = LogFate(said="the audit log is the backup's", anchor=dict(theirs), replaced=True)
    else:
        at = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%S")
        aside = f"{folder.name}.before-restore-{at}"
        said = f"the audit log is the backup's; the one here was another: set aside as {aside}"
        fate = LogFate(said=said, anchor=dict(theirs), replaced=True, aside=aside)
    draft = staged / f"{_LOG_FATE}.new"
    with draft.open("wb") as file:
        file.write(_FATES.dump_json(fate))
        file.flush()
        os.fsync(file.fileno())
    draft.rename(decided)
    return fate


def replace_log(folder: Path, staged: Path, aside: str) -> None:
    """Each step only if it is still to be done."""
    if aside and not folder.with_name(aside).exists():
        folder.rename(folder.with_name(aside))
    if not _holds(segments(folder), segments(staged)):
        draft = folder.with_name(f"{folder.name}.new")
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(staged, draft)
        shutil.rmtree(folder, ignore_errors=True)  # without a segment in it
        draft.rename(folder)
    sync_folder(folder.parent)


def _holds(here: list[Path], there: list[Path]) -> bool:
    """Whether the log here has the last record of the other in its place."""
    last = GENESIS
    for path in there:
        for item in items(path):
            if isinstance(item, ChainedRecord):
                last = item.place
    return any(
        isinstance(item, ChainedRecord) and item.place == last
        for path in here
        for item in items(path)
    )


def replace_events(path: Path, staged: Path, digest: str) -> None:
    """The log that is here is set aside: events in it may be waiting still."""
    aside = path.with_name(f"{path.stem}.before-restore-{digest[:12]}{path.suffix}")
    if path.exists() and not aside.exists():
        draft = aside.with_suffix(".new")
        draft.unlink(missing_ok=True)
        try:
            copy_database(path, draft)
        except StoreCorrupt:
            shutil.copyfile(path, draft)
        draft.rename(aside)
    draft = path.with_suffix(".new")
    shutil.copyfile(staged, draft)
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    for end in SIDE_FILES:
        path.with_name(path.name + end).unlink(missing_ok=True)
    draft.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Names in it are on the disk, too."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
