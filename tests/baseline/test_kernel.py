"""From inside: no network, and none of the system calls that lead out."""

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.baseline.conftest import Probe

pytestmark = pytest.mark.docker

AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_ALG, AF_VSOCK = 1, 2, 10, 16, 17, 38, 40
STREAM, DATAGRAM, RAW, SEQPACKET = 1, 2, 3, 5
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x20000, 0x10000000, 0x40000000
SIGCHLD = 17
SECRET = b"a service of the host"

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
    "setns",
    "settimeofday",
    "swapon",
    "syslog",
    "umount2",
    "unshare",
    "userfaultfd",
]


@pytest.fixture(scope="module")
def host_port() -> Iterator[int]:
    """A service on all addresses of the host that greets whoever connects."""
    listener = socket.create_server(("0.0.0.0", 0))  # noqa: S104 - reachable as far as can be

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(SECRET)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_its_only_interface_is_loopback_and_it_has_no_route(bare: Probe) -> None:
    found = bare("interfaces")

    assert found == {"names": ["lo"], "routes": []}


@pytest.mark.parametrize("host", ["172.17.0.1", "169.254.169.254", "1.1.1.1", "2606:4700::1111"])
def test_it_reaches_neither_the_host_nor_anything_beyond(
    bare: Probe, host_port: int, host: str
) -> None:
    found = bare("connect", host=host, port=host_port)

    assert found["error"] in {"ENETUNREACH", "EADDRNOTAVAIL"}


def test_its_loopback_is_not_the_hosts(bare: Probe, host_port: int) -> None:
    with socket.create_connection(("127.0.0.1", host_port)) as connection:
        assert connection.recv(100) == SECRET

    found = bare("connect", host="127.0.0.1", port=host_port)

    assert found == {"error": "ECONNREFUSED", "result": None}


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
    bare: Probe, family: int, kind: int, protocol: int
) -> None:
    found = bare("open_socket", family=family, kind=kind, protocol=protocol)

    # EAFNOSUPPORT and its like would say that this kernel lacks it, not that it is shut.
    assert found["error"] in {"EPERM", "EACCES"}


@pytest.mark.parametrize("name", OUT_OF_BOUNDS)
def test_the_filter_refuses_the_call_before_the_kernel_reads_its_arguments(
    bare: Probe, name: str
) -> None:
    found = bare("syscall", name=name, arguments=[-1] * 6)

    assert found["error"] == "EPERM"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        pytest.param("ptrace", [0], id="be traced"),
        pytest.param("unshare", [CLONE_NEWUSER], id="be root in a namespace of its own"),
        pytest.param("unshare", [CLONE_NEWNS], id="have mounts of its own"),
        pytest.param("clone", [CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0], id="a child that is root"),
        pytest.param("clone", [CLONE_NEWNET | SIGCHLD, 0, 0, 0, 0], id="a child with a network"),
        pytest.param("keyctl", [0, -3, 1], id="the session's key ring"),
        pytest.param("syslog", [10], id="the size of the kernel's log"),
        pytest.param("userfaultfd", [1], id="hold page faults up"),
        pytest.param("memfd_secret", [0], id="memory hidden from the host"),
    ],
)
def test_what_an_open_kernel_would_grant_to_anybody_is_refused(
    bare: Probe, name: str, arguments: list[int]
) -> None:
    found = bare("syscall", name=name, arguments=arguments)

    assert found["error"] == "EPERM"


def test_a_clone_whose_flags_cannot_be_seen_seems_not_to_exist(bare: Probe) -> None:
    found = bare("syscall", name="clone3", arguments=[0, 0])

    assert found["error"] == "ENOSYS"


@pytest.mark.parametrize("kind", ["tmpfs", "proc", "sysfs", "cgroup"])
def test_it_can_mount_nothing(bare: Probe, kind: str) -> None:
    found = bare("mount", kind=kind, target="/tmp")

    assert found["error"] == "EPERM"
