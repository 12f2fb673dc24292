"""Reaching the daemon's socket, also in the moment in which one daemon follows another."""

import fcntl
import os
import socket
import time
from pathlib import Path
from typing import Final

COMING_SECONDS: Final = 15.0
"""How long a daemon that holds its lock and does not listen yet is waited for."""
_LOOK_SECONDS: Final = 0.02
LOCK_NAME: Final = "daemon.lock"
"""Beside the socket."""


def reach(path: Path, seconds: float | None) -> socket.socket:
    """A connection; waits for a daemon that is on its way. Raises OSError."""
    until = time.monotonic() + COMING_SECONDS
    while True:
        try:
            return connect(path, seconds)
        except (FileNotFoundError, ConnectionRefusedError):
            if time.monotonic() > until or not _is_held(path.with_name(LOCK_NAME)):
                raise
            time.sleep(_LOOK_SECONDS)


def connect(path: Path, seconds: float | None) -> socket.socket:
    """Through the folder's descriptor: unix socket addresses end at 107 bytes. Raises OSError."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(seconds)
            sock.connect(f"/proc/self/fd/{folder}/{path.name}")
        except BaseException:
            sock.close()
            raise
    finally:
        os.close(folder)
    return sock


def _is_held(lock_file: Path) -> bool:
    """Whether a daemon lives. It is asked for a shared lock, and only for a moment."""
    try:
        file = os.open(lock_file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(file)
    return False
