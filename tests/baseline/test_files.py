"""From inside: what the plugin can read, write and run; where it is held to sizes."""

import os

import pytest

from tests.baseline.conftest import MIB, Probe

pytestmark = pytest.mark.docker

HIDDEN_FILES = [
    "/proc/buddyinfo",
    "/proc/cmdline",
    "/proc/config.gz",
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/loadavg",
    "/proc/locks",
    "/proc/meminfo",
    "/proc/modules",
    "/proc/partitions",
    "/proc/sched_debug",
    "/proc/softirqs",
    "/proc/stat",
    "/proc/swaps",
    "/proc/sys/kernel/random/boot_id",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/uptime",
    "/proc/version",
    "/proc/vmstat",
    "/proc/zoneinfo",
]
HIDDEN_FOLDERS = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/pressure",
    "/proc/scsi",
    "/sys/block",
    "/sys/bus",
    "/sys/class",
    "/sys/dev",
    "/sys/devices",
    "/sys/firmware",
    "/sys/fs",
    "/sys/kernel",
    "/sys/module",
    "/sys/power",
]
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/sys"]


def test_its_root_is_read_only_even_where_the_image_lets_anybody_write(bare: Probe) -> None:
    found = {
        path: bare("write", path=f"{path}/x", text="x")["error"]
        for path in ("/anyone", "/", "/plugin", "/data", "/mnt", "/run", "/etc", "/usr/bin")
    }

    assert set(found.values()) == {"EROFS"}


def test_it_may_write_nowhere_but_in_memory_and_to_its_socket(bare: Probe) -> None:
    found = bare("writable", path="/")["paths"]
    plain = {path for path in found if not path.startswith(("/proc/", "/sys/"))}
    devices = {"full", "null", "pts/ptmx", "random", "tty", "urandom", "zero"}

    assert plain == {
        "/tmp",
        "/dev/shm",
        "/dev/mqueue",
        "/run/orchestrator/plugin.sock",
        *(f"/dev/{name}" for name in devices),
    }


@pytest.mark.parametrize("path", HIDDEN_FILES)
def test_a_file_that_tells_of_the_host_reads_empty_or_not_at_all(bare: Probe, path: str) -> None:
    found = bare("read", path=path)

    assert found["result"] == "" or found["error"] in {"ENOENT", "EACCES"}


@pytest.mark.parametrize("path", HIDDEN_FOLDERS)
def test_a_folder_that_tells_of_the_host_is_empty_or_not_there(bare: Probe, path: str) -> None:
    found = bare("list", path=path)

    assert found["result"] == [] or found["error"] == "ENOENT"


@pytest.mark.parametrize("root", ["/proc/1/root", "/proc/self/root", "/proc/thread-self/root"])
def test_the_masks_cannot_be_walked_around(bare: Probe, root: str) -> None:
    found = bare("read", path=f"{root}/proc/cmdline")

    assert found["result"] == "" or found["error"] == "EACCES"


def test_it_knows_no_neighbour_of_the_hosts(bare: Probe) -> None:
    found = bare("read", path="/proc/net/arp")["result"] or ""

    assert len(found.splitlines()) <= 1  # the heading


@pytest.mark.parametrize("path", READ_ONLY)
def test_the_kernels_settings_are_mounted_read_only(bare: Probe, path: str) -> None:
    found = bare("file_system", path=path)

    assert found["error"] == "ENOENT" or "ro" in found["result"]["options"]


@pytest.mark.parametrize(
    "path",
    [
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/modprobe",
        "/proc/sys/vm/panic_on_oom",
        "/proc/sysrq-trigger",
        "/sys/fs/cgroup/memory/release_agent",
        "/sys/fs/cgroup/release_agent",
        "/sys/fs/cgroup/cgroup.procs",
        "/sys/kernel/uevent_helper",
    ],
)
def test_it_can_change_no_setting_of_the_kernel(bare: Probe, path: str) -> None:
    found = bare("write", path=path, text="x")

    assert found["error"] in {"EACCES", "EROFS", "ENOENT", "EPERM"}


def test_its_socket_takes_connections_and_its_folder_no_files(bare: Probe) -> None:
    dialled = bare("connect_unix", path="/run/orchestrator/plugin.sock")
    planted = bare("write", path="/run/orchestrator/other.sock", text="x")
    removed = bare("remove", path="/run/orchestrator/plugin.sock")

    assert (dialled["error"], planted["error"], removed["error"]) == ("", "EROFS", "EROFS")


def test_the_only_socket_it_finds_is_its_own(bare: Probe) -> None:
    found = bare("sockets")["paths"]

    assert found == ["/run/orchestrator/plugin.sock"]


def test_it_has_the_harmless_devices_and_can_make_no_other(bare: Probe) -> None:
    found = set(bare("list", path="/dev")["result"])
    links = {"core", "fd", "ptmx", "stderr", "stdin", "stdout"}
    made = bare("mknod", path="/tmp/disk", major=254, minor=0)

    assert found - links == {
        *("full", "mqueue", "null", "pts", "random", "shm", "tty", "urandom", "zero")
    }
    assert made["error"] == "EPERM"


@pytest.mark.parametrize("path", ["/tmp", "/dev/shm"])
def test_what_it_writes_it_cannot_run(bare: Probe, path: str) -> None:
    found = bare("plant", path=f"{path}/script")

    assert found["error"] == "EACCES"


@pytest.mark.parametrize("path", ["/tmp", "/dev/shm", "/dev/mqueue"])
def test_where_it_may_write_no_program_device_or_setuid_bit_counts(bare: Probe, path: str) -> None:
    found = bare("file_system", path=path)["result"]["options"]

    assert found == ["nosuid", "nodev", "noexec"]


def test_tmp_is_held_to_its_size_and_number_of_files(bare: Probe) -> None:
    found = bare("file_system", path="/tmp")["result"]

    assert (found["bytes"], found["inodes"]) == (16 * MIB, 16 * 256)


def test_shared_memory_ends_at_one_mebibyte(bare: Probe) -> None:
    found = bare("fill", path="/dev/shm/flood", mb=4)

    assert found == {"error": "ENOSPC", "bytes": MIB}


@pytest.mark.parametrize("path", ["/mnt", "/data", "/host", "/run/secrets"])
def test_without_a_permission_nothing_of_the_operators_is_there(bare: Probe, path: str) -> None:
    found = bare("list", path=path)

    assert found["result"] == [] or found["error"] == "ENOENT"


def test_its_files_are_not_the_hosts(bare: Probe) -> None:
    own = bare("read", path="/etc/hostname")["result"].strip()

    assert own == "probe"
    assert own != os.uname().nodename
