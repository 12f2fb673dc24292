"""Entrance: the daemon's one socket, so kept that no caller finds it shut while daemons change.

Three ways: systemd made the socket and holds it over our restarts; a daemon runs and is to be
followed (the new socket is moved over the old one, and callers wait in its queue until the old
daemon has ended); or nobody is there.
"""

import contextlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.daemon.systemd import handed_socket
from orchestrator.sandbox.listener import bind_unix

BACKLOG: Final = 4_096
"""Callers that may wait while daemons change; the kernel caps it (net.core.somaxconn)."""
_ASK_SECONDS: Final = 5.0
_SHUTDOWN: Final = (
    b"POST /v1/shutdown HTTP/1.1\r\nHost: orchestrator\r\nContent-Length: 2\r\n\r\n{}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """Listening already; who serves it closes `sock`."""

    sock: socket.socket
    path: Path
    kept: bool
    """Somebody else holds the socket too, and it goes on listening without us."""
    inode: tuple[int, int]

    @classmethod
    def open(cls, path: Path, *, descriptors: tuple[int, ...] = ()) -> "Entrance":
        """Listen at `path`, on a socket handed over or on one of our own. Raises InvalidSetting.

        Ours takes the place of what is there in one step: there is no moment without a socket.
        """
        sock = handed_socket(descriptors, path)
        kept = sock is not None
        if sock is None:
            coming = path.with_name(f"{path.name}.coming")
            sock = bind_unix(coming, mode=0o600)
            sock.listen(BACKLOG)
            coming.rename(path)
        return cls(sock=sock, path=path, kept=kept, inode=_inode(path))

    def withdraw(self) -> None:
        """Nobody new finds us, unless the socket is kept, or is another daemon's by now."""
        if not self.kept and self.is_ours():
            self.path.unlink(missing_ok=True)

    def is_ours(self) -> bool:
        """Whether who connects now comes to us."""
        return _inode(self.path) == self.inode


def followed(path: Path, *, descriptors: tuple[int, ...] = ()) -> Entrance:
    """Take the place of the daemon that listens at `path`, and tell it to end.

    It is told over a connection that was made before it lost its place. From then on its lock is
    to be waited for.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as old:
        old.settimeout(_ASK_SECONDS)
        there = _connects(old, path)
        entrance = Entrance.open(path, descriptors=descriptors)
        if there:
            # One that is slow, or ends by itself just now: its lock tells when it is gone.
            with contextlib.suppress(OSError):
                old.sendall(_SHUTDOWN)
                old.recv(1)  # it has heard: the answer begins
    return entrance


def listens(path: Path) -> bool:
    """Whether a daemon is to be met at `path`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(_ASK_SECONDS)
        return _connects(sock, path)


def _connects(sock: socket.socket, path: Path) -> bool:
    try:
        # Through the folder's descriptor: unix socket addresses end at 107 bytes.
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sock.connect(f"/proc/self/fd/{folder}/{path.name}")
        finally:
            os.close(folder)
    except OSError:
        return False
    return True


def _inode(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return (found.st_dev, found.st_ino)
