"""What the hostile plugin can do where it has a network; each answers with what came of it."""

import contextlib
import errno
import socket
from typing import Any

from attacks import at_once, tried

_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def dial_out(targets: list[list[Any]], seconds: float = 1.5) -> list[str]:
    """`[kind, host, port]` each, all at once: the bytes that came back, or the kernel's word.

    A connection by itself proves nothing: something on the way may accept every one.
    """
    found = ["" for _ in targets]

    def one(at: int, kind: str, host: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            with socket.socket(family, _KINDS[kind]) as sock:
                sock.settimeout(seconds)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                sock.connect(socket.getaddrinfo(host, port, family)[0][4])
                sock.send(b"echo this")
                found[at] = sock.recv(100).decode("latin-1")
        except OSError as error:
            found[at] = "!" + errno.errorcode.get(error.errno or 0, str(error))

    for begin in range(0, len(targets), 16):
        part = list(enumerate(targets))[begin : begin + 16]
        at_once([lambda at=at, target=target: one(at, *target) for at, target in part])
    return found


def listen(port: int, seconds: float) -> list[str]:
    """On TCP and UDP at every address of its own; who came."""
    heard: list[str] = []

    def one(kind: int) -> None:
        with socket.socket(socket.AF_INET, kind) as sock:
            sock.bind(("0.0.0.0", port))  # noqa: S104 - to be found
            sock.settimeout(seconds)
            with contextlib.suppress(OSError):
                if kind == socket.SOCK_STREAM:
                    sock.listen()
                    heard.append(str(sock.accept()[1]))
                else:
                    heard.append(str(sock.recvfrom(100)[1]))

    at_once([lambda kind=kind: one(kind) for kind in _KINDS.values()])
    return heard


def pretend(addresses: list[str]) -> dict[str, str]:
    """Take another's address for its own."""

    def one(address: str) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((address, 0))

    return {address: tried(lambda address=address: one(address)) for address in addresses}
