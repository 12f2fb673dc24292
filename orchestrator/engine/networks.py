"""NetworkStore: networks of a plugin's own, each with a subnet that we choose.

The engine's own address pools end at some thirty networks, so none is left to it.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from orchestrator.errors import Kind, OrchestratorError


class SubnetTaken(OrchestratorError):
    """Another network of the engine overlaps the subnet; the next one may be free."""

    kind, code = Kind.CONFLICT, "subnet_taken"


class SubnetsExhausted(OrchestratorError):
    """Every subnet of the pool overlaps a network of the engine or a route of its host."""

    kind, code = Kind.EXHAUSTED, "subnets_exhausted"


class NetworkNameTaken(OrchestratorError):
    """A network of that name exists: somebody (perhaps a killed daemon) made it already."""

    kind, code = Kind.CONFLICT, "network_name_taken"


class NetworkNotFound(OrchestratorError):
    kind, code = Kind.NOT_FOUND, "network_not_found"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkState:
    """One network as the engine shows it now."""

    name: str
    subnets: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]
    containers: tuple[str, ...] = ()
    """Ids of the running containers in it."""

    def label(self, name: str) -> str:
        """The value of a label, empty where it is missing."""
        return dict(self.labels).get(name, "")


class NetworkStore(Protocol):
    """Every implementation passes tests/engine/test_networks.py."""

    async def create(self, name: str, *, subnet: str, labels: Mapping[str, str]) -> NetworkState:
        """Make it, with a way out to other networks and without IPv6.

        Raises SubnetTaken, NetworkNameTaken, EngineUnavailable.
        """

    async def list(self, labels: Mapping[str, str]) -> list[NetworkState]:
        """The networks that carry every label, by name; with no labels, all of the engine."""

    async def connect(self, name: str, container_id: str) -> None:
        """Put a container into it. Raises NetworkNotFound, ContainerNotFound."""

    async def disconnect(self, name: str) -> None:
        """Take every container out of it, at once; quiet if it is gone."""

    async def remove(self, name: str) -> None:
        """Take every container out of it and remove it; quiet if it is gone."""


def free_subnets(pool: str, taken: Iterable[str], *, length: int, start: int) -> Iterator[str]:
    """The subnets of `pool` that overlap nothing of `taken`, from the `start`-th on, around.

    Different starts keep those who choose at the same moment apart.
    """
    whole = ipaddress.IPv4Network(pool)
    others = [network for network in map(_v4, taken) if network is not None]
    blockers = [network for network in others if network.overlaps(whole)]
    count, size = 1 << (length - whole.prefixlen), 1 << (whole.max_prefixlen - length)
    for number in range(count):
        offset = (start + number) % count * size
        subnet = ipaddress.IPv4Network((int(whole.network_address) + offset, length))
        if not any(subnet.overlaps(blocker) for blocker in blockers):
            yield str(subnet)


def _v4(text: str) -> ipaddress.IPv4Network | None:
    network = ipaddress.ip_network(text, strict=False)
    return network if isinstance(network, ipaddress.IPv4Network) else None
