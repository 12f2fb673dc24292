"""Bounds of calls that an `up` changed hold for what runs, from the next call on."""

from typing import Any

from orchestrator.manager.deployment import Deployment
from orchestrator.sandbox.sandbox import PluginSandbox
from tests.unit.manager.permission_house import PermissionHouse


def sandbox_of(house: PermissionHouse, deployment: Deployment) -> PluginSandbox:
    fleet = house.daemon.manager.fleet
    sandbox: Any = house.daemon.manager.loop._steps._new_sandbox(deployment)
    fleet.sandboxes[sandbox.sandbox_id] = sandbox
    return sandbox


async def test_a_changed_bound_reaches_a_running_plugin_without_a_restart(
    house: PermissionHouse,
) -> None:
    sandbox = sandbox_of(house, house.deployment)
    before = sandbox._desk.calls, sandbox._calls.max_queue, house.deployment.compiled.digest
    house.policy(
        shares={"docs": {"path": str(house.config.parent / "docs")}},
        calls={"max_queue": 3, "max_response_mb": 2},
    )
    await house.up()

    assert (before[0].max_response_mb, before[1]) == (16, 128)
    assert (sandbox._desk.calls.max_response_mb, sandbox._calls.max_queue) == (2, 3)
    assert house.deployment.compiled.digest == before[2]
