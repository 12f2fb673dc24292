"""The tar of a build's context, the same bytes for the same files.

Owners, dates and odd modes of the host's files do not get into an image.
"""

import os
import stat
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from orchestrator.engine.folder import InvalidFolder, open_plain

_DATE = 315_619_200  # 1980-01-02: the oldest that zip files, and so wheels, can say everywhere


def write_context(context: Mapping[str, Path], out: IO[bytes]) -> None:
    """Path in the context → file or folder, as a tar. Raises InvalidFolder for links and devices.

    Folders are taken whole: leaving files out is for the caller, who names them one by one.
    """
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        made: set[str] = set()
        for name in sorted(context):
            _parents(tar, name, made)
            source = context[name]
            if source.is_dir() and not source.is_symlink():
                _folder(tar, name, source)
            else:
                _file(tar, name, source)


def _parents(tar: tarfile.TarFile, name: str, made: set[str]) -> None:
    parts = name.split("/")[:-1]
    for depth in range(1, len(parts) + 1):
        parent = "/".join(parts[:depth])
        if parent not in made:
            made.add(parent)
            _entry(tar, parent)


def _folder(tar: tarfile.TarFile, name: str, folder: Path) -> None:
    _entry(tar, name)
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = folder / entry.name
            if entry.is_dir(follow_symlinks=False):
                _folder(tar, f"{name}/{entry.name}", path)
            else:
                _file(tar, f"{name}/{entry.name}", path)


def _entry(tar: tarfile.TarFile, name: str) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime = tarfile.DIRTYPE, 0o755, _DATE
    tar.addfile(info)


def _file(tar: tarfile.TarFile, name: str, path: Path) -> None:
    with open_plain(path) as file:
        status = os.fstat(file.fileno())
        info = tarfile.TarInfo(name)
        info.mode = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
        info.mtime, info.size = _DATE, status.st_size
        try:
            tar.addfile(info, file)
        except OSError as error:  # shorter than its size: somebody writes to it right now
            raise InvalidFolder(f"{path}: changed while it was read") from error
