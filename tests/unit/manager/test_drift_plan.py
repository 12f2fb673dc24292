"""What follows from drift: the plan's steps, and no step at all for a fleet as it should be."""

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.engine.base import LABEL_DIGEST, LABEL_PLUGIN, LABEL_SANDBOX
from orchestrator.manager.actions import Health, Mend, Remove, SetCpu
from orchestrator.manager.drift import Cure, Drifted
from orchestrator.manager.plan import plan
from orchestrator.sandbox.sandbox import PluginSandbox, SandboxState
from tests.unit.manager.loop_house import LABELS, LoopHouse

PIDS = Drifted(field="pids_limit", found=9, expected=128, cure=Cure.SET_BACK)
SHARES = Drifted(field="cpu_shares", found=2, expected=0, cure=Cure.REPLACE)
CPU = Drifted(field="cpu_percent", found=77, expected=10, cure=Cure.SET_BACK)


def steps(words: Any, *drift: Drifted, **seen: Any) -> list[Any]:
    sighting = replace(words.seen("a", **seen), drift=drift)
    return list(plan({"a": words.want("a")}, {"a": [sighting]}, {}, busy={}, now=0.0).actions)


def test_what_can_be_set_back_is_mended(words: Any) -> None:
    assert steps(words, PIDS) == [Mend(plugin_id="a", container_id="c-a")]


def test_what_cannot_has_the_container_replaced_whatever_else_drifted(words: Any) -> None:
    [step] = steps(words, PIDS, SHARES)

    assert step == Remove(
        plugin_id="a",
        container_id="c-a",
        why="drifted: pids_limit: found 9, expected 128; cpu_shares: found 2, expected 0",
    )


def test_a_cpu_quota_has_a_step_of_its_own(words: Any) -> None:
    assert steps(words, CPU, cpu_percent=77) == [
        SetCpu(plugin_id="a", container_id="c-a", cpu_percent=10)
    ]
    assert steps(words, CPU, PIDS, cpu_percent=77) == [Mend(plugin_id="a", container_id="c-a")]


@pytest.mark.parametrize("health", [Health.UNKNOWN, Health.STARTING, Health.STUCK])
def test_only_a_ready_container_is_mended(words: Any, health: Health) -> None:
    taken = steps(words, PIDS, health=health)

    assert not [step for step in taken if isinstance(step, Mend | Remove)]


def test_another_revision_is_not_mended(words: Any) -> None:
    taken = steps(words, PIDS, digest="a-old")

    assert not [step for step in taken if isinstance(step, Mend)]


async def test_a_fleet_as_it_should_be_makes_no_step_in_many_passes(make: Any) -> None:
    house = LoopHouse(full_pass_seconds=1)
    permissions: list[tuple[Any, ...]] = [(), ("external_api",), ("plugin_communication",)]
    deployments = [
        make.deployment(*asked, info={"plugin_id": f"p{number}"})
        for number, asked in enumerate(permissions)
    ]
    for deployment in deployments:
        await run(house, deployment)
    calls = len(house.engine.calls)
    async with house.running():
        house.want(*deployments)
        for _ in range(200):
            house.observer.doubt_all()
            house.loop.wake()
            await house.loop.passed()

    assert len(house.fleet.containers) == len(deployments)
    assert house.steps.taken == []
    assert house.engine.calls[calls:] == []
    assert house.types() == []


async def test_a_change_by_hand_makes_one_step_and_one_event(make: Any) -> None:
    house = LoopHouse()
    deployment = make.deployment()
    container_id = await run(house, deployment)

    async def mend(action: Any) -> None:
        house.engine.adjust(container_id, pids_limit=deployment.compiled.spec.pids_limit)

    house.steps.play = mend
    async with house.running():
        house.want(deployment)
        await house.until(lambda: bool(house.fleet.containers))
        house.engine.adjust(container_id, pids_limit=9_999)
        await house.until(lambda: bool(house.steps.taken))
        for _ in range(20):
            house.loop.wake()
            await house.loop.passed()

    assert house.steps.taken == [Mend(plugin_id="notes", container_id=container_id)]
    assert house.types() == ["plugin.drifted"]
    assert house.fleet.drifts == {}


async def test_what_is_only_to_be_told_makes_no_step(make: Any) -> None:
    house = LoopHouse()
    deployment = make.deployment()
    container_id = await run(house, deployment)
    async with house.running():
        house.want(deployment)
        await house.until(lambda: bool(house.fleet.containers))
        house.engine.adjust(container_id, exec_sessions=1)
        await house.until(lambda: bool(house.fleet.drifts))
        for _ in range(20):
            house.loop.wake()
            await house.loop.passed()

    assert (house.steps.taken, house.types()) == ([], ["plugin.drifted"])


async def run(house: LoopHouse, deployment: Any) -> str:
    """A container of the deployment, ready."""
    compiled = deployment.compiled
    labels = {**LABELS, **labels_of(deployment)}
    container_id = await house.engine.create(
        compiled.spec, name=compiled.container_name, labels=labels
    )
    await house.engine.start(container_id)
    house.fleet.sandboxes[compiled.sandbox_id] = ready_sandbox(house, deployment)
    return container_id


def labels_of(deployment: Any) -> dict[str, str]:
    compiled = deployment.compiled
    return {
        LABEL_PLUGIN: deployment.plugin_id,
        LABEL_SANDBOX: compiled.sandbox_id,
        LABEL_DIGEST: compiled.digest,
    }


def ready_sandbox(house: LoopHouse, deployment: Any) -> PluginSandbox:
    sandbox = PluginSandbox(
        sandbox_id=deployment.compiled.sandbox_id,
        info=deployment.inputs.info,
        limits=deployment.grant.limits,
        calls=house.fleet.policy.calls,
        wheel=house.wheel,
        on_change=lambda _: None,
    )
    sandbox.state = SandboxState.READY
    return sandbox
