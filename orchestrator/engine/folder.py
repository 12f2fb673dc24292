"""What of a plugin's folder gets into its image: listed, checked, hashed, opened.

The folder is hostile: it may come from a stranger's repository, and it is read by a daemon that may
be root. So nothing in it is followed, and what is listed is what is hashed and what is built.
"""

import hashlib
import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import Kind, OrchestratorError

MAX_BYTES = 256 << 20
MAX_ENTRIES = 20_000


class InvalidFolder(OrchestratorError):
    """A plugin's folder holds something that must not get into an image."""

    kind, code = Kind.INVALID, "invalid_plugin_folder"


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderFile:
    """One plain file; `path` is relative, with slashes."""

    path: str
    executable: bool
    size_bytes: int


def check_folder(folder: Path) -> None:
    """Raises InvalidFolder, naming what does not belong there."""
    list_folder(folder)


def folder_digest(folder: Path) -> str:
    """A sha256 that changes with every path, executable bit and byte that the image would hold."""
    digest = hashlib.sha256()
    for file in list_folder(folder):
        path = os.fsencode(file.path)
        digest.update(b"%d:%s:%d:" % (len(path), path, file.executable))
        digest.update(file_digest(folder / file.path))
    return digest.hexdigest()


def file_digest(path: Path) -> bytes:
    """The sha256 of a plain file's content."""
    with open_plain(path) as file:
        return hashlib.file_digest(file, "sha256").digest()


def list_folder(folder: Path) -> tuple[FolderFile, ...]:
    """The files that get into the image, by path. Raises InvalidFolder."""
    _must_be_folder(folder)
    files: list[FolderFile] = []
    entries = total = 0
    for path, status in _walk(folder):
        entries += 1
        if entries > MAX_ENTRIES:
            raise InvalidFolder(
                f"{folder}: more than {MAX_ENTRIES:,} files and folders;"
                " a plugin's folder is expected to be small"
            )
        if stat.S_ISDIR(status.st_mode):
            continue
        total += status.st_size
        _must_fit(folder, path, total)
        files.append(
            FolderFile(
                path=path,
                executable=bool(status.st_mode & stat.S_IXUSR),
                size_bytes=status.st_size,
            )
        )
    return tuple(sorted(files, key=lambda file: os.fsencode(file.path)))


def open_plain(path: Path) -> io.BufferedReader:
    """Opens a plain file and nothing else: no link is followed, no pipe or device waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise InvalidFolder(f"{path}: {error.strerror}; a plain file is expected") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise InvalidFolder(f"{path}: {_what(status)}; a plain file is expected")
    return open(descriptor, "rb")  # noqa: PTH123 - a descriptor, not a path


def _must_be_folder(folder: Path) -> None:
    try:
        status = folder.lstat()
    except OSError as error:
        raise InvalidFolder(f"{folder}: {error.strerror}; a plugin's folder is expected") from error
    if not stat.S_ISDIR(status.st_mode):
        raise InvalidFolder(f"{folder}: {_what(status)}; a plugin's folder is expected")


def _must_fit(folder: Path, path: str, total: int) -> None:
    if total > MAX_BYTES:
        raise InvalidFolder(
            f"{folder}: more than {MAX_BYTES >> 20} MiB (counting stopped at {path})"
        )


def _walk(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        with os.scandir(folder / prefix) as entries:
            for entry in entries:
                path = f"{prefix}{entry.name}"
                status = entry.stat(follow_symlinks=False)
                if _ignored(path, entry.name):
                    continue
                if stat.S_ISDIR(status.st_mode):
                    waiting.append(f"{path}/")
                elif not stat.S_ISREG(status.st_mode):
                    raise InvalidFolder(
                        f"{folder / path}: {_what(status)}; only plain files and folders are"
                        " expected in a plugin's folder"
                    )
                yield path, status


def _ignored(path: str, name: str) -> bool:
    # Bytecode is made anew in the image: a stranger's could do what its source does not say.
    return name.startswith(".") or name == "__pycache__" or name.endswith(".pyc") or path == "tests"


def _what(status: os.stat_result) -> str:
    kinds = {
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFBLK: "a block device",
        stat.S_IFCHR: "a character device",
        stat.S_IFDIR: "a folder",
        stat.S_IFREG: "a plain file",
    }
    return kinds.get(stat.S_IFMT(status.st_mode), "no plain file")
