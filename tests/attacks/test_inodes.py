"""Inodes: empty files take no space, and still run out, of the host's memory at the latest."""

import json

import pytest

from tests.support.arena import DISK_MB, TMP_MB, Arena, on_gvisor_too
from tests.support.instance import eventually

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("bystanders")]

NO_QUEUES = {"runc": {"EROFS", "EACCES"}, "runsc": {"ENOENT"}}


def test_tmp_holds_a_limited_number_of_files(arena: Arena) -> None:
    found = arena.attacker("inodes", path="/tmp", count=4_096)

    assert found["error"] == "ENOSPC"
    assert TMP_MB * 256 - 16 < found["count"] <= TMP_MB * 256
    assert arena.attacker.answers()


@on_gvisor_too
def test_a_volume_holds_no_more_files_than_its_size_allows(arena: Arena) -> None:
    found = arena.keeper("inodes", path="/data", count=DISK_MB * 1_024)

    assert found["error"] == "ENOSPC"
    assert arena.keeper.answers()


@on_gvisor_too
def test_empty_files_where_nothing_counts_them_are_its_own_memory(arena: Arena) -> None:
    # No process owns that memory, so the kernel may well end the plugin rather than its child.
    doomed = arena.doomed
    answer = doomed.result("inodes_in_child", path="/dev/shm", count=1_000_000)
    eventually(doomed.answers, seconds=90)
    doomed("clear", path="/dev/shm")

    assert answer.status >= 500 or json.loads(answer.body)["error"] in {"ENOSPC", "SIGKILL"}


@on_gvisor_too
def test_queues_which_the_kernel_counts_by_user_are_not_to_be_had(arena: Arena) -> None:
    found = arena.attacker("inodes", path="/dev/mqueue", count=1)
    called = arena.attacker("syscall", name="mq_open", arguments=[0, 0, 0, 0])

    assert found["error"] in NO_QUEUES[arena.runtime]
    assert called["error"] == "EPERM"
