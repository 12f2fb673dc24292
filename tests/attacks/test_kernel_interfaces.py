"""Interfaces of the kernel that lead out, or into others: refused before the kernel looks."""

import pytest

from tests.support.arena import Arena, on_gvisor_too

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("bystanders"), on_gvisor_too]

AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_ALG, AF_VSOCK = 2, 10, 16, 17, 38, 40
STREAM, DATAGRAM, RAW, SEQPACKET = 1, 2, 3, 5

OUT_OF_BOUNDS = [
    "acct",
    "add_key",
    "bpf",
    "chroot",
    "fsopen",
    "init_module",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "kcmp",
    "kexec_load",
    "keyctl",
    "memfd_secret",
    "mount",
    "mount_setattr",
    "move_mount",
    "name_to_handle_at",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "pidfd_getfd",
    "pivot_root",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
    "quotactl",
    "reboot",
    "request_key",
    "setdomainname",
    "sethostname",
    "swapon",
    "syslog",
    "umount2",
    "userfaultfd",
]


@pytest.mark.parametrize(
    ("family", "kind", "protocol"),
    [
        pytest.param(AF_INET, RAW, 1, id="raw ICMP"),
        pytest.param(AF_INET6, RAW, 58, id="raw ICMPv6"),
        pytest.param(AF_PACKET, RAW, 0, id="packets"),
        pytest.param(AF_VSOCK, STREAM, 0, id="the hypervisor"),
        pytest.param(AF_ALG, SEQPACKET, 0, id="the kernel's ciphers"),
        pytest.param(AF_NETLINK, RAW, 15, id="the kernel's device events"),
        pytest.param(AF_NETLINK, RAW, 9, id="the kernel's audit"),
    ],
)
def test_it_can_open_no_socket_to_the_kernel_or_the_wire(
    arena: Arena, family: int, kind: int, protocol: int
) -> None:
    found = arena.attacker("open_socket", family=family, kind=kind, protocol=protocol)

    # EAFNOSUPPORT and its like would say that this kernel lacks it, not that it is shut.
    assert found["error"] in {"EPERM", "EACCES"}


@pytest.mark.parametrize("name", OUT_OF_BOUNDS)
def test_the_filter_refuses_the_call_before_the_kernel_reads_its_arguments(
    arena: Arena, name: str
) -> None:
    found = arena.attacker("syscall", name=name, arguments=[-1] * 6)

    assert found["error"] == "EPERM"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        pytest.param("ptrace", [0], id="be traced"),
        pytest.param("keyctl", [0, -3, 1], id="the session's key ring"),
        pytest.param("syslog", [10], id="the size of the kernel's log"),
        pytest.param("userfaultfd", [1], id="hold page faults up"),
        pytest.param("memfd_secret", [0], id="memory hidden from the host"),
    ],
)
def test_what_an_open_kernel_would_grant_to_anybody_is_refused(
    arena: Arena, name: str, arguments: list[int]
) -> None:
    found = arena.attacker("syscall", name=name, arguments=arguments)

    assert found["error"] == "EPERM"
