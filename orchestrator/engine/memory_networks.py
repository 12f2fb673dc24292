"""MemoryNetworks: the in-memory twin of the network store."""

import asyncio
import ipaddress
from collections.abc import Mapping
from dataclasses import replace

from orchestrator.engine.memory_stores import Failures
from orchestrator.engine.networks import (
    NetworkNameTaken,
    NetworkNotFound,
    NetworkState,
    SubnetTaken,
)


class MemoryNetworks:
    """NetworkStore on paper."""

    def __init__(self) -> None:
        self.failures = Failures()
        self._networks: dict[str, NetworkState] = {}

    async def create(self, name: str, *, subnet: str, labels: Mapping[str, str]) -> NetworkState:
        await self._enter("create")
        if name in self._networks:
            raise NetworkNameTaken(f"The in-memory engine has a network {name} already")
        wanted = ipaddress.ip_network(subnet)
        for other in self._networks.values():
            if any(wanted.overlaps(ipaddress.ip_network(taken)) for taken in other.subnets):
                raise SubnetTaken(f"{subnet} overlaps network {other.name}")
        state = NetworkState(name=name, subnets=(subnet,), labels=tuple(sorted(labels.items())))
        self._networks[name] = state
        return state

    async def list(self, labels: Mapping[str, str]) -> list[NetworkState]:
        await self._enter("list")
        states = sorted(self._networks.values(), key=lambda state: state.name)
        return [state for state in states if labels.items() <= set(state.labels)]

    async def connect(self, name: str, container_id: str) -> None:
        await self._enter("connect")
        state = self._networks.get(name)
        if state is None:
            raise NetworkNotFound(f"The in-memory engine has no network {name}")
        containers = tuple(sorted({*state.containers, container_id}))
        self._networks[name] = replace(state, containers=containers)

    async def disconnect(self, name: str) -> None:
        await self._enter("disconnect")
        if name in self._networks:
            self._networks[name] = replace(self._networks[name], containers=())

    async def remove(self, name: str) -> None:
        await self._enter("remove")
        self._networks.pop(name, None)

    async def _enter(self, verb: str) -> None:
        await asyncio.sleep(0)
        self.failures.check(verb)
