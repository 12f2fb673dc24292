"""Names: a name server whose answers a test chooses, and a daemon that asks no other.

The daemon is started in a mount namespace of its own in which /etc/resolv.conf is another, so that
it looks names up as everywhere: with the system's own resolver.
"""

import random
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Final

_KINDS: Final = {1: 4, 28: 6}
"""A and AAAA, and the version of their addresses."""
_NO_SUCH_NAME: Final = 3
SILENT: Final = ["silent"]
"""In the place of addresses: no answer at all."""


class Resolver:
    """A network of its own on loopback: `address(53)` is the name server's."""

    def __init__(self) -> None:
        self.network = f"127.66.{random.randrange(256)}"  # noqa: S311 - to be alone, not secret
        self.answers: dict[str, list[list[str]]] = {}
        """Name → the addresses of each look-up in turn; the last stay."""
        self.asked: list[str] = []
        """Names, as often as their A record was asked for."""
        self._current: dict[str, list[str]] = {}
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind((self.address(53), 53))
        self._thread = threading.Thread(target=self._serve)

    def address(self, host: int) -> str:
        return f"{self.network}.{host}"

    def wrapper(self, folder: Path) -> list[str]:
        """What starts a program that asks this server."""
        path = folder / "resolv.conf"
        path.write_text(f"nameserver {self.address(53)}\noptions timeout:30 attempts:1\n")
        inside = f'mount --bind {path} /etc/resolv.conf && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", inside, "sh"]

    @contextmanager
    def running(self) -> Iterator["Resolver"]:
        self._thread.start()
        try:
            yield self
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.sendto(b"", (self.address(53), 53))
            self._thread.join()
            self._sock.close()

    def _serve(self) -> None:
        while True:
            question, asker = self._sock.recvfrom(4_096)
            if not question:
                return
            name, kind, end = _question(question)
            addresses = self._find(name, kind)
            if addresses != SILENT:
                self._sock.sendto(_answer(question, end, kind, addresses), asker)

    def _find(self, name: str, kind: int) -> list[str]:
        """The AAAA of a look-up goes with its A."""
        if kind == 1:
            self.asked.append(name)
            turns = self.answers.get(name, [[]])
            self._current[name] = turns.pop(0) if len(turns) > 1 else turns[0]
        if self._current.get(name) == SILENT:
            return SILENT
        wanted = _KINDS.get(kind)
        return [text for text in self._current.get(name, []) if ip_address(text).version == wanted]


def _question(message: bytes) -> tuple[str, int, int]:
    """(name, kind, where it ends)."""
    labels, at = [], 12
    while length := message[at]:
        labels.append(message[at + 1 : at + 1 + length].decode())
        at += 1 + length
    [kind] = struct.unpack("!H", message[at + 1 : at + 3])
    return ".".join(labels).lower(), kind, at + 5


def _answer(question: bytes, end: int, kind: int, addresses: list[str]) -> bytes:
    """Good for no time at all, as an attacker's would be."""
    head = question[:2] + struct.pack("!HHHHH", 0x8180, 1, len(addresses), 0, 0)
    rows = [ip_address(text).packed for text in addresses]
    records = [b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 0, len(row)) + row for row in rows]
    return head + question[12:end] + b"".join(records)
