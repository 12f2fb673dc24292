"""Limits of the container's processor; tests/attacks/ has what is taken until there is no more."""

import itertools
from collections.abc import Callable

import pytest

from tests.baseline.conftest import SLOW_PERCENT
from tests.support.instance import engine, eventually
from tests.support.probe import Probe

pytestmark = pytest.mark.docker

Limited = Callable[[str], Probe]


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
