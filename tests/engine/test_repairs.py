"""Setting back what somebody changed on a running container; both engines, the same claims."""

from typing import Any

import pytest

from orchestrator.engine.base import ContainerNameTaken, ContainerNotFound
from orchestrator.engine.docker_client import DockerClients
from orchestrator.engine.memory import MemoryEngine
from orchestrator.engine.repairs import DockerRepairs, MemoryRepairs, Repairs
from orchestrator.model.container import Adjustable, ContainerPhase

AS_MADE = Adjustable(memory_bytes=16 << 20, memory_swap_bytes=16 << 20, pids_limit=16)
NOWHERE = "0" * 64
ALL = ("memory_bytes", "memory_swap_bytes", "pids_limit", "restart_policy")


@pytest.fixture
def repairs(world: Any, request: pytest.FixtureRequest) -> Repairs:
    if isinstance(world.engine, MemoryEngine):
        return MemoryRepairs(world.engine)
    return DockerRepairs(request.getfixturevalue("clients"))


async def meddle(world: Any, container_id: str) -> None:
    """`docker update --memory 64m --memory-swap 96m --pids-limit 99 --restart always`."""
    if isinstance(world.engine, MemoryEngine):
        world.engine.adjust(
            container_id,
            memory_bytes=64 << 20,
            memory_swap_bytes=96 << 20,
            pids_limit=99,
            restart_policy="always",
        )
        return
    body = {
        "Memory": 64 << 20,
        "MemorySwap": 96 << 20,
        "PidsLimit": 99,
        "RestartPolicy": {"Name": "always"},
    }

    def update(api: Any) -> None:
        api._result(api._post_json(api._url("/containers/{0}/update", container_id), data=body))

    await world.engine._clients.run(update)


async def test_limits_are_set_back_on_what_runs(world: Any, repairs: Repairs) -> None:
    container_id = await world.run("sleep")
    before = await world.engine.inspect(container_id)
    await meddle(world, container_id)
    changed = await world.engine.inspect(container_id)
    await repairs.set_limits(container_id, world("sleep"), ALL)
    after = await world.engine.inspect(container_id)

    assert before.adjustable == AS_MADE
    assert changed.adjustable == Adjustable(
        memory_bytes=64 << 20, memory_swap_bytes=96 << 20, pids_limit=99, restart_policy="always"
    )
    assert after == before


@pytest.mark.parametrize("fields", [ALL[:1], ALL[1:2], ALL[2:3], ALL[3:]])
async def test_of_the_limits_only_those_that_are_named_are_set_back(
    world: Any, repairs: Repairs, fields: tuple[str, ...]
) -> None:
    container_id = await world.run("sleep")
    await meddle(world, container_id)
    changed = await world.engine.inspect(container_id)
    await repairs.set_limits(container_id, world("sleep"), fields)
    after = await world.engine.inspect(container_id)

    named = {*ALL[:2]} if fields[0] in ALL[:2] else {*fields}  # memory and swap go together
    assert {name for name in ALL if getattr(after.adjustable, name) == getattr(AS_MADE, name)} == (
        named
    )
    assert all(
        getattr(after.adjustable, name) == getattr(changed.adjustable, name)
        for name in {*ALL} - named
    )


async def test_a_name_is_given_back_unless_somebody_has_it(world: Any, repairs: Repairs) -> None:
    first, second = await world.run("sleep"), await world.run("sleep")
    name = (await world.engine.inspect(first)).name
    await repairs.rename(first, f"{name}-other")
    renamed = (await world.engine.inspect(first)).name
    await repairs.rename(first, name)
    await repairs.rename(first, name)
    with pytest.raises(ContainerNameTaken):
        await repairs.rename(second, name)

    assert renamed == f"{name}-other"
    assert (await world.engine.inspect(first)).name == name


async def test_what_is_gone_is_told_and_leaving_no_network_is_quiet(
    world: Any, repairs: Repairs
) -> None:
    container_id = await world.run("sleep")
    await repairs.leave(container_id, "none-of-that-name")
    await repairs.leave(NOWHERE, "none-of-that-name")
    with pytest.raises(ContainerNotFound):
        await repairs.set_limits(NOWHERE, world("sleep"), ALL)
    with pytest.raises(ContainerNotFound):
        await repairs.rename(NOWHERE, "nobody")

    assert (await world.engine.inspect(container_id)).adjustable == AS_MADE


@pytest.mark.docker
async def test_a_network_that_somebody_put_it_into_is_shown_and_left(
    docker_world: Any, clients: DockerClients
) -> None:
    """Docker refuses a second network beside `none`, until somebody takes that one away."""
    repairs = DockerRepairs(clients)
    container_id = await docker_world.run("sleep")

    network = docker_world.name()

    def move(api: Any) -> None:
        api.create_network(network)
        api.disconnect_container_from_network(container_id, "none")
        api.connect_container_to_network(container_id, network)

    await clients.run(move)
    moved = await docker_world.engine.inspect(container_id)
    await repairs.leave(container_id, network)
    await clients.run(lambda api: api.remove_network(network))
    after = await docker_world.engine.inspect(container_id)

    assert moved.adjustable.networks == (network,)
    assert after.adjustable == AS_MADE
    assert after.phase is ContainerPhase.RUNNING


@pytest.mark.docker
async def test_programs_that_somebody_runs_beside_are_counted_while_they_run(
    docker_world: Any, clients: DockerClients
) -> None:
    container_id = await docker_world.run("sleep")

    def execute(api: Any) -> str:
        made: str = api.exec_create(container_id, ["/probe", "sleep"])["Id"]
        api.exec_start(made, detach=True)
        return made

    await clients.run(execute)
    state = await docker_world.engine.inspect(container_id)

    assert state.adjustable.exec_sessions == 1
