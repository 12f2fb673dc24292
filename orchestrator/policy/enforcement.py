"""What holds each rule: the kernel's mechanism, or the broker that sees every byte. Pure.

Three tables (permissions, limits, baseline), complete by test; explanation.py lays them beside a
plugin's grant.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from orchestrator.model.permissions import PermissionKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Enforcement:
    """One rule."""

    does: str
    held_by: str
    settings: tuple[str, ...] = ()
    """Fields of ContainerSpec that it is written in."""


PERMISSIONS: Mapping[PermissionKind, Enforcement] = MappingProxyType(
    {
        PermissionKind.FILE_SYSTEM_READ: Enforcement(
            does="mounts the operator's named folders under /mnt, read-only",
            held_by="kernel: read-only mount without what is mounted below it, where nothing can "
            "be executed; the path is the policy's, its links are resolved before the start",
            settings=("share_mounts",),
        ),
        PermissionKind.FILE_SYSTEM_WRITE: Enforcement(
            does="mounts a volume of the plugin's own at /data, and named folders writable where "
            "policy says so",
            held_by="kernel: mounts; nothing else is writable but /tmp",
            settings=("share_mounts", "volume_mounts"),
        ),
        PermissionKind.NETWORK_ACCESS: Enforcement(
            does="joins a network of the plugin's own, in which it can only call out",
            held_by="kernel: packet filter (nftables) in a network namespace whose rules the "
            "plugin cannot change, in force before it starts; the host, other plugins, private "
            "and metadata addresses are dropped unless named",
            settings=("network_mode",),
        ),
        PermissionKind.DATABASE_ACCESS: Enforcement(
            does="adds one socket for each named database; still no network",
            held_by="database broker: a relay to the address that policy names, and to no other",
        ),
        PermissionKind.SYSTEM_INFO: Enforcement(
            does="shows files of the host's /proc, /sys and its os-release under /host, read-only",
            held_by="kernel: read-only bind mounts of single files about the whole machine; no "
            "process of the host is among them",
            settings=("bind_mounts", "masked_paths"),
        ),
        PermissionKind.PLUGIN_COMMUNICATION: Enforcement(
            does="adds host.sock, to publish declared events and call named plugins",
            held_by="host broker: knows the caller by its socket; refuses other events, other "
            "plugins, calls of itself and calls too deep",
        ),
        PermissionKind.EXTERNAL_API: Enforcement(
            does="adds egress.sock, a proxy to the named hosts; still no network",
            held_by="egress broker: resolves the name, checks the address, then connects to that "
            "address; private and metadata addresses are refused",
        ),
        PermissionKind.USER_INTERFACE: Enforcement(
            does="serves the plugin's pages behind the orchestrator's own authentication",
            held_by="API server and browser: pages are sandboxed, so that they cannot act as the "
            "operator",
        ),
    }
)

LIMITS: Mapping[str, Enforcement] = MappingProxyType(
    {
        "max_memory_mb": Enforcement(
            does="MiB of memory, swap and tmpfs included; what wants more is killed",
            held_by="kernel: memory cgroup",
            settings=("memory_bytes",),
        ),
        "max_cpu_percent": Enforcement(
            does="percent of one core; what wants more waits",
            held_by="kernel: CPU cgroup quota",
            settings=("cpu_percent",),
        ),
        "max_disk_mb": Enforcement(
            does="MiB of /data; a write beyond fails with 'no space left'",
            held_by="the volume's own size",
            settings=("volume_mounts",),
        ),
        "max_network_mb": Enforcement(
            does="MiB in both directions within the policy's window; then nothing passes",
            held_by="brokers, which count each byte; kernel: nftables quota on a network, in "
            "whole packets",
        ),
        "max_execution_time_sec": Enforcement(
            does="seconds for one call; then it is given up, and a stuck plugin is replaced",
            held_by="orchestrator: deadline of the call, then a kill",
        ),
        "max_concurrent_requests": Enforcement(
            does="calls at the same time; more wait in a bounded queue, then are refused",
            held_by="orchestrator: the number of connections it accepts from the plugin",
        ),
    }
)

BASELINE: Mapping[str, Enforcement] = MappingProxyType(
    {
        "no_network": Enforcement(
            does="has no network interface but loopback",
            held_by="kernel: network namespace",
            settings=("network_mode",),
        ),
        "read_only_root": Enforcement(
            does="cannot change its own program",
            held_by="kernel: read-only root file system",
            settings=("read_only_root",),
        ),
        "no_capabilities": Enforcement(
            does="has no capability of root",
            held_by="kernel: empty capability sets",
            settings=("capabilities",),
        ),
        "no_new_privileges": Enforcement(
            does="gains nothing from setuid programs",
            held_by="kernel: no_new_privs",
            settings=("no_new_privileges",),
        ),
        "unprivileged_user": Enforcement(
            does="runs as a user that owns nothing on the host",
            held_by="kernel: uid and gid 65532",
            settings=("user",),
        ),
        "kernel": Enforcement(
            does="reaches the host's kernel only through the runtime that manifest and policy name",
            held_by="engine: runc, the host's kernel behind the rules below; gVisor would stand "
            "between (runtime: runsc)",
            settings=("runtime",),
        ),
        "system_calls": Enforcement(
            does="calls only what a plugin needs of the kernel",
            held_by="kernel: seccomp allow-list",
            settings=("seccomp_profile",),
        ),
        "host_hidden": Enforcement(
            does="does not see what /proc and /sys tell of the host",
            held_by="kernel: masked and read-only paths",
            settings=("masked_paths", "readonly_paths"),
        ),
        "processes": Enforcement(
            does="has a bounded number of processes; ended ones are reaped",
            held_by="kernel: pids cgroup, and an init process",
            settings=("pids_limit", "init"),
        ),
        "open_files": Enforcement(
            does="has a bounded number of open files",
            held_by="kernel: RLIMIT_NOFILE",
            settings=("open_files",),
        ),
        "temporary_files": Enforcement(
            does="writes to a small /tmp in memory, where nothing can be executed",
            held_by="kernel: tmpfs with a size and a number of files, counted as its memory",
            settings=("tmpfs", "shm_bytes"),
        ),
        "log": Enforcement(
            does="writes a bounded log",
            held_by="engine: log rotation",
            settings=("log_bytes",),
        ),
        "killed_first": Enforcement(
            does="is killed before the host's own services when memory runs out",
            held_by="kernel: oom_score_adj",
            settings=("oom_score_adj",),
        ),
        "stops_when_told": Enforcement(
            does="is killed when it does not stop within its grace period",
            held_by="engine: SIGKILL",
            settings=("stop_grace_seconds",),
        ),
    }
)

ON_GVISOR: Mapping[str, str] = MappingProxyType(
    {
        "kernel": "engine: runsc (gVisor), a kernel of its own in user space",
        "no_network": "gVisor: a network stack of its own with loopback only",
        "system_calls": "gVisor, and the same allow-list within it where the runtime is "
        "registered with --oci-seccomp",
        "host_hidden": "gVisor: /proc and /sys are its own and tell of no host",
        "processes": "kernel: pids cgroup of the whole sandbox; what goes beyond it ends the "
        "plugin, and it is started again",
        "temporary_files": "gVisor: tmpfs with a size; the number of files is held by memory alone",
    }
)
"""Rules that something else holds there, or that hold less."""
