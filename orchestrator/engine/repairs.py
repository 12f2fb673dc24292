"""Repairs: setting back what somebody changed on a running container; an optional power.

Beside the nine verbs because only the repair of drift needs it; without it such a container is
replaced.
"""

from collections.abc import Collection
from typing import Any, Final, Protocol

import docker
import docker.errors
import requests

from orchestrator.engine.base import ContainerNameTaken
from orchestrator.engine.docker_client import DockerClients
from orchestrator.engine.memory import MemoryEngine
from orchestrator.model.container import ContainerSpec

_MEMORY: Final = frozenset({"memory_bytes", "memory_swap_bytes"})


class Repairs(Protocol):
    """Every implementation passes tests/engine/test_repairs.py."""

    async def set_limits(
        self, container_id: str, spec: ContainerSpec, fields: Collection[str]
    ) -> None:
        """Those `fields` of its Adjustable as `spec` has them, and no other.

        They are memory_bytes and memory_swap_bytes (the engine takes both or neither), pids_limit,
        restart_policy.

        Raises ContainerNotFound; EngineFailure where more memory is in use than that.
        """

    async def rename(self, container_id: str, name: str) -> None:
        """Raises ContainerNotFound, ContainerNameTaken; quiet if that is its name."""

    async def leave(self, container_id: str, network: str) -> None:
        """Take it out of the network; quiet if it is not in it."""


class DockerRepairs:
    """Through `POST /containers/{id}/update` and its kin."""

    def __init__(self, clients: DockerClients) -> None:
        self._clients = clients

    async def set_limits(
        self, container_id: str, spec: ContainerSpec, fields: Collection[str]
    ) -> None:
        body: dict[str, Any] = {}
        if _MEMORY & {*fields}:
            body |= {"Memory": spec.memory_bytes, "MemorySwap": spec.memory_bytes}
        if "pids_limit" in fields:
            body["PidsLimit"] = spec.pids_limit
        if "restart_policy" in fields:
            body["RestartPolicy"] = {"Name": "no", "MaximumRetryCount": 0}

        def call(api: Any) -> None:
            url = f"{api.base_url}/v{api.api_version}/containers/{container_id}/update"
            # Not the SDK's `update_container`: it knows nothing of the limit on processes.
            api._raise_for_status(api.post(url, json=body))  # noqa: SLF001 — it has no public way

        await self._clients.run(call)

    async def rename(self, container_id: str, name: str) -> None:
        def call(api: docker.APIClient) -> None:
            if api.inspect_container(container_id)["Name"].removeprefix("/") == name:
                return
            try:
                api.rename(container_id, name)
            except docker.errors.APIError as error:
                if error.status_code == requests.codes.conflict:
                    raise ContainerNameTaken(
                        f"The container's name {name} is taken: {error.explanation}"
                    ) from error
                raise

        await self._clients.run(call)

    async def leave(self, container_id: str, network: str) -> None:
        def call(api: docker.APIClient) -> None:
            try:
                api.disconnect_container_from_network(container_id, network, force=True)
            except docker.errors.NotFound:
                return
            except docker.errors.APIError as error:
                if "is not connected" not in str(error.explanation):
                    raise

        await self._clients.run(call)


class MemoryRepairs:
    """The in-memory engine's twin."""

    def __init__(self, engine: MemoryEngine) -> None:
        self._engine = engine

    async def set_limits(
        self, container_id: str, spec: ContainerSpec, fields: Collection[str]
    ) -> None:
        self._engine.calls.append(("set_limits", container_id))
        as_made: dict[str, Any] = {}
        if _MEMORY & {*fields}:
            as_made |= {"memory_bytes": spec.memory_bytes, "memory_swap_bytes": spec.memory_bytes}
        if "pids_limit" in fields:
            as_made["pids_limit"] = spec.pids_limit
        if "restart_policy" in fields:
            as_made["restart_policy"] = "no"
        self._engine.adjust(container_id, **as_made)

    async def rename(self, container_id: str, name: str) -> None:
        for other in await self._engine.list({}):
            if other.name == name and other.container_id != container_id:
                raise ContainerNameTaken(f"The container's name {name} is taken")
        self._engine.adjust(container_id, name=name)

    async def leave(self, container_id: str, network: str) -> None:
        state = await self._engine.inspect(container_id)
        found = state.adjustable if state is not None else None
        if found is not None and network in found.networks:
            left = tuple(name for name in found.networks if name != network)
            self._engine.adjust(container_id, networks=left)
