"""New namespaces: in one of its own a plugin would be root, and could mount what it likes."""

import pytest

from tests.support.arena import Arena, on_gvisor_too

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("bystanders")]

SIGCHLD = 17
KINDS = {
    "mnt": 0x00020000,
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "net": 0x40000000,
}
NEWTIME = 0x80


@on_gvisor_too
@pytest.mark.parametrize("flags", [*KINDS.values(), NEWTIME], ids=[*KINDS, "time"])
def test_it_leaves_none_of_its_namespaces_for_a_new_one(arena: Arena, flags: int) -> None:
    found = arena.attacker("syscall", name="unshare", arguments=[flags])

    assert found["error"] == "EPERM"


@on_gvisor_too
@pytest.mark.parametrize("flags", KINDS.values(), ids=KINDS)
def test_its_children_are_born_into_no_new_one(arena: Arena, flags: int) -> None:
    both = [flags | SIGCHLD, KINDS["user"] | flags | SIGCHLD]
    found = [
        arena.attacker("syscall", name="clone", arguments=[each, 0, 0, 0, 0])["error"]
        for each in both
    ]

    assert found == ["EPERM", "EPERM"]


@on_gvisor_too
@pytest.mark.parametrize("flags", [0, *KINDS.values()], ids=["any", *KINDS])
def test_it_enters_none_that_is_there(arena: Arena, flags: int) -> None:
    # EBADF would say that the kernel had looked at the descriptor: the filter let it through.
    found = arena.attacker("syscall", name="setns", arguments=[-1, flags])

    assert found["error"] == "EPERM"


@on_gvisor_too
def test_a_clone_whose_flags_cannot_be_seen_seems_not_to_exist(arena: Arena) -> None:
    found = arena.attacker("syscall", name="clone3", arguments=[0, 0])

    assert found["error"] == "ENOSYS"


def test_through_its_own_processes_it_reaches_no_namespace_but_its_own(arena: Arena) -> None:
    own = arena.attacker("identity")["namespaces"]
    beside = arena.neighbour("identity")["namespaces"]
    of_init = {
        kind: arena.attacker("read_link", path=f"/proc/1/ns/{kind}")["result"] for kind in own
    }

    assert of_init == own
    assert {kind for kind in own if own[kind] == beside[kind]} == {"user"}
