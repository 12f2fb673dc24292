"""Walking a share: every plain file beneath it, opened so that no symbolic link is followed.

A share's files are other people's: each part of a path is opened by itself with O_NOFOLLOW,
relative to the folder before it, so a link that is put there while we walk changes nothing.
"""

import os
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from detect_secrets.filters import heuristic

MAX_DEPTH = 32
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK, opening a pipe that somebody left in the share would wait for ever.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_BINARY_PROBE_BYTES = 8_192


class PathRefused(ValueError):
    """A path that leaves the share, or leads over a symbolic link."""


class PathMissing(ValueError):
    """Nothing lies at the path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileText:
    path: str
    """Relative to the share."""
    text: str
    size_bytes: int


@dataclass(slots=True, kw_only=True)
class ShareWalk:
    """One walk; counts what it left out and why."""

    root: Path
    max_file_bytes: int
    skipped: Counter[str] = field(default_factory=Counter)

    def files(self, path: str = "") -> Iterator[FileText]:
        """Text files at or beneath `path` in the order of their names.

        Raises PathRefused and PathMissing.
        """
        parts = relative_parts(path)
        kind = self._kind(parts)
        if stat.S_ISREG(kind):
            yield from self._read("/".join(parts))
        elif stat.S_ISDIR(kind):
            yield from self._walk(parts)
        else:
            raise PathRefused(f"expected a file or a folder in the share, {path!r} is neither")

    def _kind(self, parts: tuple[str, ...]) -> int:
        if not parts:
            return stat.S_IFDIR
        try:
            with _opened(self.root, parts[:-1], _FOLDER) as folder:
                return os.stat(parts[-1], dir_fd=folder, follow_symlinks=False).st_mode
        except (FileNotFoundError, PermissionError) as error:
            raise PathMissing(f"nothing readable lies at {'/'.join(parts)!r}") from error
        except OSError as error:
            raise PathRefused(f"{'/'.join(parts)!r} leads over what is no folder") from error

    def _walk(self, start: tuple[str, ...]) -> Iterator[FileText]:
        waiting = [start]
        while waiting:
            parts = waiting.pop()
            folders: list[tuple[str, ...]] = []
            for name, mode in self._entries(parts):
                if stat.S_ISDIR(mode):
                    folders.append((*parts, name))
                elif stat.S_ISREG(mode):
                    yield from self._read("/".join((*parts, name)))
                else:
                    self.skipped["link_or_special"] += 1
            waiting.extend(reversed(folders))

    def _entries(self, parts: tuple[str, ...]) -> list[tuple[str, int]]:
        if len(parts) > MAX_DEPTH:
            self.skipped["too_deep"] += 1
            return []
        try:
            with _opened(self.root, parts, _FOLDER) as folder:
                return [
                    (name, os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
                    for name in sorted(os.listdir(folder))  # noqa: PTH208 - a descriptor
                ]
        except OSError:
            # Removed or shut while we walk: nothing to scan, but say so.
            self.skipped["unreadable"] += 1
            return []

    def _read(self, path: str) -> Iterator[FileText]:
        if heuristic.is_non_text_file(path) or heuristic.is_lock_file(path):
            self.skipped["by_name"] += 1
            return
        try:
            with _opened(self.root, tuple(path.split("/")), _FILE) as descriptor:
                content = self._content(descriptor)
        except OSError:
            self.skipped["unreadable"] += 1
            return
        text = None if content is None else decode(content)
        if content is not None and text is None:
            self.skipped["binary"] += 1
        if content is not None and text is not None:
            # A name that is no UTF-8 would not survive the way to JSON.
            shown = path.encode("utf-8", "replace").decode("utf-8")
            yield FileText(path=shown, text=text, size_bytes=len(content))

    def _content(self, descriptor: int) -> bytes | None:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            self.skipped["link_or_special"] += 1
            return None
        with open(descriptor, "rb", closefd=False) as file:  # a descriptor
            # One byte more than allowed tells a file that is too large, whatever its size says.
            content = file.read(self.max_file_bytes + 1)
        if len(content) > self.max_file_bytes:
            self.skipped["too_large"] += 1
            return None
        return content


def relative_parts(path: str) -> tuple[str, ...]:
    """The parts of a path beneath a share; raises PathRefused for one that could leave it."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\0" in path:
        raise PathRefused(f"expected a path inside the share, without '..', found {path!r}")
    return pure.parts


def decode(content: bytes) -> str | None:
    """The text, or None for what is no text; UTF-16 is told by its byte order mark."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace")
    if b"\0" in content[:_BINARY_PROBE_BYTES]:
        return None
    return content.decode("utf-8-sig", "replace")


@contextmanager
def _opened(root: Path, parts: tuple[str, ...], flags: int) -> Iterator[int]:
    descriptor = os.open(root, _FOLDER)
    try:
        for index, part in enumerate(parts):
            last = index == len(parts) - 1
            deeper = os.open(part, flags if last else _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = deeper
        yield descriptor
    finally:
        os.close(descriptor)
