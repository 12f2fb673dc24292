"""The hardened baseline: what every plugin container is, before any permission.

The lists follow the threat model in docs/security.md: /proc and /sys of a container are the
host's own, so whatever tells of the host (kernel, processor, disks, other tenants' load) is masked.
"""

MASKED_PATHS = (
    # Docker's own defaults, which an own list replaces.
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    # What leaks the host beside them.
    "/proc/buddyinfo",
    "/proc/cmdline",
    "/proc/config.gz",
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/interrupts",
    "/proc/loadavg",
    "/proc/locks",
    "/proc/meminfo",
    "/proc/modules",
    "/proc/net/arp",
    "/proc/partitions",
    "/proc/pressure",
    "/proc/softirqs",
    "/proc/stat",
    "/proc/swaps",
    "/proc/sys/kernel/random/boot_id",
    "/proc/uptime",
    "/proc/version",
    "/proc/vmstat",
    "/proc/zoneinfo",
    # Message queues are counted by user, and all plugins have one.
    "/dev/mqueue",
    # /sys/block, bus, class and dev are links into /sys/devices, where the disks themselves are:
    # among them the loop disks, with the host's paths to the data of every other plugin.
    "/sys/block",
    "/sys/bus",
    "/sys/class",
    "/sys/dev",
    "/sys/devices",
    "/sys/devices/virtual/dmi",
    "/sys/fs",
    "/sys/kernel",
    "/sys/module",
    "/sys/power",
)

READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

SOCKETS_TARGET = "/run/orchestrator"
DATA_TARGET = "/data"
SHARES_TARGET = "/mnt"
SECRETS_TARGET = "/run/secrets"

TMP_INODES_PER_MB = 256
"""Enough for files of 4 KiB; without a bound, empty files would eat kernel memory."""

FORBIDDEN_SHARES = ("/", "/home", "/root", "/usr", "/var")
"""Folders that are never shared, nor anything that holds one of them."""

FORBIDDEN_TREES = (
    "/boot",
    "/dev",
    "/etc",
    "/proc",
    "/run",
    "/sys",
    "/var/lib/docker",
    "/var/run",
)
"""Nothing inside these is shared either: sockets, devices, secrets, the engine's own files."""

FORBIDDEN_NAMES = (".aws", ".docker", ".gnupg", ".kube", ".ssh")
"""Folders of these names hold people's keys, wherever they lie."""
