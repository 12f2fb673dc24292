"""A plugin under the engine's quota and version 2 of cgroups; the kernel's own files are read.

The daemon runs as a user of the group `docker`, as one does who has no root: so no loop disks.
"""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.client.client import DaemonClient
from orchestrator.client.spawn import daemon_command
from tests.support.instance import PATIENCE, Instance, engine, eventually, new_name
from tests.support.probe import Probe, probe_builder

pytestmark = pytest.mark.docker

MIB = 1 << 20
CPU_PERCENT, DISK_MB, MEMORY_MB, PIDS = 50, 8, 64, 40
QUOTA = "engine quota (bytes; not the number of files, nor programs)"


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Probe]:
    instance = Instance(tmp_path_factory.mktemp("machine"), new_name())
    instance.policy(
        container={"pids_limit": PIDS},
        lifecycle={"start_deadline_seconds": int(30 * PATIENCE)},
        rollout={"progress_deadline_seconds": int(120 * PATIENCE)},
        reconcile={"full_pass_seconds": 5},
    )
    instance.manifest(
        "probe",
        build=probe_builder(tmp_path_factory.mktemp("probes"))("probe"),
        permissions=["file_system_write"],
        limits={
            "max_cpu_percent": CPU_PERCENT,
            "max_disk_mb": DISK_MB,
            "max_memory_mb": MEMORY_MB,
            "max_execution_time_sec": 300,
        },
    )
    with daemon(instance):
        try:
            instance.up("--config", str(instance.config))
            yield Probe(instance, "probe")
        finally:
            instance.destroy()
    assert instance.left_over() == []


@contextlib.contextmanager
def daemon(instance: Instance) -> Iterator[None]:
    """As a service: `up` gives one that it starts half a minute, too little for this processor."""
    folder = instance.home / instance.name
    folder.mkdir(parents=True)
    with (folder / "daemon.log").open("ab") as log:
        process = subprocess.Popen(
            daemon_command(instance.name), env=instance.environment(), stdout=log, stderr=log
        )
    client = DaemonClient(folder / "daemon.sock")
    try:
        eventually(client.is_running, seconds=60, every=2)
        yield
        process.wait(60 * PATIENCE)
    finally:
        process.kill()
        process.wait()


def kernels(probe: Probe, file: str) -> str:
    """A file of the container's own cgroup."""
    group = Path("/sys/fs/cgroup/docker", probe.status()["container_id"])
    return (group / file).read_text(encoding="utf-8").strip()


def counted(probe: Probe, file: str, key: str) -> int:
    rows = dict(line.split() for line in kernels(probe, file).splitlines())
    return int(rows[key])


def held(probe: Probe) -> dict[str, str]:
    """What the kernel holds the plugin to."""
    return {
        file: kernels(probe, file)
        for file in ("memory.max", "memory.swap.max", "pids.max", "cpu.max")
    }


LIMITS = {
    "memory.max": str(MEMORY_MB * MIB),
    "memory.swap.max": "0",
    "pids.max": str(PIDS),
    "cpu.max": f"{CPU_PERCENT * 1_000} 100000",
}


def test_doctor_and_status_say_what_holds_the_disk_and_the_limits(probe: Probe) -> None:
    findings = json.loads(probe.instance.run("doctor", "--json", expect=None).stdout)
    found = {each["check"]: each for each in findings}

    assert found["disk limit"]["found"] == f"enforced by: {QUOTA}, seen by overfilling one"
    assert (found["limits"]["verdict"], found["limits"]["found"]) == (
        "ok",
        "cgroup v2, driver cgroupfs",
    )
    assert probe.status()["disk_enforced_by"] == QUOTA


def test_the_kernel_has_every_limit(probe: Probe) -> None:
    assert held(probe) == LIMITS


def test_a_full_disk_is_an_error_to_the_plugin_at_exactly_its_size(probe: Probe) -> None:
    before = probe.status()
    filled = probe("fill", path="/data/flood", mb=2 * DISK_MB, keep=True)
    still = probe("fill", path="/data/more", mb=1)
    after = probe.status()
    probe("remove", path="/data/flood")

    assert filled == {"error": "ENOSPC", "bytes": DISK_MB * MIB}
    assert (still["error"], still["bytes"]) == ("ENOSPC", 0)
    assert (after["container_id"], after["restarts"]) == (
        before["container_id"],
        before["restarts"],
    )


def test_a_file_cannot_be_moved_out_of_the_quota(probe: Probe) -> None:
    found = probe("leave_project", path="/data/elsewhere", project=0)
    filled = probe("fill", path="/data/elsewhere", mb=2 * DISK_MB)

    assert found == {"error": "EPERM", "flags": "EPERM"}
    assert filled == {"error": "ENOSPC", "bytes": DISK_MB * MIB}


def test_a_fork_bomb_ends_at_the_limit_of_processes(probe: Probe) -> None:
    refused = counted(probe, "pids.events", "max")
    found = probe("spawn", count=2 * PIDS)

    assert found["error"] == "EAGAIN"
    assert PIDS // 2 < found["count"] < PIDS
    assert counted(probe, "pids.events", "max") > refused
    assert probe.answers()


def test_a_busy_loop_is_throttled_to_its_share(probe: Probe) -> None:
    throttled = counted(probe, "cpu.stat", "nr_throttled")
    found = probe("spin", seconds=5)["share"]

    assert 0 < found < 1.35 * CPU_PERCENT / 100
    assert counted(probe, "cpu.stat", "nr_throttled") > throttled


def test_a_child_above_the_memory_limit_dies_alone_and_is_told_of(probe: Probe) -> None:
    before = probe.status()["restarts"]
    told = len(probe.events("oom"))
    found = probe("allocate", mb=2 * MEMORY_MB, in_child=True)
    eventually(lambda: len(probe.events("oom")) > told)

    assert found["error"] == "SIGKILL"
    assert counted(probe, "memory.events", "oom_kill") > 0
    assert probe.answers()
    assert probe.status()["restarts"] == before


def test_what_somebody_changes_by_the_engines_means_is_set_back_in_the_kernel(probe: Probe) -> None:
    container = probe.status()["container_id"]
    with engine() as client:
        client.update_container(
            container, mem_limit=512 * MIB, memswap_limit=1024 * MIB, cpu_quota=90_000
        )
        changed = held(probe)
        eventually(lambda: held(probe) == LIMITS, seconds=30, every=1)

    assert (changed["memory.max"], changed["memory.swap.max"]) == (str(512 * MIB), str(512 * MIB))
    assert changed["cpu.max"] == "90000 100000"
    assert probe.status()["container_id"] == container


def test_a_plugin_above_its_memory_limit_is_told_of_and_comes_back_to_its_data(
    probe: Probe,
) -> None:
    before = probe.status()["restarts"]
    probe("write", path="/data/note", text="kept")
    failed = probe.result("allocate", mb=4 * MEMORY_MB)
    eventually(lambda: probe.status()["restarts"] == before + 1 and probe.answers(), seconds=60)
    found = probe.instance.status("probe")

    assert failed.status >= 500
    assert (found["reason"], found["last_failure"]["reason"]) == ("oom_killed", "oom_killed")
    assert probe("read", path="/data/note")["result"] == "kept"
    assert held(probe) == LIMITS
