"""What the probe asks of the kernel: system calls, sockets, processes."""

import ctypes
import errno
import json
import os
import platform
import resource
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

_MACHINES = {"x86_64": 0, "aarch64": 1}
NUMBERS: dict[str, tuple[int | None, int | None]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "clone": (56, 220),
    "clone3": (435, 435),
    "fsopen": (430, 430),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "kcmp": (312, 272),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "memfd_secret": (447, 447),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "mq_open": (240, 180),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}
_libc = ctypes.CDLL(None, use_errno=True)


def attempt(act: Callable[[], Any]) -> dict[str, Any]:
    """What came of it: `error` is the kernel's word for a refusal."""
    try:
        return {"error": "", "result": act()}
    except OSError as error:
        return {"error": name_of(error.errno or 0), "result": None}


def name_of(number: int) -> str:
    """`EPERM` for 1; empty for 0."""
    return errno.errorcode.get(number, str(number)) if number else ""


def in_child(act: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """`act` in a process of its own: whatever it does to itself does not hurt the plugin."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writable, json.dumps(act()).encode())
        finally:
            os._exit(0)
    os.close(writable)
    with os.fdopen(readable, "rb") as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    if not text:
        return {"error": signal.Signals(os.WTERMSIG(status)).name, "result": None}
    answer: dict[str, Any] = json.loads(text)
    return answer


def syscall(name: str, arguments: list[int]) -> dict[str, Any]:
    """The call by its name; `ENOSYS` too if this machine's kernel has no such call."""
    number = NUMBERS[name][_MACHINES[platform.machine()]]
    return in_child(lambda: _call(number if number is not None else -1, arguments))


def _call(number: int, arguments: list[int]) -> dict[str, Any]:
    caller = os.getpid()
    ctypes.set_errno(0)
    result = _libc.syscall(ctypes.c_long(number), *(ctypes.c_long(each) for each in arguments))
    if os.getpid() != caller:  # a clone that came up
        os._exit(0)
    return {"error": name_of(ctypes.get_errno()) if result == -1 else "", "result": result}


def mount(kind: str, target: str) -> dict[str, Any]:
    return in_child(
        lambda: _result_of(_libc.mount(b"none", target.encode(), kind.encode(), 0, None))
    )


def _result_of(result: int) -> dict[str, Any]:
    return {"error": name_of(ctypes.get_errno()) if result else "", "result": result}


def open_socket(family: int, kind: int, protocol: int) -> dict[str, Any]:
    return attempt(lambda: socket.socket(family, kind, protocol).close())


def connect(host: str, port: int) -> dict[str, Any]:
    """`result` are the bytes that came back: something on the way may accept any connection."""

    def act() -> str:
        with socket.create_connection((host, port), timeout=1.0) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return connection.recv(100).decode("latin-1")

    return attempt(act)


def connect_unix(path: str, send: str) -> dict[str, Any]:
    """`result` is what was answered to the bytes that were sent, if any were."""

    def act() -> str:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(path)
            connection.sendall(send.encode())
            return connection.recv(1_000).decode("latin-1") if send else ""

    return attempt(act)


def interfaces() -> dict[str, Any]:
    routes = Path("/proc/net/route").read_text(encoding="ascii").splitlines()[1:]
    return {"names": [name for _, name in socket.if_nameindex()], "routes": routes}


def status(process: str) -> dict[str, str]:
    """/proc/<process>/status."""
    lines = Path("/proc", process, "status").read_text(encoding="utf-8").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def namespaces() -> dict[str, str]:
    """Those that this kernel knows."""
    names = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
    links = {name: Path("/proc/self/ns", name) for name in names}
    return {name: str(link.readlink()) for name, link in links.items() if link.is_symlink()}


def limits() -> dict[str, Any]:
    return {
        "nofile": resource.getrlimit(resource.RLIMIT_NOFILE),
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "oom_score_adj": int(Path("/proc/self/oom_score_adj").read_text(encoding="ascii")),
    }


def processes() -> list[dict[str, Any]]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):  # it ended meanwhile
                each = status(entry.name)
                found.append(
                    {"pid": int(each["Pid"]), "name": each["Name"], "state": each["State"][0]}
                )
    return found


def orphan() -> dict[str, Any]:
    """A child ends at once, its own child a moment later: nobody but init can take that one."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        grandchild = os.fork()
        if grandchild == 0:
            time.sleep(0.1)
            os._exit(0)
        os.write(writable, str(grandchild).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writable)
    with os.fdopen(readable, "rb") as pipe:
        return {"pid": int(pipe.read())}


def crash() -> dict[str, Any]:
    child = os.fork()
    if child == 0:
        os.chdir("/tmp")  # where a dump could be written
        os.kill(os.getpid(), signal.SIGSEGV)
        os._exit(0)
    _, ended = os.waitpid(child, 0)
    return {"signal": os.WTERMSIG(ended), "dumped": os.WCOREDUMP(ended)}
