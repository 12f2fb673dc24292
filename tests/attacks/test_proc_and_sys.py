"""/proc and /sys are the host's own: what tells of it is masked, what changes it is shut."""

import pytest

from tests.support.arena import Arena, on_gvisor_too
from tests.support.hidden import HIDDEN_FILES, HIDDEN_FOLDERS, READ_ONLY

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("bystanders")]


@pytest.mark.parametrize("path", HIDDEN_FILES)
def test_a_file_that_tells_of_the_host_reads_empty_or_not_at_all(arena: Arena, path: str) -> None:
    found = arena.attacker("read", path=path)

    assert found["result"] == "" or found["error"] in {"ENOENT", "EACCES"}


@pytest.mark.parametrize("path", HIDDEN_FOLDERS)
def test_a_folder_that_tells_of_the_host_is_empty_or_not_there(arena: Arena, path: str) -> None:
    found = arena.attacker("list", path=path)

    assert found["result"] == [] or found["error"] == "ENOENT"


@pytest.mark.parametrize("root", ["/proc/1/root", "/proc/self/root", "/proc/thread-self/root"])
def test_the_masks_cannot_be_walked_around(arena: Arena, root: str) -> None:
    found = arena.attacker("read", path=f"{root}/proc/cmdline")

    assert found["result"] == "" or found["error"] == "EACCES"


@on_gvisor_too
def test_it_knows_no_neighbour_of_the_hosts(arena: Arena) -> None:
    found = arena.attacker("read", path="/proc/net/arp")["result"] or ""

    assert len(found.splitlines()) <= 1  # the heading


@pytest.mark.parametrize("path", READ_ONLY)
def test_the_kernels_settings_are_mounted_read_only(arena: Arena, path: str) -> None:
    found = arena.attacker("file_system", path=path)

    assert found["error"] == "ENOENT" or "ro" in found["result"]["options"]


@on_gvisor_too
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
def test_it_can_change_no_setting_of_the_kernel(arena: Arena, path: str) -> None:
    found = arena.attacker("write", path=path, text="x")

    assert found["error"] in {"EACCES", "EROFS", "ENOENT", "EPERM"}
