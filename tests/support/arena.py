"""Arena: one orchestrator in which hostile probes attack beside a plugin that must not notice.

All attacks of tests/attacks/ share one arena for each runtime, since starting one takes longer than
most attacks do. An attack that ends its own plugin belongs to `doomed` or `lost`, so that the
others' runs are whole; there are two, since each end makes a plugin's next start wait longer.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest

from orchestrator.client.client import DaemonClient
from tests.support.instance import Instance, engine, eventually, new_name
from tests.support.probe import Probe

MIB = 1 << 20
PIDS, OPEN_FILES, TMP_MB, LOG_MB, DISK_MB, MEMORY_MB = 40, 128, 3, 1, 8, 64
OUTSIDE = "only the host may read this"
MOST_DAEMON_MB, MOST_NEW_DESCRIPTORS = 512, 64

_SETTINGS = (
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/domainname",
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/panic",
    "/proc/sys/vm/panic_on_oom",
    "/proc/sys/net/ipv4/ip_forward",
    "/sys/kernel/uevent_helper",
)


RUNC, RUNSC = "runc", "runsc"
_PIDS = {RUNC: PIDS, RUNSC: 160}
_MEMORY_MB = {RUNC: MEMORY_MB, RUNSC: 96}
"""gVisor's own threads and memory count as well; with the fewer it is held before any attack."""

on_gvisor_too = pytest.mark.on_gvisor_too
"""Marks an attack that is tried on both runtimes.

The others are tried on runc alone: gVisor has no such interface, or holds the rule by ending the
plugin, which docs/security.md says of it.
"""


def engine_lacks_gvisor() -> bool:
    """False as well where there is no engine to ask: then each test fails and says why."""
    try:
        with engine() as client:
            return RUNSC not in client.info()["Runtimes"]
    except docker.errors.DockerException:
        return False


@dataclass(frozen=True, slots=True)
class Daemon:
    """What the daemon of an instance looks like from the host."""

    pid: int
    descriptors: int
    memory_mb: int

    @classmethod
    def of(cls, instance: Instance) -> "Daemon":
        pid: int = DaemonClient(instance.home / instance.name / "daemon.sock").status()["pid"]
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        [resident] = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")]
        descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        return cls(pid, descriptors, int(resident) >> 10)


class Arena:
    """Probes by name: `attacker`, `keeper` (shares and a disk), `doomed`, `lost`, `neighbour`."""

    def __init__(self, instance: Instance, runtime: str, shares: Path) -> None:
        self.instance = instance
        self.runtime = runtime
        self.memory_mb = _MEMORY_MB[runtime]
        self.shares = shares
        self.probe = functools.cache(functools.partial(Probe, instance))
        assert self.attacker.inspect()["HostConfig"]["Runtime"] == runtime
        self._daemon = Daemon.of(instance)
        self._neighbour = _life(self.probe("neighbour"))
        self._settings = _settings()

    @property
    def attacker(self) -> Probe:
        return self.probe("attacker")

    @property
    def keeper(self) -> Probe:
        return self.probe("keeper")

    @property
    def doomed(self) -> Probe:
        return self.probe("doomed")

    @property
    def lost(self) -> Probe:
        return self.probe("lost")

    @property
    def neighbour(self) -> Probe:
        return self.probe("neighbour")

    def assert_bystanders_are_well(self) -> None:
        """The neighbour answers in its first run, the daemon is the same, the host unchanged."""
        neighbour = self.neighbour
        assert neighbour.answers()
        assert _life(neighbour) == self._neighbour
        assert _settings() == self._settings
        now = Daemon.of(self.instance)
        assert now.pid == self._daemon.pid
        assert now.memory_mb < MOST_DAEMON_MB
        most = self._daemon.descriptors + MOST_NEW_DESCRIPTORS
        eventually(lambda: Daemon.of(self.instance).descriptors <= most)


def _life(probe: Probe) -> tuple[Any, ...]:
    """What stays the same as long as one run of a plugin lasts."""
    status = probe.status()
    return status["container_id"], status["restarts"], status["status"]


def _settings() -> dict[str, str]:
    """Settings of the host's kernel that a way out of a container would change."""
    agents = Path("/sys/fs/cgroup").glob("*/release_agent")  # cgroup v1
    paths = [*map(Path, _SETTINGS), *agents]
    return {str(path): path.read_text(encoding="utf-8") for path in paths if path.exists()}


@contextlib.contextmanager
def arena(
    folder: Path, *, runtime: str, shares: Path, build: Callable[[str], Path]
) -> Iterator[Arena]:
    """Brought up under a policy of small numbers; nothing may be left of it."""
    instance = Instance(folder, new_name())
    instance.policy(
        container={
            "pids_limit": _PIDS[runtime],
            "open_files": OPEN_FILES,
            "tmp_mb": TMP_MB,
            "log_mb": LOG_MB,
        },
        shares={
            "library": {"path": str(shares / "library")},
            "desk": {"path": str(shares / "desk"), "write": True},
        },
    )
    limits = {"max_cpu_percent": 100, "max_memory_mb": _MEMORY_MB[runtime], "max_disk_mb": DISK_MB}
    more = {} if runtime == RUNC else {"runtime": runtime}
    for name in ("attacker", "doomed", "lost", "neighbour"):
        instance.manifest(name, build=build(name), limits=limits, **more)
    instance.manifest(
        "keeper",
        build=build("keeper"),
        limits=limits,
        permissions=[
            {"file_system_read": {"shares": ["library"]}},
            {"file_system_write": {"shares": ["desk"]}},
        ],
        **more,
    )
    try:
        instance.up()
        yield Arena(instance, runtime, shares)
    finally:
        instance.destroy()
        left = instance.left_over()
        instance.purge()
    assert left == []


def lay_out_shares(root: Path) -> Path:
    """Folders to share, with what an attacker would put there, and a file that nobody shares.

    Anybody may write in them, so that nothing but the mount holds the probe back.
    """
    (root / "outside.txt").write_text(OUTSIDE)
    for name in ("library", "desk"):
        folder = root / name
        folder.mkdir()
        folder.chmod(0o777)
        (folder / "book.txt").write_text("once upon a time")
        (folder / "book.txt").chmod(0o666)
        (folder / "absolute").symlink_to(root / "outside.txt")
        (folder / "relative").symlink_to("../outside.txt")
        (folder / "shadow").symlink_to("/etc/shadow")
    return root
