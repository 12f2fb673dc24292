"""The kernel's files of a container, as both versions and both of Docker's drivers lay them."""

import os
from pathlib import Path

import pytest

from orchestrator.engine.cgroups import find_groups, groups_of_process, read_usage
from orchestrator.engine.usage import Usage

CONTAINER = "d07627073d0cd2188f43aa2cf884f6dd38b8c78fbbcc5c5101c220f189dc70e8"
V1 = {
    "memory/memory.usage_in_bytes": "9000000\n",
    "memory/memory.stat": "cache 1\ntotal_cache 600000\ntotal_inactive_file 500000\n",
    "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    "memory/cgroup.procs": "0\n",
    "cpuacct/cpuacct.usage": "2500000000\n",
    "cpu/cpu.stat": "nr_periods 64\nnr_throttled 3\nthrottled_time 250000000\n",
    "pids/pids.current": "8\n",
}
V2 = {
    "memory.current": "9000000\n",
    "memory.stat": "anon 1\ninactive_file 500000\n",
    "memory.events": "low 0\noom 2\noom_kill 2\n",
    "cpu.stat": "usage_usec 2500000\nnr_periods 64\nnr_throttled 3\nthrottled_usec 250000\n",
    "pids.current": "8\n",
    "cgroup.procs": "0\n",
}
EXPECTED = Usage(
    memory_bytes=8_500_000,
    cpu_seconds=2.5,
    throttled_seconds=0.25,
    throttled_periods=3,
    periods=64,
    pids=8,
    oom_kills=2,
)


def lay(root: Path, version: int, below: str) -> Path:
    """The files of one container; the folder of its memory."""
    if version == 2:
        (root / "cgroup.controllers").write_text("cpu memory pids\n")
    for name, text in (V2 if version == 2 else V1).items():
        controller, _, file = name.rpartition("/")
        path = root / controller / below / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root / ("" if version == 2 else "memory") / below


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("below", [f"docker/{CONTAINER}", f"system.slice/docker-{CONTAINER}.scope"])
def test_a_containers_use_is_read(tmp_path: Path, version: int, below: str) -> None:
    lay(tmp_path, version, below)
    groups = find_groups(CONTAINER, root=tmp_path)

    assert groups is not None
    assert groups.version == version
    assert read_usage(groups) == EXPECTED


@pytest.mark.parametrize("version", [1, 2])
def test_a_group_below_another_parent_is_found_by_its_process(tmp_path: Path, version: int) -> None:
    below = f"machines.slice/docker-{CONTAINER}.scope"
    root, proc = tmp_path / "cgroup", tmp_path / "proc"
    root.mkdir()
    (proc / "77").mkdir(parents=True)
    lay(root, version, below)
    rows = [f"0::/{below}"] if version == 2 else [f"9:memory:/{below}", f"4:cpu,cpuacct:/{below}"]
    (proc / "77" / "cgroup").write_text("\n".join(rows) + "\n")
    found = groups_of_process(77, CONTAINER, root=root, proc=proc)

    assert find_groups(CONTAINER, root=root) is None
    assert found is not None
    assert read_usage(found) == EXPECTED


def test_a_process_of_that_number_that_is_another_is_not_taken(tmp_path: Path) -> None:
    lay(tmp_path, 2, "user.slice/somebody")
    (tmp_path / "77").mkdir()
    (tmp_path / "77" / "cgroup").write_text("0::/user.slice/somebody\n")

    assert groups_of_process(77, CONTAINER, root=tmp_path, proc=tmp_path) is None


@pytest.mark.parametrize("version", [1, 2])
def test_a_group_that_is_gone_is_nothing(tmp_path: Path, version: int) -> None:
    folder = lay(tmp_path, version, f"docker/{CONTAINER}")
    groups = find_groups(CONTAINER, root=tmp_path)
    assert groups is not None
    for file in folder.iterdir():
        file.unlink()

    assert read_usage(groups) is None


def test_what_a_kernel_does_not_tell_is_none(tmp_path: Path) -> None:
    folder = lay(tmp_path, 2, f"docker/{CONTAINER}")
    (folder / "cpu.stat").write_text("usage_usec 1000000\n")
    (folder / "memory.events").unlink()
    groups = find_groups(CONTAINER, root=tmp_path)
    assert groups is not None
    usage = read_usage(groups)

    assert usage is not None
    assert (usage.cpu_seconds, usage.periods, usage.oom_kills) == (1.0, None, None)


def disk_of(tmp_path: Path, *, procs: str) -> Usage | None:
    folder = lay(tmp_path, 2, f"docker/{CONTAINER}")
    (folder / "cgroup.procs").write_text(procs)
    groups = find_groups(CONTAINER, root=tmp_path)
    assert groups is not None
    return read_usage(groups, disk="/data", proc=tmp_path / "proc")


def test_the_disk_at_the_path_is_measured(tmp_path: Path) -> None:
    (tmp_path / "proc/77/root/data").mkdir(parents=True)
    usage = disk_of(tmp_path, procs="77\n78\n")
    room = os.statvfs(tmp_path)

    assert usage is not None
    assert usage.disk_size_bytes == room.f_blocks * room.f_frsize


def test_a_link_that_an_image_laid_there_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "proc/77/root").mkdir(parents=True)
    (tmp_path / "proc/77/root/data").symlink_to("/etc")
    usage = disk_of(tmp_path, procs="77\n")

    assert usage is not None
    assert usage.disk_bytes is None


def test_processes_out_of_sight_tell_of_no_disk(tmp_path: Path) -> None:
    (tmp_path / "proc/0/root/data").mkdir(parents=True)
    usage = disk_of(tmp_path, procs="0\n0\n")

    assert usage is not None
    assert usage.disk_bytes is None
