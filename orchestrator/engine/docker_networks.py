"""DockerNetworks: bridge networks of a Docker engine."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

import docker
import docker.errors
import requests
from docker.types import IPAMConfig, IPAMPool

from orchestrator.engine.base import NO_MARKS, EngineFailure
from orchestrator.engine.docker_client import DockerClients
from orchestrator.engine.networks import (
    NetworkNameTaken,
    NetworkNotFound,
    NetworkState,
    SubnetTaken,
)

_OPTIONS = {
    # Its one container has no neighbour; should one ever be put in, they do not meet.
    "com.docker.network.bridge.enable_icc": "false",
    "com.docker.network.bridge.enable_ip_masquerade": "true",
}


class DockerNetworks:
    """Implements NetworkStore."""

    def __init__(self, clients: DockerClients, *, marks: Mapping[str, str] = NO_MARKS) -> None:
        self._clients = clients
        self._marks = marks

    async def create(self, name: str, *, subnet: str, labels: Mapping[str, str]) -> NetworkState:
        """See NetworkStore. The bridge cannot go without an address on the host.

        `inhibit_ipv4` and the gateway mode `isolated` would spare it, and with it the way out.
        """

        def call(api: docker.APIClient) -> None:
            try:
                api.create_network(
                    name,
                    driver="bridge",
                    options=_OPTIONS,
                    ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=subnet)]),
                    labels={**labels, **self._marks},
                    enable_ipv6=False,
                    check_duplicate=True,
                )
            except docker.errors.APIError as error:
                words = str(error.explanation).lower()
                if "overlap" in words:
                    raise SubnetTaken(f"{subnet} is taken: {error.explanation}") from error
                if error.status_code == requests.codes.conflict and "already exists" in words:
                    raise NetworkNameTaken(f"Network {name} exists already") from error
                raise

        await self._clients.run(call)
        made = await self._inspect(name)
        if made is None:
            raise EngineFailure(f"Network {name} was made, but the engine has none of that name")
        # An engine that does not know an option ignores it in silence: look at what it made.
        if made["EnableIPv6"] or _subnets(made) != (subnet,):
            await self.remove(name)
            raise EngineFailure(
                f"Network {name}: the engine made {', '.join(_subnets(made))}"
                f" (IPv6: {made['EnableIPv6']}), expected {subnet} alone without IPv6"
            )
        return _state(made)

    async def list(self, labels: Mapping[str, str]) -> list[NetworkState]:
        wanted = [f"{name}={value}" for name, value in labels.items()]
        found: list[dict[str, Any]] = await self._clients.run(
            lambda api: api.networks(filters={"label": wanted} if wanted else None)
        )
        # The listing leaves the containers out.
        raw = await asyncio.gather(*(self._inspect(item["Id"]) for item in found))
        return sorted((_state(it) for it in raw if it is not None), key=lambda state: state.name)

    async def connect(self, name: str, container_id: str) -> None:
        def call(api: docker.APIClient) -> None:
            try:
                api.connect_container_to_network(container_id, name)
            except docker.errors.APIError as error:
                words = str(error.explanation)
                if "already exists in network" in words:
                    return
                if error.status_code == requests.codes.not_found and "network" in words.lower():
                    raise NetworkNotFound(f"The Docker engine has no network {name}") from error
                raise

        await self._clients.run(call)

    async def disconnect(self, name: str) -> None:
        found = await self._inspect(name)
        if found is None:
            return

        for container_id in found["Containers"] or ():
            await self._clients.run(partial(_disconnect, name, container_id))

    async def remove(self, name: str) -> None:
        await self.disconnect(name)

        def call(api: docker.APIClient) -> None:
            try:
                api.remove_network(name)
            except docker.errors.NotFound:
                return

        await self._clients.run(call)

    async def _inspect(self, name: str) -> dict[str, Any] | None:
        def call(api: docker.APIClient) -> dict[str, Any] | None:
            try:
                found: dict[str, Any] = api.inspect_network(name)
            except docker.errors.NotFound:
                return None
            return found

        return await self._clients.run(call)


def _disconnect(name: str, container_id: str, api: docker.APIClient) -> None:
    try:
        api.disconnect_container_from_network(container_id, name, force=True)
    except docker.errors.NotFound:
        return
    except docker.errors.APIError as error:
        if "is not connected" not in str(error.explanation):
            raise


def _subnets(network: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(item["Subnet"] for item in network["IPAM"]["Config"] or () if item.get("Subnet"))


def _state(network: Mapping[str, Any]) -> NetworkState:
    return NetworkState(
        name=network["Name"],
        subnets=_subnets(network),
        labels=tuple(sorted((network["Labels"] or {}).items())),
        containers=tuple(sorted(network["Containers"] or ())),
    )
