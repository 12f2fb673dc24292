"""system_info in compile_spec: exactly which files of the host are mounted, and which masks go."""

from typing import Any

from orchestrator.model.permissions import SystemInfo
from tests.unit.policy.test_compile import compiled, mounts

HOST_FILES = {
    "/host/os-release": "/etc/os-release",
    "/host/proc/cpuinfo": "/proc/cpuinfo",
    "/host/proc/diskstats": "/proc/diskstats",
    "/host/proc/loadavg": "/proc/loadavg",
    "/host/proc/meminfo": "/proc/meminfo",
    "/host/proc/net/dev": "/proc/1/net/dev",
    "/host/proc/stat": "/proc/stat",
    "/host/proc/uptime": "/proc/uptime",
    "/host/proc/version": "/proc/version",
    "/host/proc/vmstat": "/proc/vmstat",
    "/host/sys/devices/system/cpu": "/sys/devices/system/cpu",
}
"""Single files: the host's whole /proc would be every process's environment and files."""


def test_system_info_mounts_these_files_of_the_host_read_only_and_no_other(make: Any) -> None:
    spec = compiled(make, SystemInfo()).spec

    assert mounts(spec) == {
        **{target: (source, False) for target, source in HOST_FILES.items()},
        "/run/orchestrator": (spec.bind_mounts[-1].source, False),
    }


def test_system_info_lifts_the_masks_of_the_same_files_and_of_no_other(make: Any) -> None:
    bare, found = compiled(make).spec, compiled(make, SystemInfo()).spec
    names = ("cpuinfo", "diskstats", "loadavg", "meminfo", "stat", "uptime", "version", "vmstat")

    assert set(bare.masked_paths) - set(found.masked_paths) == {f"/proc/{name}" for name in names}
    assert set(found.masked_paths) <= set(bare.masked_paths)
    assert found.readonly_paths == bare.readonly_paths
