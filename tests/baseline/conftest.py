"""Two orchestrators with real probes in real containers, one set of them for the whole folder.

`bare` has the default policy and a probe without any permission: the baseline. `limited` has a
policy of small numbers and one probe for each kind of load, so that none disturbs another's proof.
"""

import contextlib
import functools
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.client.client import CallResult, DaemonClient
from tests.support.instance import PLUGINS, Instance, engine, new_name

PROBE = PLUGINS / "probe"
MIB = 1 << 20

PIDS, OPEN_FILES, TMP_MB, LOG_MB = 40, 128, 3, 1
SLOW_PERCENT, DISK_MB, MEMORY_MB, QUEUE, RESPONSE_MB = 20, 8, 64, 3, 1
OUTSIDE = "only the host may read this"


class Probe:
    """One probe's tools, called from the host."""

    def __init__(self, instance: Instance, plugin_id: str) -> None:
        self.instance = instance
        self.plugin_id = plugin_id
        self._client = DaemonClient(instance.home / instance.name / "daemon.sock")

    def __call__(self, tool: str, **arguments: Any) -> Any:
        """The tool's answer; the call itself must succeed."""
        result = self.result(tool, **arguments)
        assert result.status == 200, result.body[:2_000]
        return json.loads(result.body)

    def result(self, tool: str, **arguments: Any) -> CallResult:
        """Whatever the call comes to."""
        return self._client.call(
            self.plugin_id,
            json.dumps(arguments).encode(),
            content_type="application/json",
            tool=tool,
            timeout_seconds=None,
        )

    def answers(self) -> bool:
        """Whether a call goes through right now."""
        return self.result("limits").status == 200

    def status(self) -> dict[str, Any]:
        return self._client.plugin(self.plugin_id)

    def events(self, name: str) -> list[dict[str, Any]]:
        """What `status` tells of events of that type, the oldest first."""
        wanted = f"orchestrator.plugin.{name}"
        return [event["data"] for event in self.status()["events"] if event["type"] == wanted]

    def inspect(self) -> dict[str, Any]:
        """`docker inspect`, now."""
        with engine() as client:
            found: dict[str, Any] = client.inspect_container(self.status()["container_id"])
        return found


@pytest.fixture(scope="session")
def probe_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The probe's folder, to be built under any plugin id: what differs is one line of metadata."""
    made = tmp_path_factory.mktemp("probes")
    program = made / "become-root"
    source = PROBE / "become_root.c"
    subprocess.run(["gcc", "-static", "-Os", "-s", "-o", program, source], check=True)

    def folder(plugin_id: str) -> Path:
        copy = made / plugin_id
        shutil.copytree(PROBE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy2(program, copy / "become-root")
        metadata = (copy / "plugin.yaml").read_text(encoding="utf-8")
        (copy / "plugin.yaml").write_text(
            metadata.replace("plugin_id: probe", f"plugin_id: {plugin_id}"), encoding="utf-8"
        )
        return copy

    return folder


@pytest.fixture(scope="package")
def bare(
    tmp_path_factory: pytest.TempPathFactory, probe_folder: Callable[[str], Path]
) -> Iterator[Probe]:
    """A probe that was granted nothing, under the default policy."""
    instance = Instance(tmp_path_factory.mktemp("bare"), new_name())
    instance.manifest("probe", build=probe_folder("probe"), limits={"max_cpu_percent": 100})
    with _up(instance):
        yield Probe(instance, "probe")


@pytest.fixture(scope="session")
def shares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders that the policy shares, with what an attacker would put there, and one it does not.

    Anybody may write in them, so that nothing but the mount holds the probe back.
    """
    root = tmp_path_factory.mktemp("shares")
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


@pytest.fixture(scope="package")
def limited(
    tmp_path_factory: pytest.TempPathFactory,
    probe_folder: Callable[[str], Path],
    shares: Path,
) -> Iterator[Callable[[str], Probe]]:
    """Probes by name: `busy`, `hungry`, `keeper`, `slow`, `stuck`, `watcher` and `neighbour`."""
    instance = Instance(tmp_path_factory.mktemp("limited"), new_name())
    instance.policy(
        calls={"max_queue": QUEUE, "max_response_mb": RESPONSE_MB},
        container={
            "pids_limit": PIDS,
            "open_files": OPEN_FILES,
            "tmp_mb": TMP_MB,
            "log_mb": LOG_MB,
        },
        shares={
            "library": {"path": str(shares / "library")},
            "desk": {"path": str(shares / "desk"), "write": True},
        },
    )
    write = instance.manifest
    busy = {"max_cpu_percent": 100, "max_concurrent_requests": 2}
    write("busy", build=probe_folder("busy"), limits=busy)
    hungry = {"max_cpu_percent": 100, "max_memory_mb": MEMORY_MB}
    write("hungry", build=probe_folder("hungry"), limits=hungry)
    write(
        "keeper",
        build=probe_folder("keeper"),
        limits={"max_cpu_percent": 100, "max_disk_mb": DISK_MB},
        permissions=[
            {"file_system_read": {"shares": ["library"]}},
            {"file_system_write": {"shares": ["desk"]}},
        ],
    )
    write("slow", build=probe_folder("slow"), limits={"max_cpu_percent": SLOW_PERCENT})
    stuck = {"max_cpu_percent": 100, "max_execution_time_sec": 1, "max_concurrent_requests": 2}
    write("stuck", build=probe_folder("stuck"), limits=stuck)
    watcher = {"max_cpu_percent": 100}
    write("watcher", build=probe_folder("watcher"), limits=watcher, permissions=["system_info"])
    write("neighbour", build=probe_folder("neighbour"), limits={"max_cpu_percent": 100})
    with _up(instance):
        yield functools.cache(functools.partial(Probe, instance))


@contextlib.contextmanager
def _up(instance: Instance) -> Iterator[None]:
    """Brought up, and taken down whatever happens; nothing may be left."""
    try:
        instance.up()
        yield
    finally:
        instance.destroy()
    assert instance.left_over() == []
