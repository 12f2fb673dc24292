"""Processor: as many busy loops as there are processes, as urgent as they can be."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.arena import PIDS, Arena

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("bystanders")]


def test_it_cannot_be_served_before_others(arena: Arena) -> None:
    found = arena.attacker("urgency")

    assert found == {"real_time": "EPERM", "nice": "EACCES"}


def test_many_busy_loops_share_what_one_would_get_and_the_neighbour_is_answered(
    arena: Arena,
) -> None:
    loops = PIDS - 10
    with ThreadPoolExecutor(1) as thread:
        hogging = thread.submit(arena.attacker, "hog", processes=loops, seconds=2.0)
        statuses = []
        while not hogging.done():
            statuses.append(arena.neighbour.result("limits").status)
        found = hogging.result()

    # One core is its limit; the kernel counts in periods, so a little more passes.
    assert 0.1 < found["cores"] < 1.35
    assert len(statuses) > 5
    assert set(statuses) == {200}


def test_the_engine_still_has_the_quota_that_it_was_given(arena: Arena) -> None:
    found = arena.attacker.inspect()["HostConfig"]

    assert found["CpuQuota"] == found["CpuPeriod"]
