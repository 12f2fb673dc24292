"""`system_info` from inside: the host's numbers, and no way from them to the host."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.baseline.conftest import Probe
from tests.support.hidden import HIDDEN_FILES, HIDDEN_FOLDERS

pytestmark = pytest.mark.docker

SHOWN = ["cpuinfo", "diskstats", "loadavg", "meminfo", "stat", "uptime", "version", "vmstat"]
CPUS = "/host/sys/devices/system/cpu"


@pytest.fixture(scope="module")
def watcher(limited: Callable[[str], Probe]) -> Probe:
    return limited("watcher")


def shape(text: str) -> str:
    """With every number made one: they differ from one look to the next, the words do not."""
    return re.sub(r"[ \d.]+", "#", text)


@pytest.mark.parametrize("name", SHOWN)
@pytest.mark.parametrize("folder", ["/host/proc", "/proc"])
def test_it_reads_the_hosts_file(watcher: Probe, folder: str, name: str) -> None:
    found = watcher("read", path=f"{folder}/{name}")["result"]

    assert found
    assert shape(found) == shape(Path("/proc", name).read_text(encoding="ascii"))


def test_the_memory_is_the_hosts_and_not_its_own_limit(watcher: Probe) -> None:
    found = watcher("read", path="/host/proc/meminfo")["result"]
    total = next(line for line in Path("/proc/meminfo").read_text().splitlines() if "Total" in line)

    assert total in found.splitlines()


def test_the_network_counters_are_the_hosts_though_its_own_network_is_loopback_only(
    watcher: Probe,
) -> None:
    def names(text: str) -> set[str]:
        return {line.partition(":")[0].strip() for line in text.splitlines()[2:]}

    hosts = names(Path("/proc/net/dev").read_text(encoding="ascii"))
    found = names(watcher("read", path="/host/proc/net/dev")["result"])

    # Other tests make and remove interfaces meanwhile; those that stay are enough.
    assert found & hosts > {"lo"}
    assert names(watcher("read", path="/proc/net/dev")["result"]) == {"lo"}


def test_the_distribution_and_the_processors_are_the_hosts(watcher: Probe) -> None:
    release = watcher("read", path="/host/os-release")["result"]
    present = watcher("read", path=f"{CPUS}/present")["result"]

    assert release == Path("/etc/os-release").read_text(encoding="utf-8")
    assert present == Path("/sys/devices/system/cpu/present").read_text(encoding="ascii")


def test_nothing_else_of_the_host_is_there(watcher: Probe) -> None:
    found = {
        path: watcher("list", path=path)["result"]
        for path in (
            *("/host", "/host/proc", "/host/proc/net", "/host/sys"),
            *("/host/sys/devices", "/host/sys/devices/system"),
        )
    }

    assert found == {
        "/host": ["os-release", "proc", "sys"],
        "/host/proc": sorted([*SHOWN, "net"]),
        "/host/proc/net": ["dev"],
        "/host/sys": ["devices"],
        "/host/sys/devices": ["system"],
        "/host/sys/devices/system": ["cpu"],
    }


@pytest.mark.parametrize(
    "path",
    [
        "/host/proc/1/root/etc/shadow",
        "/host/proc/1/environ",
        "/host/proc/1/cmdline",
        "/host/proc/self/environ",
        "/host/proc/kcore",
        "/host/proc/kallsyms",
        "/host/proc/keys",
        "/host/proc/kmsg",
        "/host/proc/net/../1/environ",
        "/host/sys/block/loop0/loop/backing_file",
        "/host/sys/fs/cgroup/release_agent",
        "/host/sys/fs/cgroup/memory/release_agent",
        "/host/sys/kernel/uevent_helper",
        f"{CPUS}/../../../../block/loop0/loop/backing_file",
        f"{CPUS}/../node/node0/meminfo",
        f"{CPUS}/cpu0/subsystem/uevent",
    ],
)
def test_no_way_leads_from_it_to_a_process_a_key_or_the_rest_of_sys(
    watcher: Probe, path: str
) -> None:
    found = watcher("read", path=path)

    assert found == {"error": "ENOENT", "result": None}


@pytest.mark.parametrize("path", ["loadavg/../../../proc/1/root", "uptime/..", "net/dev/.."])
def test_a_file_of_it_is_no_door_to_its_folder_on_the_host(watcher: Probe, path: str) -> None:
    found = watcher("list", path=f"/host/proc/{path}")

    assert found["error"] == "ENOTDIR"


def test_all_of_it_is_mounted_read_only(watcher: Probe) -> None:
    paths = [*(f"/host/proc/{name}" for name in SHOWN), "/host/proc/net/dev", CPUS]
    found = {
        path: watcher("file_system", path=path)["result"]["options"]
        for path in [*paths, "/host/os-release"]
    }

    assert {path for path, options in found.items() if "ro" not in options} == set()


@pytest.mark.parametrize(
    "path",
    [
        "/host/proc/loadavg",
        "/host/proc/sysrq-trigger",
        "/host/os-release",
        f"{CPUS}/cpu1/online",
        f"{CPUS}/uevent",
        "/host/sys/fs/cgroup/release_agent",
        "/host/new",
        "/proc/sysrq-trigger",
        "/proc/sys/kernel/core_pattern",
    ],
)
def test_nothing_of_it_can_be_written(watcher: Probe, path: str) -> None:
    found = watcher("write", path=path, text="0")

    assert found["error"] in {"EROFS", "EACCES", "ENOENT"}


def test_it_finds_nothing_in_it_that_may_be_written(watcher: Probe) -> None:
    found = watcher("writable", path="/host")

    assert found == {"paths": []}


@pytest.mark.parametrize(
    "path", [path for path in HIDDEN_FILES if path.removeprefix("/proc/") not in SHOWN]
)
def test_what_else_tells_of_the_host_stays_hidden(watcher: Probe, path: str) -> None:
    found = watcher("read", path=path)

    assert found["result"] == "" or found["error"] in {"ENOENT", "EACCES"}


@pytest.mark.parametrize("path", HIDDEN_FOLDERS)
def test_the_folders_that_tell_of_the_host_stay_hidden(watcher: Probe, path: str) -> None:
    found = watcher("list", path=path)

    assert found["result"] == [] or found["error"] == "ENOENT"


def test_it_sees_no_process_but_its_own(watcher: Probe) -> None:
    found = {each["name"] for each in watcher("processes")}

    assert found == {"docker-init", "python3"}
