"""What `doctor` says of an engine, from what the engine says of itself."""

from typing import Any

import pytest

from orchestrator.engine.base import DiskFinding, DiskWay, EngineInfo
from orchestrator.engine.docker_codec import dropped_limits
from orchestrator.manager.doctor import MachineFacts, diagnose
from orchestrator.manager.finding import Finding, Verdict

HOLDS_ALL = {"MemoryLimit": True, "SwapLimit": True, "CpuCfsQuota": True, "PidsLimit": True}


def limits(driver: str = "cgroupfs", **info: Any) -> Finding:
    engine = EngineInfo(
        name="vm",
        version="20.10.24",
        api_version="1.41",
        cgroup_version=2,
        cgroup_driver=driver,
        dropped_limits=dropped_limits(info),
        storage_driver="overlay2",
        security_options=(),
        runtimes=("runc",),
        has_init=True,
        rootless=False,
        cores=2,
        memory_bytes=1 << 30,
        root_dir="/var/lib/docker",
    )
    facts = MachineFacts(
        engine=engine,
        home_free_bytes=1 << 40,
        home_writable=True,
        disk=DiskFinding(way=DiskWay.LOOP, tried=True, passed_over={}),
        share_obstacle="",
        base_image="",
        guard_image="",
    )
    [found] = [finding for finding in diagnose(facts) if finding.check == "limits"]
    return found


@pytest.mark.parametrize("info", [HOLDS_ALL, {}], ids=["holds all", "says nothing"])
def test_an_engine_that_holds_every_limit_is_well(info: dict[str, bool]) -> None:
    expected = Finding(
        check="limits", verdict=Verdict.OK, found="cgroup v2, driver cgroupfs", advice=""
    )

    assert limits(**info) == expected


def test_an_engine_that_drops_the_limit_of_swap_is_warned_of() -> None:
    found = limits(**{**HOLDS_ALL, "SwapLimit": False})

    assert found.verdict is Verdict.WARNING
    assert found.found == "cgroup v2, driver cgroupfs; not held: swap"
    assert "swapaccount=1" in found.advice


@pytest.mark.parametrize(
    ("field", "limit"),
    [("MemoryLimit", "memory"), ("CpuCfsQuota", "cpu"), ("PidsLimit", "processes")],
)
def test_a_controller_that_was_not_delegated_is_a_problem(field: str, limit: str) -> None:
    found = limits(**{**HOLDS_ALL, field: False})

    assert found.verdict is Verdict.PROBLEM
    assert found.found.endswith(f"; not held: {limit}")
    assert "delegate" in found.advice


def test_without_a_driver_of_cgroups_nothing_is_held_whatever_the_engine_says() -> None:
    found = limits("none", **HOLDS_ALL)

    assert found.verdict is Verdict.PROBLEM
    assert found.found == "cgroup v2, driver none; not held: memory, swap, cpu, processes"
