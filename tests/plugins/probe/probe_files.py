"""What the probe tries with files."""

import fcntl
import mmap
import os
import stat
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from probe_kernel import attempt

_MOST_BYTES = 65_536
_OPTIONS = {
    "ro": os.ST_RDONLY,
    "nosuid": os.ST_NOSUID,
    "nodev": os.ST_NODEV,
    "noexec": os.ST_NOEXEC,
}

_FS_IOC_FSGETXATTR, _FS_IOC_FSSETXATTR = 0x801C581F, 0x401C5820
_FS_IOC_SETFLAGS = 0x40086602
_ATTRIBUTES = struct.Struct("5I8x")
_PROJECT = 3  # among the attributes


def read(path: str) -> dict[str, Any]:
    def act() -> str:
        with Path(path).open("rb") as file:
            return file.read(_MOST_BYTES).decode("latin-1")

    return attempt(act)


def listing(path: str) -> dict[str, Any]:
    return attempt(lambda: sorted(entry.name for entry in Path(path).iterdir()))


def write(path: str, text: str) -> dict[str, Any]:
    def act() -> None:
        # One opening for what exists and what does not: no truncation, so that /proc takes it too.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)

    return attempt(act)


def remove(path: str) -> dict[str, Any]:
    return attempt(Path(path).unlink)


def mknod(path: str, major: int, minor: int) -> dict[str, Any]:
    return attempt(lambda: os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(major, minor)))


def run(path: str) -> dict[str, Any]:
    def act() -> str:
        done = subprocess.run([path], capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    return attempt(act)


def map_program(path: str) -> dict[str, Any]:
    """As the loader does with a library; nothing is executed."""

    def act() -> None:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            mmap.mmap(descriptor, 4_096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC).close()
        finally:
            os.close(descriptor)

    return attempt(act)


def plant(path: str) -> dict[str, Any]:
    written = write(path, "#!/bin/sh\necho planted\n")
    if written["error"]:
        return written
    Path(path).chmod(0o755)
    answer = run(path)
    Path(path).unlink()
    return answer


def file_system(path: str) -> dict[str, Any]:
    def act() -> dict[str, Any]:
        found = os.statvfs(path)
        return {
            "options": [name for name, flag in _OPTIONS.items() if found.f_flag & flag],
            "bytes": found.f_blocks * found.f_frsize,
            "inodes": found.f_files,
        }

    return attempt(act)


def sockets() -> dict[str, Any]:
    return {"paths": [path for path, status in _walk("/") if stat.S_ISSOCK(status.st_mode)]}


def writable(path: str) -> dict[str, Any]:
    """What access(2) lets through, links and the process's own entries left out."""
    return {
        "paths": sorted(
            found
            for found, status in _walk(path)
            if not stat.S_ISLNK(status.st_mode) and os.access(found, os.W_OK)
        )
    }


def _walk(top: str) -> Iterator[tuple[str, os.stat_result]]:
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        try:
            names = os.listdir(folder)  # noqa: PTH208 - tens of thousands of them
        except OSError:
            names = []
        for name in names:
            path = os.path.join(folder, name)  # noqa: PTH118 - as above
            if folder == "/proc" and (name.isdecimal() or name in {"self", "thread-self"}):
                continue
            try:
                status = os.lstat(path)
            except OSError:
                continue
            yield path, status
            if stat.S_ISDIR(status.st_mode):
                waiting.append(path)


def leave_project(path: str, project: int) -> dict[str, Any]:
    """Have a file counted for another project, 0 being none.

    `flags` is the other request, which takes from a folder that its files inherit the project.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        before = fcntl.ioctl(descriptor, _FS_IOC_FSGETXATTR, bytes(_ATTRIBUTES.size))
        wanted = list(_ATTRIBUTES.unpack(before))
        wanted[_PROJECT] = project
        packed = _ATTRIBUTES.pack(*wanted)
        moved = attempt(lambda: fcntl.ioctl(descriptor, _FS_IOC_FSSETXATTR, packed))
        flags = attempt(lambda: fcntl.ioctl(descriptor, _FS_IOC_SETFLAGS, bytes(8)))
        return {"error": moved["error"], "flags": flags["error"]}
    finally:
        os.close(descriptor)
