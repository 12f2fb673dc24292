"""What the probe takes when nobody stops it: memory, processes, disk, files, CPU time."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from probe_kernel import in_child, name_of

_PIECE = 1 << 16


def spawn(count: int) -> dict[str, Any]:
    """As many sleeping processes as it gets, up to `count`; all are ended again."""
    children: list[int] = []
    error = ""
    for _ in range(count):
        try:
            child = os.fork()
        except OSError as failure:
            error = name_of(failure.errno or 0)
            break
        if child == 0:
            signal.pause()
            os._exit(0)
        children.append(child)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return {"error": error, "count": len(children)}


def allocate(mb: int, *, in_child: bool) -> dict[str, Any]:
    """Memory that is really used: every page is written."""
    if in_child:
        return _allocate_in_child(mb)
    taken = [bytearray(b"x" * (1 << 20)) for _ in range(mb)]
    return {"error": "", "mb": len(taken)}


def _allocate_in_child(mb: int) -> dict[str, Any]:
    return in_child(lambda: allocate(mb, in_child=False))


def fill(path: str, mb: int, *, keep: bool) -> dict[str, Any]:
    """One file of `mb` MiB, or as much of it as fits."""
    piece = b"x" * _PIECE
    written, error = 0, ""
    try:
        with Path(path).open("wb", buffering=0) as file:
            while written < mb << 20:
                written += file.write(piece)
            os.fsync(file.fileno())
    except OSError as failure:
        error = name_of(failure.errno or 0)
    if not keep:
        with suppress(OSError):
            Path(path).unlink()
    return {"error": error, "bytes": written}


def inodes(path: str, count: int) -> dict[str, Any]:
    """As many empty files as it gets, up to `count`; all are removed again."""
    made: list[str] = []
    error = ""
    for number in range(count):
        name = f"{path}/empty-{number}"
        try:
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o600))
        except OSError as failure:
            error = name_of(failure.errno or 0)
            break
        made.append(name)
    for name in made:
        os.unlink(name)  # noqa: PTH108 - thousands of them
    return {"error": error, "count": len(made)}


def inodes_in_child(path: str, count: int) -> dict[str, Any]:
    """The same in a child, which may be killed for it; `clear` removes what it left."""
    return in_child(lambda: inodes(path, count))


def clear(path: str) -> dict[str, Any]:
    names = os.listdir(path)  # noqa: PTH208 - tens of thousands of them
    for name in names:
        os.unlink(f"{path}/{name}")  # noqa: PTH108 - as above
    return {"count": len(names)}


def open_files(count: int) -> dict[str, Any]:
    opened: list[int] = []
    error = ""
    try:
        for _ in range(count):
            opened.append(os.open("/dev/null", os.O_RDONLY))  # noqa: PERF401 - counts up to the error
    except OSError as failure:
        error = name_of(failure.errno or 0)
    for descriptor in opened:
        os.close(descriptor)
    return {"error": error, "count": len(opened)}


def spin(seconds: float) -> dict[str, Any]:
    """The share of one core that a busy loop got."""
    cpu, wall = time.thread_time(), time.monotonic()
    while time.monotonic() - wall < seconds:
        pass
    took = time.monotonic() - wall
    return {"share": (time.thread_time() - cpu) / took, "seconds": took}
