"""The audit log's files: `000001.jsonl`, `000002.jsonl`, …; appended to, never rewritten.

One writer (the daemon's lock sees to that) and any number of readers, who see whole lines only.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from orchestrator.store.audit_chain import (
    Anchor,
    ChainedRecord,
    Item,
    Unreadable,
    decode,
    encode,
)

MAX_LINE_BYTES: Final = 64 << 10
"""What a reader holds in memory at most; `AuditLog` writes none that is longer."""
_TAIL_BYTES: Final = 4 * MAX_LINE_BYTES
_SUFFIX = ".jsonl"


def segments(folder: Path) -> list[Path]:
    """The segments in their order; by number, as there may come to be more than the digits say."""
    found = [path for path in folder.glob(f"*{_SUFFIX}") if path.stem.isdecimal()]
    return sorted(found, key=lambda path: int(path.stem))


def after(segment: Path | None, folder: Path) -> Path:
    """The segment that follows."""
    number = int(segment.stem) + 1 if segment is not None else 1
    return folder / f"{number:06}{_SUFFIX}"


def lines(path: Path, *, size: int | None = None) -> Iterator[bytes]:
    """Each line without its end, at most MAX_LINE_BYTES of it, up to `size` bytes of the file."""
    left = path.stat().st_size if size is None else size
    with path.open("rb") as file:
        while left > 0 and (line := file.readline(min(MAX_LINE_BYTES + 1, left))):
            left -= len(line)
            yield line.removesuffix(b"\n")


def items(path: Path, *, size: int | None = None) -> Iterator[Item]:
    """A segment's first line and its records."""
    return map(decode, lines(path, size=size))


def last_record(path: Path) -> ChainedRecord | None:
    """The newest record of a segment, read from its end; None if there is none near it."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        tail = file.read().split(b"\n")
    return next(
        (item for line in reversed(tail) if isinstance(item := decode(line), ChainedRecord)), None
    )


def mend(path: Path) -> Path | None:
    """Set aside what a killed writer left of a last line; the file it is in, or None.

    A line that lacks only its end is whole, and gets it. Raises OSError; then nothing is lost.
    """
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        begin = _begin_of_last_line(file, size)
        if begin == size:
            return None
        file.seek(begin)
        if not isinstance(decode(file.read(MAX_LINE_BYTES)), Unreadable):
            file.seek(size)
            file.write(b"\n")
            return None
        aside = path.with_name(f"{path.stem}-{size}.torn")
        file.seek(begin)
        with aside.open("wb") as copy:
            aside.chmod(0o600)
            shutil.copyfileobj(file, copy)
            copy.flush()
            os.fsync(copy.fileno())
        file.truncate(begin)
        os.fsync(file.fileno())
    return aside


def _begin_of_last_line(file: BinaryIO, size: int) -> int:
    """Behind the last line's end; `size` if the file ends there."""
    end = size
    while end > 0:
        begin = max(0, end - MAX_LINE_BYTES)
        file.seek(begin)
        found = file.read(end - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0


class SegmentWriter:
    """Appends whole lines to one segment."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self.path = path
        made = not path.exists()
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.size = os.fstat(self._fd).st_size
        self._torn = False
        """Whether part of a line may lie behind `size`, where even cutting it off failed."""
        if made:
            # The anchor must not outlive, in a power cut, the file's name.
            sync_path(path.parent)

    def append(self, data: bytes) -> None:
        """All of it, or none and OSError: part of a line would spoil the next one too."""
        if self._torn:
            os.ftruncate(self._fd, self.size)
        self._torn, written = True, 0
        try:
            while written < len(data):
                written += os.write(self._fd, data[written:])
        except OSError:
            os.ftruncate(self._fd, self.size)
            self._torn = False
            raise
        self._torn = False
        self.size += len(data)

    def second_descriptor(self) -> int:
        """For a thread that syncs while this one may rotate; whoever takes it closes it."""
        return os.dup(self._fd)

    def close(self) -> None:
        """On disk, and no more of use. Raises OSError."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def first_line(place: Anchor) -> bytes:
    """What a segment begins with, so that it can be verified without the one before."""
    return encode(place) + b"\n"


def sync_path(path: Path) -> None:
    """Names in a folder are on the disk, too."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
