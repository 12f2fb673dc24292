"""The profile judged by a filter of the test's own, which knows nothing but Docker's format."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.policy.seccomp import REFUSED, seccomp_profile, with_network_sockets

PROFILE: dict[str, Any] = json.loads(seccomp_profile())
NETWORKED: dict[str, Any] = json.loads(with_network_sockets(seccomp_profile()))
ALLOWED = {
    name
    for rule in PROFILE["syscalls"]
    if rule["action"] == "SCMP_ACT_ALLOW"
    for name in rule["names"]
}
TIOCSTI, TIOCLINUX, TIOCGWINSZ, FIONREAD = 0x5412, 0x541C, 0x5413, 0x541B
FSGETXATTR, FSSETXATTR, GETFLAGS, SETFLAGS = 0x801C581F, 0x401C5820, 0x80086601, 0x40086602
NO_REQUESTS = {TIOCSTI, TIOCLINUX, FSSETXATTR, SETFLAGS}
NAMESPACES = {
    "CLONE_NEWNS": 0x00020000,
    "CLONE_NEWCGROUP": 0x02000000,
    "CLONE_NEWUTS": 0x04000000,
    "CLONE_NEWIPC": 0x08000000,
    "CLONE_NEWUSER": 0x10000000,
    "CLONE_NEWPID": 0x20000000,
    "CLONE_NEWNET": 0x40000000,
}
# What glibc's pthread_create, fork and posix_spawn pass.
PTHREAD, FORK, SPAWN = 0x003D0F00, 0x01200011, 0x00004111

THREATS = """
ptrace process_vm_readv process_vm_writev keyctl add_key request_key userfaultfd perf_event_open
bpf mount umount2 fsopen move_mount open_tree unshare setns io_uring_setup io_uring_enter
io_uring_register kexec_load init_module finit_module pivot_root chroot swapon reboot
settimeofday nfsservctl name_to_handle_at open_by_handle_at quotactl acct lookup_dcookie kcmp
pidfd_getfd mq_open
"""
NEEDED = """
read write openat openat2 statx mmap mprotect brk futex futex_waitv rseq getrandom execve fork
vfork wait4 epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 eventfd2 inotify_init1
inotify_add_watch memfd_create close_range faccessat2 prlimit64 sched_getaffinity sigaltstack
rt_sigaction timerfd_create pidfd_open membarrier copy_file_range sendfile recvmmsg exit_group
set_robust_list rt_sigtimedwait setpgid prctl
"""


def allows(name: str, *arguments: int, profile: dict[str, Any] = PROFILE) -> bool:
    given_ = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    return any(
        rule["action"] == "SCMP_ACT_ALLOW"
        and name in rule["names"]
        and all(_matches(test, given_) for test in rule.get("args", []))
        for rule in profile["syscalls"]
    )


def _matches(test: dict[str, Any], arguments: list[int]) -> bool:
    assert test["op"] == "SCMP_CMP_MASKED_EQ"
    return arguments[int(test["index"])] & int(test["value"]) == int(test["valueTwo"])


def test_what_is_not_allowed_is_refused() -> None:
    assert PROFILE["defaultAction"] == "SCMP_ACT_ERRNO"
    assert not allows("a_call_of_next_year")


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_refused_call_is_on_no_list(name: str) -> None:
    mentioned = [name for rule in PROFILE["syscalls"] for name in rule["names"]]

    assert name not in mentioned
    assert REFUSED[name]


@pytest.mark.parametrize("name", THREATS.split())
def test_what_the_threat_model_names_is_refused_with_a_reason(name: str) -> None:
    assert name not in ALLOWED
    assert name in REFUSED


@pytest.mark.parametrize("name", NEEDED.split())
def test_what_programs_need_is_allowed(name: str) -> None:
    assert allows(name)


@pytest.mark.parametrize(("family", "by_default"), [(1, True), (2, False), (10, False)])
def test_sockets_of_networks_are_made_only_where_a_permission_leads_to_one(
    family: int, *, by_default: bool
) -> None:
    assert allows("socket", family, 1, 0) is by_default
    assert allows("socket", family, 1, 0, profile=NETWORKED)


@given(st.integers(0, 2**32 - 1).filter(lambda family: family not in {1, 2, 10, 16}))
def test_no_other_socket_family_exists(family: int) -> None:
    assert not allows("socket", family, 1, 0)
    assert not allows("socket", family, 1, 0, profile=NETWORKED)


def test_the_wider_profile_differs_by_two_socket_families_and_nothing_else() -> None:
    added = [rule for rule in NETWORKED["syscalls"] if rule not in PROFILE["syscalls"]]

    assert {**NETWORKED, "syscalls": []} == {**PROFILE, "syscalls": []}
    assert all(rule in NETWORKED["syscalls"] for rule in PROFILE["syscalls"])
    assert [(rule["names"], rule["args"][0]["valueTwo"]) for rule in added] == [
        (["socket"], 2),
        (["socket"], 10),
    ]


def test_no_filter_stays_no_filter() -> None:
    assert with_network_sockets("") == ""


@pytest.mark.parametrize("profile", [PROFILE, NETWORKED], ids=["baseline", "networked"])
def test_nothing_but_the_engines_own_fields_is_in_a_profile(profile: dict[str, Any]) -> None:
    fields = {name for rule in profile["syscalls"] for name in rule}

    assert fields <= {"names", "action", "args", "errnoRet", "includes"}


@pytest.mark.parametrize("family", [40, 38, 17, 30, 31])
def test_vsock_alg_packet_tipc_and_bluetooth_are_refused(family: int) -> None:
    assert not allows("socket", family, 1, 0)


@given(st.integers(1, 40))
def test_netlink_speaks_of_routes_only(protocol: int) -> None:
    assert allows("socket", 16, 3, 0)
    assert not allows("socket", 16, 3, protocol)


def test_socket_pairs_are_local() -> None:
    assert allows("socketpair", 1, 1, 0)
    assert not allows("socketpair", 30, 1, 0)


@pytest.mark.parametrize("flags", [PTHREAD, FORK, SPAWN])
def test_threads_and_children_are_made(flags: int) -> None:
    assert allows("clone", flags)


@pytest.mark.parametrize("flag", NAMESPACES.values(), ids=NAMESPACES)
@pytest.mark.parametrize("flags", [0, PTHREAD, FORK])
def test_clone_makes_no_namespace(flag: int, flags: int) -> None:
    assert not allows("clone", flags | flag)
    assert not allows("clone", (1 << 40) | flags | flag)


def test_clone3_seems_not_to_exist_so_that_libc_takes_clone() -> None:
    rules = [rule for rule in PROFILE["syscalls"] if "clone3" in rule["names"]]

    assert rules == [{"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]


@given(st.integers(0, 2**64 - 1))
def test_ioctl_does_everything_but_type_into_terminals_and_move_files_out_of_a_quota(
    request: int,
) -> None:
    assert allows("ioctl", 0, request) is (request & 0xFFFFFFFF not in NO_REQUESTS)


@pytest.mark.parametrize("request_", sorted(NO_REQUESTS))
@given(changed=st.sets(st.integers(0, 31)))
def test_a_request_that_differs_in_any_bits_passes(request_: int, changed: set[int]) -> None:
    other = request_ ^ sum(1 << bit for bit in changed)

    assert allows("ioctl", 0, other) is (other not in NO_REQUESTS)


@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(NO_REQUESTS)))
def test_high_bits_that_the_kernel_drops_do_not_hide_a_request(high: int, request: int) -> None:
    assert not allows("ioctl", 0, (high << 32) | request)


@pytest.mark.parametrize(
    "request_", [TIOCGWINSZ, FIONREAD, 0x5410, 0x5401, 0x5416, 0x541E, FSGETXATTR, GETFLAGS]
)
def test_neighbouring_requests_pass(request_: int) -> None:
    assert allows("ioctl", 0, request_)


def test_personality_is_asked_and_never_changed() -> None:
    assert allows("personality", 0xFFFFFFFF)
    assert allows("personality", 0)
    assert not allows("personality", 0x0040000)
    assert not allows("personality", 0x0008)


def test_no_second_architecture_has_a_way_in() -> None:
    assert PROFILE["archMap"] == [
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []},
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": []},
    ]


def test_a_call_with_conditions_has_no_unconditional_rule() -> None:
    bare = {n for rule in PROFILE["syscalls"] if "args" not in rule for n in rule["names"]}

    assert bare.isdisjoint({"socket", "socketpair", "clone", "ioctl", "personality"})


def test_no_condition_is_given_twice_for_one_argument() -> None:
    # runc takes two conditions on one argument for alternatives.
    for rule in PROFILE["syscalls"]:
        indices = [test["index"] for test in rule.get("args", [])]

        assert len(indices) == len(set(indices))


def test_the_text_is_canonical_and_without_comments() -> None:
    text = seccomp_profile()

    assert text == json.dumps(PROFILE, sort_keys=True, separators=(",", ":"))
    assert "comment" not in text
