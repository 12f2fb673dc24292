"""Ways out by cgroups: a `release_agent` runs on the host as root; limits are files in there."""

from pathlib import Path

import pytest

from tests.support.arena import Arena, on_gvisor_too

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("bystanders")]

REFUSED = {"EACCES", "EROFS", "ENOENT", "EPERM"}


@on_gvisor_too
@pytest.mark.parametrize("kind", ["cgroup", "cgroup2"])
@pytest.mark.parametrize("target", ["/tmp", "/data"])
def test_it_can_mount_no_hierarchy_of_cgroups(arena: Arena, kind: str, target: str) -> None:
    found = arena.keeper("mount", kind=kind, target=target)

    assert found["error"] == "EPERM"


def test_no_hierarchy_of_cgroups_is_to_be_seen(arena: Arena) -> None:
    found = arena.attacker("list", path="/sys/fs")
    mounted = arena.attacker("read", path="/proc/self/mountinfo")["result"]
    kinds = {line.partition(" - ")[2].split()[0] for line in mounted.splitlines()}

    assert found["result"] == []
    # The engine mounts them; a mask lies over them.
    assert arena.attacker("list", path="/sys/fs/cgroup")["error"] == "ENOENT"
    assert {"tmpfs", "proc", "sysfs"} <= kinds


@on_gvisor_too
@pytest.mark.parametrize("root", ["", "/proc/1/root", "/proc/self/root", "/proc/self/cwd/.."])
@pytest.mark.parametrize(
    "path",
    [
        "/sys/fs/cgroup/release_agent",
        "/sys/fs/cgroup/memory/release_agent",
        "/sys/fs/cgroup/memory/notify_on_release",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/pids/pids.max",
        "/sys/fs/cgroup/devices/devices.allow",
        "/sys/fs/cgroup/cgroup.procs",
    ],
)
def test_neither_agent_nor_limit_can_be_written(arena: Arena, root: str, path: str) -> None:
    found = arena.attacker("write", path=f"{root}{path}", text="1")

    assert found["error"] in REFUSED


@on_gvisor_too
def test_the_engine_still_has_the_limits_that_it_was_given(arena: Arena) -> None:
    process = str(arena.attacker.inspect()["State"]["Pid"])
    lines = Path("/proc", process, "cgroup").read_text(encoding="utf-8").splitlines()
    groups = [line.split(":", 2)[1:] for line in lines]
    # Where both versions of cgroups are mounted the limits are in the first, whose lines name
    # their controllers; gVisor does not even join the second.
    paths = [path for kinds, path in groups if kinds] or [path for _, path in groups]

    assert paths
    assert all(arena.attacker.inspect()["Id"] in path for path in paths)
