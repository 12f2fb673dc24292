"""What the probe does to others: links, signals, hiding, hogging, sockets full of bytes."""

import ctypes
import os
import resource
import signal
import socket
import time
from contextlib import suppress
from typing import Any

from probe_kernel import attempt, in_child, name_of

_PR_SET_NAME = 15
_PIECE = b"x" * 32_768
_GREEDY = 1 << 30
_libc = ctypes.CDLL(None, use_errno=True)


def link(source: str, target: str, *, hard: bool) -> dict[str, Any]:
    return attempt(lambda: os.link(source, target) if hard else os.symlink(source, target))  # noqa: PTH211


def rename(source: str, target: str) -> dict[str, Any]:
    return attempt(lambda: os.rename(source, target))  # noqa: PTH104 - the plain call


def read_link(path: str) -> dict[str, Any]:
    return attempt(lambda: os.readlink(path))  # noqa: PTH115 - the plain call


def send_signal(pid: int, number: int) -> dict[str, Any]:
    """From a child: -1 is everybody else."""
    return in_child(lambda: attempt(lambda: os.kill(pid, number)))


def hide(name: str) -> dict[str, Any]:
    """A grandchild in a session of its own, deaf to all it can be, under another's name."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        grandchild = os.fork()
        if grandchild:
            os.write(writable, str(grandchild).encode())
            os._exit(0)
        os.closerange(0, 1_024)
        for number in signal.valid_signals():
            with suppress(OSError, ValueError):
                signal.signal(number, signal.SIG_IGN)
        _libc.prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)
        while True:
            time.sleep(3_600)
    os.waitpid(child, 0)
    os.close(writable)
    with os.fdopen(readable, "rb") as pipe:
        return {"pid": int(pipe.read())}


def hog(processes: int, seconds: float) -> dict[str, Any]:
    """Busy loops side by side, as urgent as they may be; `cores` is what they got together."""
    until = time.monotonic() + seconds
    before, since = os.times(), time.monotonic()
    children = []
    for _ in range(processes):
        child = os.fork()
        if child == 0:
            with suppress(OSError):
                os.nice(-20)
            while time.monotonic() < until:
                pass
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    after = os.times()
    used = after.children_user + after.children_system
    used -= before.children_user + before.children_system
    return {"cores": used / (time.monotonic() - since)}


def raise_limit(name: str, value: int) -> dict[str, Any]:
    """Soft and hard limit of a resource, in a child."""
    number = {"core": resource.RLIMIT_CORE, "nofile": resource.RLIMIT_NOFILE}[name]

    def act() -> dict[str, Any]:
        try:
            resource.setrlimit(number, (value, value))
        except ValueError:  # Python's word for EPERM
            return {"error": "EPERM"}
        return {"error": ""}

    return in_child(act)


def urgency() -> dict[str, str]:
    """What comes of each way to be served before others."""
    real_time = attempt(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50)))
    nice = attempt(lambda: os.setpriority(os.PRIO_PROCESS, 0, -20))
    return {"real_time": real_time["error"], "nice": nice["error"]}


def flood_sockets(kind: str, pairs: int, *, fill: bool) -> dict[str, Any]:
    """Sockets that nobody reads from, filled to the brim; in a child, as it may be killed."""
    return {"sockets": 0, "mb": 0, **in_child(lambda: _flooded(kind, pairs, fill=fill))}


def _flooded(kind: str, pairs: int, *, fill: bool) -> dict[str, Any]:
    kept: list[socket.socket] = []
    queued, error = 0, ""
    try:
        for _ in range(pairs):
            sender, receiver = _pair(kind)
            kept += (sender, receiver)
            queued += _brim(sender, receiver, kind) if fill else 0
    except OSError as failure:
        error = name_of(failure.errno or 0)
    return {"error": error, "sockets": len(kept), "mb": queued >> 20}


def _pair(kind: str) -> tuple[socket.socket, socket.socket]:
    if kind == "unix":
        return socket.socketpair()
    if kind == "udp":
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.bind(("127.0.0.1", 0))
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.connect(receiver.getsockname())
        return sender, receiver
    with socket.create_server(("127.0.0.1", 0)) as server:
        sender = socket.create_connection(server.getsockname())
        return sender, server.accept()[0]


def _brim(sender: socket.socket, receiver: socket.socket, kind: str) -> int:
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _GREEDY)
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _GREEDY)
    sender.settimeout(0)
    queued = 0
    # A datagram that finds no room is dropped in silence: enough of them for any buffer.
    for _ in range(32 if kind == "udp" else 1_024):
        try:
            queued += sender.send(_PIECE)
        except BlockingIOError:
            break
    return queued
