"""What systemd tells the daemon and hears from it: sockets handed over, and notifications.

Both protocols are a few environment variables and datagrams (sd_listen_fds(3), sd_notify(3)), so
no library is needed for them.
"""

import asyncio
import os
import socket
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.daemon.settings import InvalidSetting

FIRST_DESCRIPTOR: Final = 3
_VARIABLES: Final = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_USEC")
_MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervisor:
    """Nobody, unless the variables say otherwise."""

    name: str = ""
    """`systemd`, or empty: then the daemon is its own master."""
    notify_address: str = ""
    watchdog_seconds: float | None = None
    """An answer is due this often, else the daemon is taken for stuck and restarted."""
    descriptors: tuple[int, ...] = ()
    """Listening sockets that were handed over; whoever did so keeps them open."""

    def notify(self, *lines: str) -> None:
        """`READY=1` and its like. Nobody hears it where nobody supervises."""
        if not self.notify_address:
            return
        address = self.notify_address
        if address.startswith("@"):
            address = "\0" + address[1:]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            try:
                sock.sendto("\n".join(lines).encode(), address)
            except OSError:
                return  # a supervisor that went away is no reason to end

    async def keep_watch(self) -> None:
        """Tell that the event loop turns, for as long as it does; until cancelled."""
        if self.watchdog_seconds is None:
            await asyncio.Event().wait()
            return
        while True:
            self.notify("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_seconds / 2)


def supervisor_from(environment: MutableMapping[str, str], *, pid: int) -> Supervisor:
    """Who supervises process `pid`; its variables are taken away, as they are not for children.

    Raises InvalidSetting.
    """
    given = {name: environment.pop(name, "") for name in _VARIABLES}
    mine = given["LISTEN_PID"] == str(pid)
    count = _whole(given, "LISTEN_FDS") if mine else 0
    address = given["NOTIFY_SOCKET"]
    usec = _whole(given, "WATCHDOG_USEC")
    return Supervisor(
        name="systemd" if count or address else "",
        notify_address=address,
        watchdog_seconds=usec / _MICROSECONDS if usec else None,
        descriptors=tuple(range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + count)),
    )


def handed_socket(descriptors: tuple[int, ...], path: Path) -> socket.socket | None:
    """The listening socket at `path` among those handed over; None if none was.

    Raises InvalidSetting where there are some and the one is not among them.
    """
    if not descriptors:
        return None
    found = []
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - the os module's own
        sock = socket.socket(fileno=descriptor)
        if _listens_at(sock, path):
            sock.setblocking(False)  # noqa: FBT003 - the socket API's own
            return sock
        found.append(str(sock.getsockname()))
        sock.detach()
    raise InvalidSetting(
        f"LISTEN_FDS: found sockets at {', '.join(found)}, expected a listening one at {path} "
        "(ListenStream= of the .socket unit)"
    )


def _listens_at(sock: socket.socket, path: Path) -> bool:
    if sock.family is not socket.AF_UNIX or sock.type is not socket.SOCK_STREAM:
        return False
    listening = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    return bool(listening) and os.path.realpath(sock.getsockname()) == os.path.realpath(path)


def _whole(given: Mapping[str, str], name: str) -> int:
    text = given[name]
    if text and not text.isdecimal():
        raise InvalidSetting(f"{name}: found {text!r}, expected a whole number")
    return int(text or 0)
