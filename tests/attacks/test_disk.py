"""Disks: full to the last byte, whichever of them may be written."""

import pytest

from tests.support.arena import DISK_MB, MIB, TMP_MB, Arena, on_gvisor_too

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("bystanders")]

REFUSED = {
    "runc": {"EROFS", "ENOENT"},
    "runsc": {"EROFS", "ENOENT", "EACCES"},  # it asks whose folder it is first
}


@on_gvisor_too
def test_a_full_volume_is_an_error_to_the_plugin_and_no_more(arena: Arena) -> None:
    keeper = arena.keeper
    before = keeper.status()["restarts"]
    filled = keeper("fill", path="/data/flood", mb=2 * DISK_MB, keep=True)
    still = keeper("fill", path="/data/more", mb=1)
    keeper("remove", path="/data/flood")

    assert filled["error"] == "ENOSPC"
    assert 0.8 * DISK_MB * MIB < filled["bytes"] <= DISK_MB * MIB
    assert (still["error"], still["bytes"]) == ("ENOSPC", 0)
    assert keeper("fill", path="/data/again", mb=1)["error"] == ""
    assert keeper.status()["restarts"] == before


def test_a_file_cannot_be_moved_out_of_the_quota_that_counts_it(arena: Arena) -> None:
    found = arena.keeper("leave_project", path="/data/elsewhere", project=0)
    arena.keeper("remove", path="/data/elsewhere")

    assert found == {"error": "EPERM", "flags": "EPERM"}


@on_gvisor_too
@pytest.mark.parametrize(("path", "mb"), [("/tmp", TMP_MB), ("/dev/shm", 1)])
def test_a_disk_in_memory_is_full_at_its_size_and_free_again_afterwards(
    arena: Arena, path: str, mb: int
) -> None:
    found = arena.attacker("fill", path=f"{path}/flood", mb=4 * mb)

    assert found == {"error": "ENOSPC", "bytes": mb * MIB}
    assert arena.attacker("fill", path=f"{path}/little", mb=1)["error"] == ""


@on_gvisor_too
def test_where_nothing_was_granted_no_byte_is_written(arena: Arena) -> None:
    found = {
        path: arena.attacker("fill", path=f"{path}/flood", mb=1)
        for path in ("/", "/data", "/mnt", "/run", "/run/orchestrator", "/plugin", "/var/tmp")
    }

    assert {each["bytes"] for each in found.values()} == {0}
    assert {each["error"] for each in found.values()} <= REFUSED[arena.runtime]
