"""From inside: what the plugin can read, write and run; where it is held to sizes."""

import os

import pytest

from tests.support.arena import MIB
from tests.support.probe import Probe

pytestmark = pytest.mark.docker


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
        "/run/orchestrator/plugin.sock",
        *(f"/dev/{name}" for name in devices),
    }


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
