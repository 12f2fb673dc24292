"""Pausing: freezing a whole container and letting it go on, an optional power of an engine.

Beside the nine verbs because only the code sandbox's warm pool needs it; without it idle sandboxes
simply stay awake.
"""

from typing import Protocol

import docker
import docker.errors
import requests

from orchestrator.engine.docker_client import DockerClients
from orchestrator.engine.memory import MemoryEngine
from orchestrator.model.container import ContainerPhase


class Pausing(Protocol):
    """The kernel's freezer: no process of a paused container runs a single instruction."""

    async def pause(self, container_id: str) -> None:
        """Raises ContainerNotFound; EngineFailure if it does not run; quiet if it is paused."""

    async def unpause(self, container_id: str) -> None:
        """Raises ContainerNotFound; quiet if it is not paused."""


class DockerPausing:
    """About 20 ms each on a small machine: Docker starts a process for it."""

    def __init__(self, clients: DockerClients) -> None:
        self._clients = clients

    async def pause(self, container_id: str) -> None:
        await self._do("pause", container_id, quiet="already paused")

    async def unpause(self, container_id: str) -> None:
        await self._do("unpause", container_id, quiet="is not paused")

    async def _do(self, verb: str, container_id: str, *, quiet: str) -> None:
        def call(api: docker.APIClient) -> None:
            try:
                getattr(api, verb)(container_id)
            except docker.errors.APIError as error:
                states = {requests.codes.conflict, requests.codes.server_error}
                if error.status_code in states and quiet in str(error.explanation).lower():
                    return
                raise

        await self._clients.run(call)


class MemoryPausing:
    """The in-memory engine's twin; its containers stand still in name only."""

    def __init__(self, engine: MemoryEngine) -> None:
        self._engine = engine

    async def pause(self, container_id: str) -> None:
        state = await self._engine.inspect(container_id)
        if state is None or state.phase is not ContainerPhase.PAUSED:
            self._engine.pause(container_id)

    async def unpause(self, container_id: str) -> None:
        self._engine.unpause(container_id)
