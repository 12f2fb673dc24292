"""Processor: as many busy loops as there are processes, as urgent as they can be."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.arena import PIDS, Arena, on_gvisor_too
from tests.support.instance import engine

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("bystanders")]

LOOPS = {"runc": PIDS - 10, "runsc": 3}
"""Each costs gVisor threads and memory of its own."""


def test_it_cannot_be_served_before_others(arena: Arena) -> None:
    found = arena.attacker("urgency")

    assert found == {"real_time": "EPERM", "nice": "EACCES"}


@on_gvisor_too
def test_many_busy_loops_share_what_one_would_get_and_the_neighbour_is_answered(
    arena: Arena,
) -> None:
    loops = LOOPS[arena.runtime]
    began, used = time.monotonic(), _cpu_seconds(arena)
    with ThreadPoolExecutor(1) as thread:
        hogging = thread.submit(arena.attacker, "hog", processes=loops, seconds=2.0)
        statuses = []
        while not hogging.done():
            statuses.append(arena.neighbour.result("limits").status)
        hogging.result()
    cores = (_cpu_seconds(arena) - used) / (time.monotonic() - began)

    # One core is its limit; the kernel counts in periods, so a little more passes.
    assert 0.1 < cores < 1.35
    assert len(statuses) > 5
    assert set(statuses) == {200}


@on_gvisor_too
def test_the_engine_still_has_the_quota_that_it_was_given(arena: Arena) -> None:
    found = arena.attacker.inspect()["HostConfig"]

    assert found["CpuQuota"] == found["CpuPeriod"]


def _cpu_seconds(arena: Arena) -> float:
    """As the host counts them: what gVisor tells inside is its own reckoning."""
    with engine() as client:
        found = client.stats(arena.attacker.status()["container_id"], stream=False, one_shot=True)
    total: int = found["cpu_stats"]["cpu_usage"]["total_usage"]
    return total / 1e9
