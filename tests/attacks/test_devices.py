"""Device nodes: of the host's disks and memory, made by the plugin or laid out for it."""

import os
import stat

import pytest

from tests.support.arena import Arena, on_gvisor_too

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("bystanders")]

MEMORY, LOOP, DISK = (1, 1), (7, 0), (254, 0)
PLACES = ["/tmp", "/dev/shm", "/dev", "/data", "/mnt/desk"]
HARMLESS = {"full", "null", "pts", "random", "shm", "tty", "urandom", "zero"}
DEVICES = {
    "runc": HARMLESS | {"mqueue"},
    "runsc": HARMLESS | {"fuse", "net"},  # gVisor's own
}
MAKING = {
    "runc": {"EPERM", "EROFS", "EACCES"},
    "runsc": {"EPERM", "EROFS", "EACCES", ""},  # in its own memory it lets anybody
}


@on_gvisor_too
def test_it_has_the_harmless_devices_and_no_other(arena: Arena) -> None:
    found = set(arena.attacker("list", path="/dev")["result"])
    links = {"core", "fd", "ptmx", "stderr", "stdin", "stdout"}

    assert found - links == DEVICES[arena.runtime]


@on_gvisor_too
@pytest.mark.parametrize("folder", PLACES)
@pytest.mark.parametrize("device", [MEMORY, LOOP, DISK], ids=["memory", "loop", "disk"])
def test_it_can_make_no_device_anywhere(arena: Arena, folder: str, device: tuple[int, int]) -> None:
    path = f"{folder}/device"
    made = arena.keeper("mknod", path=path, major=device[0], minor=device[1])
    opened = arena.keeper("read", path=path)
    arena.keeper("remove", path=path)

    assert made["error"] in MAKING[arena.runtime]
    # ENXIO: of gVisor's own kernel, which has no such driver.
    assert opened["error"] in {"ENOENT", "ENXIO"}


@on_gvisor_too
@pytest.mark.parametrize("share", ["library", "desk"])
@pytest.mark.parametrize("device", [MEMORY, LOOP, DISK], ids=["memory", "loop", "disk"])
def test_a_device_that_lies_in_a_share_opens_for_the_host_and_not_for_it(
    arena: Arena, share: str, device: tuple[int, int]
) -> None:
    node = arena.shares / share / "device"
    os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(*device))
    node.chmod(0o666)
    try:
        found = arena.keeper("read", path=f"/mnt/{share}/device")
    finally:
        node.unlink()

    # ENXIO and its like would say that the kernel had looked for a driver.
    assert found["error"] in {"EPERM", "EACCES"}


def test_what_the_host_mounts_for_it_takes_no_devices(arena: Arena) -> None:
    found = {
        path: "nodev" in arena.keeper("file_system", path=path)["result"]["options"]
        for path in ("/tmp", "/dev/shm", "/data")
    }

    assert set(found.values()) == {True}
