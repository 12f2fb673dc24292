"""Containers on gVisor come and go like others; Docker by itself does not kill them when paused."""

from typing import Any

import pytest

from orchestrator.engine.docker_client import DockerClients
from orchestrator.model.container import ContainerPhase
from orchestrator.model.runtime import Runtime

pytestmark = pytest.mark.docker

ROOM = {"memory_bytes": 64 << 20, "pids_limit": 64}
"""gVisor needs some for itself."""


@pytest.mark.parametrize("runtime", list(Runtime))
@pytest.mark.parametrize("phase", [ContainerPhase.RUNNING, ContainerPhase.PAUSED])
async def test_a_container_is_removed_whatever_it_does(
    docker_world: Any, clients: DockerClients, runtime: Runtime, phase: ContainerPhase
) -> None:
    container_id = await docker_world.run("sleep", **ROOM, runtime=runtime)
    if phase is ContainerPhase.PAUSED:
        await clients.run(lambda api: api.pause(container_id))
    before = await docker_world.engine.inspect(container_id)
    await docker_world.engine.remove(container_id)

    assert before.phase is phase
    assert await docker_world.engine.inspect(container_id) is None


@pytest.mark.parametrize("runtime", list(Runtime))
async def test_a_paused_container_is_stopped(
    docker_world: Any, clients: DockerClients, runtime: Runtime
) -> None:
    container_id = await docker_world.run("sleep", **ROOM, runtime=runtime)
    await clients.run(lambda api: api.pause(container_id))
    await docker_world.engine.stop(container_id, grace_seconds=0)
    after = await docker_world.engine.inspect(container_id)

    assert after.phase is ContainerPhase.EXITED
