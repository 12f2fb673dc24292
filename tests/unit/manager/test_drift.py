"""What somebody may change on a running container: each field is seen, and has its cure."""

from dataclasses import fields, replace
from typing import Any

import pytest

from orchestrator.engine.base import LABEL_SANDBOX
from orchestrator.manager.drift import Cure, Drifted, drift_of
from orchestrator.model.container import Adjustable
from orchestrator.model.runtime import Runtime
from tests.unit.manager.drifting import as_made

MIB = 1 << 20


@pytest.mark.parametrize("permissions", [(), ("network_access",), ("file_system_write",)])
def test_a_container_as_it_was_made_has_not_drifted(make: Any, permissions: Any) -> None:
    deployment = make.deployment(*permissions)

    assert drift_of(deployment.compiled, as_made(make, deployment)) == ()


@pytest.mark.parametrize(
    ("field", "found", "told", "cure"),
    [
        ("memory_bytes", 512 * MIB, (512 * MIB, 128 * MIB), Cure.SET_BACK),
        ("memory_swap_bytes", 512 * MIB, (512 * MIB, 128 * MIB), Cure.SET_BACK),
        ("pids_limit", 0, (0, 128), Cure.SET_BACK),
        ("restart_policy", "always", ("always", "no"), Cure.SET_BACK),
        ("networks", ("bridge", "lan"), ("bridge, lan", "none"), Cure.SET_BACK),
        ("memory_reservation_bytes", MIB, (MIB, 0), Cure.REPLACE),
        ("cpu_shares", 2, (2, 0), Cure.REPLACE),
        ("cpuset_cpus", "0", ("0", ""), Cure.REPLACE),
        ("cpuset_mems", "0", ("0", ""), Cure.REPLACE),
        ("blkio_weight", 10, (10, 0), Cure.REPLACE),
        ("exec_sessions", 1, (1, 0), Cure.TELL),
    ],
)
def test_each_field_that_can_be_changed_is_compared(
    make: Any, field: str, found: Any, told: tuple[Any, Any], cure: Cure
) -> None:
    deployment = make.deployment(spec={"limits": {"max_memory_mb": 128}})
    container = as_made(make, deployment, **{field: found})

    assert drift_of(deployment.compiled, container) == (
        Drifted(field=field, found=told[0], expected=told[1], cure=cure),
    )


def test_no_field_is_forgotten(make: Any) -> None:
    deployment = make.deployment()
    other = {it.name: ("x",) if it.name == "networks" else "7" for it in fields(Adjustable)}
    found = drift_of(deployment.compiled, as_made(make, deployment, **other))

    assert {it.field for it in found} == set(other)


def test_a_cpu_quota_and_a_name_are_seen_where_nothing_else_was_asked(make: Any) -> None:
    deployment = make.deployment()
    container = replace(make.container(deployment), name="mine", cpu_percent=0)

    assert [
        (it.field, it.found, it.expected) for it in drift_of(deployment.compiled, container)
    ] == [
        ("cpu_percent", 0, deployment.compiled.spec.cpu_percent),
        ("name", "mine", deployment.compiled.container_name),
    ]


def test_a_replica_has_its_own_name(make: Any) -> None:
    deployment = make.deployment()
    compiled = deployment.compiled
    sandbox_id = f"{compiled.sandbox_id}-1"
    name = f"{compiled.container_name}-1"
    container = make.container(deployment, name=name, labels={LABEL_SANDBOX: sandbox_id})

    assert drift_of(compiled, container) == ()


@pytest.mark.parametrize(
    ("field", "found", "cure"),
    [("memory_bytes", 1, Cure.REPLACE), ("networks", ("bridge",), Cure.SET_BACK)],
)
def test_gvisors_limits_are_not_changed_while_it_runs(
    make: Any, field: str, found: Any, cure: Cure
) -> None:
    deployment = make.deployment(spec={"runtime": "runsc"})
    container = as_made(make, deployment, **{field: found})
    [drifted] = drift_of(deployment.compiled, container)

    assert deployment.compiled.spec.runtime is Runtime.RUNSC
    assert drifted.cure is cure


def test_a_drift_says_what_was_found_and_what_was_expected(make: Any) -> None:
    deployment = make.deployment()
    [drifted] = drift_of(deployment.compiled, as_made(make, deployment, pids_limit=9_999))

    assert str(drifted) == "pids_limit: found 9999, expected 128"
