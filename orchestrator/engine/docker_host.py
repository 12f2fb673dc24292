"""What only the host's /proc tells about a local Docker engine."""

import contextlib
import socket
import struct
from pathlib import Path

_CAP_SYS_RESOURCE = 24
_PEER = struct.Struct("3i")  # struct ucred: pid, uid, gid


def open_files_limit(address: str) -> int | None:
    """The hard limit on open files that no container of this engine can exceed.

    None: the engine may raise it (it has CAP_SYS_RESOURCE, as usual), or cannot be seen from here.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        process = Path("/proc", str(_peer(address)))
        status = (process / "status").read_text()
        if _field(status, "CapEff:")[0] and not _has(status, _CAP_SYS_RESOURCE):
            return int(_field((process / "limits").read_text(), "Max open files")[1])
    return None


def sees_mount(address: str, place: Path) -> bool:
    """Whether a mount of this process is one of the engine's, too: namespaces may part them."""
    with contextlib.suppress(OSError):
        table = Path("/proc", str(_peer(address)), "mountinfo").read_text(encoding="utf-8")
        return any(line.split()[4] == str(place) for line in table.splitlines())
    return False


def _peer(address: str) -> int:
    """The process that listens on the socket: Docker, or systemd for it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        probe.connect(address.removeprefix("unix://"))
        raw = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    pid: int = _PEER.unpack(raw)[0]
    return pid


def _has(status: str, capability: int) -> bool:
    return bool(int(_field(status, "CapEff:")[0], 16) >> capability & 1)


def _field(text: str, name: str) -> list[str]:
    line = next((line for line in text.splitlines() if line.startswith(name)), "")
    return line.removeprefix(name).split()
