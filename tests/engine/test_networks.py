"""What every network store must do; and what Docker's networks are made of."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from orchestrator.engine.base import LABEL_INSTANCE, ContainerNotFound
from orchestrator.engine.docker_client import DockerClients
from orchestrator.engine.docker_networks import DockerNetworks
from orchestrator.engine.memory_networks import MemoryNetworks
from orchestrator.engine.networks import (
    NetworkNameTaken,
    NetworkNotFound,
    NetworkState,
    NetworkStore,
    SubnetTaken,
    free_subnets,
)

RUN = f"test-{os.getpid()}-{os.urandom(4).hex()}"
LABELS = {LABEL_INSTANCE: RUN}
# Of the 16 /29s beside each other none is another test run's, as far as chance goes.
_NET = f"10.214.{os.urandom(1)[0]}"
SUBNET, OTHER_SUBNET = f"{_NET}.0/29", f"{_NET}.8/29"
_numbers = itertools.count(1)


def name() -> str:
    return f"{RUN}-{next(_numbers)}"


@pytest.fixture
async def docker_store(clients: DockerClients) -> AsyncIterator[DockerNetworks]:
    store = DockerNetworks(clients)
    yield store
    for network in await store.list(LABELS):
        await store.remove(network.name)


@pytest.fixture
def memory_store() -> MemoryNetworks:
    return MemoryNetworks()


@pytest.fixture(params=["memory", pytest.param("docker", marks=pytest.mark.docker)])
def store(request: pytest.FixtureRequest) -> NetworkStore:
    found: NetworkStore = request.getfixturevalue(f"{request.param}_store")
    return found


async def test_a_network_is_what_was_asked_for(store: NetworkStore) -> None:
    wanted = name()
    made = await store.create(wanted, subnet=SUBNET, labels=LABELS)

    assert made == NetworkState(
        name=wanted, subnets=(SUBNET,), labels=tuple(LABELS.items()), containers=()
    )
    assert await store.list(LABELS) == [made]


async def test_a_subnet_that_overlaps_is_refused(store: NetworkStore) -> None:
    await store.create(name(), subnet=SUBNET, labels=LABELS)

    with pytest.raises(SubnetTaken):
        await store.create(name(), subnet=SUBNET, labels=LABELS)
    with pytest.raises(SubnetTaken):
        await store.create(name(), subnet=f"{_NET}.0/28", labels=LABELS)


async def test_a_name_is_taken_once(store: NetworkStore) -> None:
    taken = name()
    await store.create(taken, subnet=SUBNET, labels=LABELS)

    with pytest.raises(NetworkNameTaken):
        await store.create(taken, subnet=OTHER_SUBNET, labels=LABELS)
    assert len(await store.list(LABELS)) == 1


async def test_listing_goes_by_every_label_and_by_name(store: NetworkStore) -> None:
    names = [name(), name()]
    more = {**LABELS, "orchestrator.guards": "a"}
    await store.create(names[1], subnet=SUBNET, labels=more)
    await store.create(names[0], subnet=OTHER_SUBNET, labels=LABELS)

    assert [it.name for it in await store.list(LABELS)] == sorted(names)
    assert [it.name for it in await store.list(more)] == [names[1]]
    assert {it.name for it in await store.list({})} >= set(names)


async def test_removing_and_disconnecting_are_quiet_about_what_is_gone(store: NetworkStore) -> None:
    gone = name()
    await store.create(gone, subnet=SUBNET, labels=LABELS)
    await store.disconnect(gone)
    await store.remove(gone)
    await store.remove(gone)
    await store.disconnect(gone)

    assert await store.list(LABELS) == []


@pytest.mark.docker
async def test_containers_go_in_and_out_while_they_run(
    docker_store: DockerNetworks, docker_world: Any
) -> None:
    network = name()
    await docker_store.create(network, subnet=SUBNET, labels=LABELS)
    container_id = await docker_world.run("sleep", network_mode=network)

    def inside() -> Any:
        return docker_store.list(LABELS)

    [before] = await inside()
    await docker_store.disconnect(network)
    [out] = await inside()
    await docker_store.connect(network, container_id)
    await docker_store.connect(network, container_id)
    [back] = await inside()
    with pytest.raises(ContainerNotFound):
        await docker_store.connect(network, "0" * 64)
    await docker_store.remove(network)
    with pytest.raises(NetworkNotFound):
        await docker_store.connect(network, container_id)

    assert (before.containers, out.containers) == ((container_id,), ())
    assert back.containers == (container_id,)
    assert await inside() == []


async def test_a_memory_network_remembers_who_is_in(memory_store: MemoryNetworks) -> None:
    network = name()
    await memory_store.create(network, subnet=SUBNET, labels=LABELS)
    await memory_store.connect(network, "c")
    [full] = await memory_store.list(LABELS)
    await memory_store.disconnect(network)
    [empty] = await memory_store.list(LABELS)

    assert (full.containers, empty.containers) == (("c",), ())
    with pytest.raises(NetworkNotFound):
        await memory_store.connect(name(), "c")


@pytest.mark.docker
async def test_a_docker_network_has_no_ipv6_and_no_neighbours(
    docker_store: DockerNetworks, clients: DockerClients
) -> None:
    made = await docker_store.create(name(), subnet=SUBNET, labels=LABELS)
    found = await clients.run(lambda api: api.inspect_network(made.name))

    assert (found["Driver"], found["EnableIPv6"], found["Internal"]) == ("bridge", False, False)
    assert found["Options"]["com.docker.network.bridge.enable_icc"] == "false"


@pytest.mark.docker
async def test_many_networks_are_made_at_once(docker_store: DockerNetworks) -> None:
    """Beyond the engine's own pools, which end at some thirty."""
    subnets = list(itertools.islice(free_subnets(f"{_NET}.0/24", [], length=29, start=0), 8))
    async with asyncio.TaskGroup() as group:
        for subnet in subnets:
            group.create_task(docker_store.create(name(), subnet=subnet, labels=LABELS))
    made = await docker_store.list(LABELS)

    assert sorted(it.subnets[0] for it in made) == sorted(subnets)


def test_free_subnets_start_where_told_and_go_around() -> None:
    found = list(free_subnets("10.0.0.0/27", [], length=29, start=2))

    assert found == ["10.0.0.16/29", "10.0.0.24/29", "10.0.0.0/29", "10.0.0.8/29"]


@pytest.mark.parametrize(
    ("taken", "left"),
    [
        (["10.0.0.0/29"], ["10.0.0.8/29"]),
        (["10.0.0.3"], ["10.0.0.8/29"]),
        (["10.0.0.9/29"], ["10.0.0.0/29"]),
        (["10.0.0.0/8"], []),
        (["fd00::/8", "192.168.0.0/16"], ["10.0.0.0/29", "10.0.0.8/29"]),
    ],
)
def test_a_subnet_that_overlaps_anything_is_not_free(taken: list[str], left: list[str]) -> None:
    assert list(free_subnets("10.0.0.0/28", taken, length=29, start=0)) == left
