"""What may be changed on a container after it was made, out of Docker's JSON; pure."""

from collections.abc import Mapping
from typing import Any

from orchestrator.model.container import Adjustable

_NO_NETWORK = "none"
"""Docker's own name for a network that leads nowhere."""


def decode_adjustable(inspect: Mapping[str, Any]) -> Adjustable:
    """Docker leaves out what it does not know, and shows null, 0 or -1 for what is not limited."""
    host: Mapping[str, Any] = inspect["HostConfig"]
    networks = (inspect.get("NetworkSettings") or {}).get("Networks") or {}
    return Adjustable(
        memory_bytes=_limit(host, "Memory"),
        memory_swap_bytes=_limit(host, "MemorySwap"),
        pids_limit=_limit(host, "PidsLimit"),
        memory_reservation_bytes=_limit(host, "MemoryReservation"),
        cpu_shares=_limit(host, "CpuShares"),
        cpuset_cpus=host.get("CpusetCpus") or "",
        cpuset_mems=host.get("CpusetMems") or "",
        blkio_weight=_limit(host, "BlkioWeight"),
        restart_policy=(host.get("RestartPolicy") or {}).get("Name") or "no",
        networks=tuple(sorted(name for name in networks if name != _NO_NETWORK)),
        exec_sessions=len(inspect.get("ExecIDs") or ()),
    )


def _limit(host: Mapping[str, Any], name: str) -> int:
    return max(0, int(host.get(name) or 0))
