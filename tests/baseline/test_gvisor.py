"""The same attacks on gVisor (`runtime: runsc`), and that plugins work there."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.attacks.test_kernel_interfaces import (
    AF_ALG,
    AF_INET,
    AF_PACKET,
    AF_VSOCK,
    OUT_OF_BOUNDS,
    RAW,
    SEQPACKET,
    STREAM,
)
from tests.support.arena import DISK_MB, MIB, OPEN_FILES, TMP_MB
from tests.support.hidden import HIDDEN_FILES
from tests.support.instance import engine, eventually
from tests.support.probe import Probe

pytestmark = pytest.mark.docker

CLONE_NEWUSER, SIGCHLD = 0x10000000, 17
Guests = Callable[[str], Probe]
REFUSED = {"EPERM", "EACCES", "EROFS", "ENOENT"}
ASK = "GET /v1/plugins HTTP/1.1\r\nHost: orchestrator\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def guest(guests: Guests) -> Probe:
    return guests("guest")


# -- it works ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["guest", "bomber"])
def test_policy_or_manifest_puts_it_on_gvisor(guests: Guests, name: str) -> None:
    probe = guests(name)

    assert probe.inspect()["HostConfig"]["Runtime"] == "runsc"
    assert "gvisor" in probe("read", path="/proc/cmdline")["result"]


def test_the_rating_and_the_explanation_say_so(guest: Probe) -> None:
    told = guest.instance.run("explain", "guest", str(guest.instance.manifests)).stdout

    assert "[gvisor]" in told
    assert "gVisor, a kernel of its own" in told


def test_what_it_was_granted_is_there(guest: Probe) -> None:
    asked = guest("connect_unix", path="/run/orchestrator/host.sock", send=ASK)
    wrote = guest("write", path="/mnt/desk/from-gvisor.txt", text="hello")

    assert asked["result"].startswith("HTTP/1.1 200 ")
    assert guest("read", path="/mnt/library/book.txt")["result"] == "once upon a time"
    assert (wrote["error"], guest("list", path="/mnt")["result"]) == ("", ["desk", "library"])


def test_it_is_held_to_its_processor_share_from_the_start_and_not_touched_afterwards(
    guests: Guests,
) -> None:
    bomber = guests("bomber")
    found = bomber.inspect()["HostConfig"]

    assert found["CpuQuota"] == 60_000
    assert bomber.events("start_failed") == []


def test_a_killed_daemon_finds_it_again_and_its_data_is_there(guest: Probe) -> None:
    guest("write", path="/data/diary", text="day one")
    before = guest.status()
    os.kill(guest.instance.daemon_pid(), signal.SIGKILL)
    guest.instance.up()
    after = guest.status()
    asked = guest("connect_unix", path="/run/orchestrator/host.sock", send=ASK)

    assert (after["container_id"], after["restarts"]) == (before["container_id"], 0)
    assert guest("read", path="/data/diary")["result"] == "day one"
    assert asked["result"].startswith("HTTP/1.1 200 ")


def test_code_that_is_handed_in_runs_on_gvisor_too(guest: Probe) -> None:
    code = b'result = open("/proc/cmdline").read()'
    found = json.loads(guest.instance.run("run-code", "--json", "-", stdin=code).stdout)

    assert "gvisor" in found["result"]


# -- it is held -------------------------------------------------------------------------------


@pytest.mark.parametrize("process", ["status", "init_status"])
def test_it_has_the_plugins_user_no_capability_and_our_filter(guest: Probe, process: str) -> None:
    found = guest("identity")[process]

    assert {found[name] for name in found if name.startswith("Cap")} == {"0" * 16}
    assert (found["Uid"].split(), found["Gid"].split()) == (["65532"] * 4, ["65532"] * 4)
    assert found["Seccomp"] == "2"


def test_a_setuid_root_program_makes_it_nobody_else(guest: Probe) -> None:
    found = guest("execute", path="/usr/bin/become-root")

    assert found["result"] in {None, "65532 65532 -1"}


@pytest.mark.parametrize("name", OUT_OF_BOUNDS)
def test_the_filter_refuses_the_call(guest: Probe, name: str) -> None:
    found = guest("syscall", name=name, arguments=[-1] * 6)

    assert found["error"] == "EPERM"


def test_it_makes_no_namespaces(guest: Probe) -> None:
    unshared = guest("syscall", name="unshare", arguments=[CLONE_NEWUSER])
    cloned = guest("syscall", name="clone", arguments=[CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0])
    hidden = guest("syscall", name="clone3", arguments=[0, 0])

    assert (unshared["error"], cloned["error"], hidden["error"]) == ("EPERM", "EPERM", "ENOSYS")


@pytest.mark.parametrize(
    ("family", "kind", "protocol"),
    [(AF_INET, RAW, 1), (AF_PACKET, RAW, 0), (AF_VSOCK, STREAM, 0), (AF_ALG, SEQPACKET, 0)],
)
def test_it_opens_no_socket_to_the_kernel_or_the_wire(
    guest: Probe, family: int, kind: int, protocol: int
) -> None:
    found = guest("open_socket", family=family, kind=kind, protocol=protocol)

    assert found["error"] in {"EPERM", "EACCES"}


@pytest.mark.parametrize("host", ["172.17.0.1", "169.254.169.254", "1.1.1.1"])
def test_it_reaches_neither_the_host_nor_anything_beyond(guest: Probe, host: str) -> None:
    found = guest("connect", host=host, port=80)

    assert found["error"] in {"EPERM", "ENETUNREACH", "EADDRNOTAVAIL", "EHOSTUNREACH"}


@pytest.mark.parametrize("kind", ["tmpfs", "proc", "sysfs", "cgroup"])
def test_it_mounts_nothing(guest: Probe, kind: str) -> None:
    found = guest("mount", kind=kind, target="/tmp")

    assert found["error"] == "EPERM"


@pytest.mark.parametrize(
    "path",
    [
        *("/anyone/x", "/x", "/plugin/x", "/mnt/x", "/mnt/library/x", "/usr/bin/x"),
        *("/run/orchestrator/x", "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger"),
        *("/sys/fs/cgroup/release_agent", "/sys/fs/cgroup/memory/release_agent"),
        *("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/cgroup.procs"),
    ],
)
def test_it_writes_nowhere_but_where_it_may(guest: Probe, path: str) -> None:
    found = guest("write", path=path, text="1")

    assert found["error"] in REFUSED


def test_a_link_in_a_share_does_not_lead_to_the_hosts_files(guest: Probe) -> None:
    found = {
        guest("read", path=f"/mnt/{share}/{link}")["error"]
        for share in ("library", "desk")
        for link in ("absolute", "relative")
    }

    assert found == {"ENOENT"}


@pytest.mark.parametrize("path", HIDDEN_FILES)
def test_no_file_of_proc_is_the_hosts(guest: Probe, path: str) -> None:
    found = guest("read", path=path)
    try:
        hosts = Path(path).read_bytes()[:65_536].decode("latin-1") if path != "/proc/kcore" else "-"
    except OSError:
        hosts = "-"

    assert found["error"] in {"ENOENT", "EACCES"} or not found["result"] or found["result"] != hosts


def test_proc_tells_neither_the_hosts_kernel_nor_its_memory(guest: Probe) -> None:
    version = guest("read", path="/proc/version")["result"]
    memory = guest("read", path="/proc/meminfo")["result"].split()

    assert os.uname().release not in version
    assert int(memory[1]) * 1_024 <= 100 * MIB


def test_it_sees_its_init_and_itself_and_no_other_process(guest: Probe) -> None:
    found = {each["name"] for each in guest("processes")}

    assert found == {"docker-init", "python3"}


def test_its_environment_holds_nothing_of_the_hosts(guest: Probe) -> None:
    found = {name for name in guest("environment") if not name.startswith("ORCHESTRATOR_")}

    assert found == {"PATH", "LANG", "PYTHONDONTWRITEBYTECODE", "HOSTNAME", "HOME"}


@pytest.mark.parametrize("path", ["/tmp", "/dev/shm"])
def test_what_it_writes_it_cannot_run(guest: Probe, path: str) -> None:
    found = guest("plant", path=f"{path}/script")

    assert found["error"] == "EACCES"


def test_disks_and_files_end_at_their_sizes(guest: Probe) -> None:
    tmp = guest("fill", path="/tmp/flood", mb=4 * TMP_MB)
    shared = guest("fill", path="/dev/shm/flood", mb=4)
    data = guest("fill", path="/data/flood", mb=2 * DISK_MB)
    files = guest("open_files", count=4 * OPEN_FILES)

    assert tmp == {"error": "ENOSPC", "bytes": TMP_MB * MIB}
    assert shared == {"error": "ENOSPC", "bytes": MIB}
    assert data["error"] == "ENOSPC"
    assert 0.8 * DISK_MB * MIB < data["bytes"] <= DISK_MB * MIB
    assert (files["error"], files["count"] < OPEN_FILES) == ("EMFILE", True)


# -- what goes too far takes nobody with it ---------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [("spawn", {"count": 2_000}), ("allocate", {"mb": 400})],
    ids=["fork bomb", "memory"],
)
def test_a_plugin_beyond_its_limits_ends_alone_and_is_back(
    guests: Guests, tool: str, arguments: dict[str, int]
) -> None:
    bomber, guest = guests("bomber"), guests("guest")
    before, beside = bomber.status()["restarts"], guest.status()
    failed = bomber.result(tool, **arguments)
    eventually(lambda: bomber.status()["restarts"] > before and bomber.answers(), seconds=60)

    assert failed.status >= 500
    assert guest.answers()
    assert guest.status()["restarts"] == beside["restarts"]
    with engine() as client:
        assert client.inspect_container(beside["container_id"])["State"]["Running"]
