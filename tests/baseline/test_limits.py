"""Limits of the container: memory, CPU, processes, open files, disks in memory, logs."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.baseline.conftest import (
    LOG_MB,
    MEMORY_MB,
    MIB,
    OPEN_FILES,
    PIDS,
    SLOW_PERCENT,
    TMP_MB,
    Probe,
)
from tests.support.instance import engine, eventually

pytestmark = pytest.mark.docker

Limited = Callable[[str], Probe]


# -- memory -----------------------------------------------------------------------------------


def test_memory_below_the_limit_is_there_to_be_used(limited: Limited) -> None:
    found = limited("hungry")("allocate", mb=MEMORY_MB // 2)

    assert found == {"error": "", "mb": MEMORY_MB // 2}


def test_a_plugin_above_its_memory_limit_is_killed_told_of_and_back(limited: Limited) -> None:
    hungry, neighbour = limited("hungry"), limited("neighbour")
    before, beside = hungry.status(), neighbour.status()
    failed = hungry.result("allocate", mb=200)
    eventually(lambda: hungry.status()["restarts"] == before["restarts"] + 1 and hungry.answers())
    after = hungry.instance.status("hungry")

    assert failed.status >= 500
    assert (after["status"], after["reason"]) == ("active", "oom_killed")
    assert after["last_failure"]["reason"] == "oom_killed"
    assert [event["reason"] for event in hungry.events("died")] == ["oom_killed"]
    assert "oom_killed" in hungry.instance.run("status", "hungry").stdout
    assert hungry.instance.ps()["hungry"]["reason"] == "oom_killed"
    assert neighbour.answers()
    assert neighbour.inspect()["State"]["StartedAt"] == _started(neighbour, beside)


def test_a_child_above_the_memory_limit_dies_alone_and_is_told_of(limited: Limited) -> None:
    hungry = limited("hungry")
    before = hungry.status()
    told = len(hungry.events("oom"))
    found = hungry("allocate", mb=200, in_child=True)
    eventually(lambda: len(hungry.events("oom")) > told, seconds=5)

    assert found["error"] == "SIGKILL"
    assert hungry.answers()
    assert hungry.status()["restarts"] == before["restarts"]


def test_files_in_memory_count_as_memory(limited: Limited) -> None:
    hungry = limited("hungry")
    hungry("fill", path="/tmp/ballast", mb=TMP_MB - 1, keep=True)
    found = hungry("allocate", mb=MEMORY_MB - TMP_MB, in_child=True)
    hungry("remove", path="/tmp/ballast")

    assert found["error"] == "SIGKILL"


def _started(probe: Probe, then: dict[str, object]) -> str:
    """When the container that ran `then` was started; the claim is that it still is that run."""
    assert probe.status()["container_id"] == then["container_id"]
    assert probe.status()["restarts"] == then["restarts"]
    return str(probe.inspect()["State"]["StartedAt"])


# -- CPU --------------------------------------------------------------------------------------


def test_a_busy_loop_gets_its_share_of_a_core_and_no_more(limited: Limited) -> None:
    found = limited("slow")("spin", seconds=1.5)["share"]

    assert 0.25 * SLOW_PERCENT / 100 < found < 1.35 * SLOW_PERCENT / 100


def test_until_it_has_dialled_in_it_may_use_a_whole_core(limited: Limited) -> None:
    slow = limited("slow")
    before = slow.status()
    quotas: list[int] = []
    with engine() as client:
        client.kill(before["container_id"])

        def look() -> bool:
            found = client.inspect_container(before["container_id"])
            if found["State"]["Running"]:
                quotas.append(found["HostConfig"]["CpuQuota"])
            return bool(quotas) and slow.status()["status"] == "active"

        eventually(look, every=0.005)

    assert [quota for quota, _ in itertools.groupby(quotas)] == [100_000, SLOW_PERCENT * 1_000]
    assert slow.status()["restarts"] == before["restarts"] + 1


def test_after_the_start_the_engine_holds_it_to_its_own_share(limited: Limited) -> None:
    found = limited("slow").inspect()["HostConfig"]

    assert found["CpuQuota"] / found["CpuPeriod"] == SLOW_PERCENT / 100


# -- processes and files ----------------------------------------------------------------------


def test_a_fork_bomb_ends_at_the_limit_of_processes_and_the_plugin_lives(
    limited: Limited,
) -> None:
    busy = limited("busy")
    before = busy.status()
    found = busy("spawn", count=200)

    assert found["error"] == "EAGAIN"
    assert PIDS // 2 < found["count"] < PIDS
    assert busy.answers()
    assert busy.status()["container_id"] == before["container_id"]
    assert busy.status()["restarts"] == before["restarts"]


def test_one_plugins_fork_bomb_takes_no_process_from_another(limited: Limited) -> None:
    limited("busy")("spawn", count=200)
    found = limited("neighbour")("spawn", count=PIDS // 2)

    assert found == {"error": "", "count": PIDS // 2}


def test_open_files_end_at_their_limit(limited: Limited) -> None:
    busy = limited("busy")
    found = busy("open_files", count=4 * OPEN_FILES)

    assert found["error"] == "EMFILE"
    assert OPEN_FILES // 2 < found["count"] < OPEN_FILES
    assert busy("limits")["nofile"] == [OPEN_FILES, OPEN_FILES]
    assert busy.answers()


# -- disks in memory, and the log -------------------------------------------------------------


def test_tmp_is_full_at_its_size_and_free_again_afterwards(limited: Limited) -> None:
    busy = limited("busy")
    found = busy("fill", path="/tmp/flood", mb=4 * TMP_MB)

    assert found == {"error": "ENOSPC", "bytes": TMP_MB * MIB}
    assert busy("fill", path="/tmp/little", mb=1)["error"] == ""


def test_tmp_holds_a_limited_number_of_files(limited: Limited) -> None:
    busy = limited("busy")
    found = busy("inodes", path="/tmp", count=4_096)

    assert found["error"] == "ENOSPC"
    assert TMP_MB * 256 - 16 < found["count"] <= TMP_MB * 256
    assert busy.answers()


def test_a_flood_of_output_fills_no_more_than_two_log_files(limited: Limited) -> None:
    busy = limited("busy")
    folder = Path(busy.inspect()["LogPath"]).parent
    busy("shout", mb=20)
    time.sleep(0.5)  # what lies in the pipe is still on its way
    sizes = [path.stat().st_size for path in folder.glob("*-json.log*")]

    assert len(sizes) == 2
    # A file is changed when it is past its size: by one line at most, of 16 KiB and its frame.
    assert MIB < sum(sizes) <= 2 * (LOG_MB * MIB + 32_768)
    assert busy.answers()
