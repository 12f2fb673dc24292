"""What `system_info` shows of the host: single files and one folder, read-only, under /host.

Never the host's whole /proc: its numbered folders are every process's command line, environment
and, through `root` and `cwd`, files. Of /sys only the processors: elsewhere it names the files
behind other plugins' disks, and settings that root could write.
"""

from dataclasses import replace

from orchestrator.model.container import BindMount, ContainerSpec

HOST_TARGET = "/host"

HOST_PROC = ("cpuinfo", "diskstats", "loadavg", "meminfo", "stat", "uptime", "version", "vmstat")
"""Files of /proc that are about the whole machine; the plugin's own /proc shows them, too."""

HOST_CPUS = "/sys/devices/system/cpu"

HOST_VIEW = (
    *(BindMount(source=f"/proc/{name}", target=f"{HOST_TARGET}/proc/{name}") for name in HOST_PROC),
    # Network counters are of the reader's network: those of the engine's first process are the
    # host's, and one file below it leads to nothing else of that process.
    BindMount(source="/proc/1/net/dev", target=f"{HOST_TARGET}/proc/net/dev"),
    BindMount(source=HOST_CPUS, target=f"{HOST_TARGET}{HOST_CPUS}"),
    BindMount(source="/etc/os-release", target=f"{HOST_TARGET}/os-release"),
)

LIFTED_MASKS = frozenset(f"/proc/{name}" for name in HOST_PROC)


def with_host_view(spec: ContainerSpec) -> ContainerSpec:
    """The host's files mounted, and no mask over those that the plugin's own /proc has as well."""
    return replace(
        spec,
        bind_mounts=tuple(sorted({*spec.bind_mounts, *HOST_VIEW}, key=lambda mount: mount.target)),
        masked_paths=tuple(path for path in spec.masked_paths if path not in LIFTED_MASKS),
    )
