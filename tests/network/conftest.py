"""A guarded plugin's place, without the orchestrator around it."""

import asyncio
import itertools
import json
import os
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from orchestrator.clock import SystemClock
from orchestrator.engine.base import LABEL_INSTANCE
from orchestrator.engine.base_image import ensure_base
from orchestrator.engine.docker import DockerEngine
from orchestrator.engine.docker_client import DockerClients
from orchestrator.engine.docker_images import DockerImages
from orchestrator.engine.docker_networks import DockerNetworks
from orchestrator.engine.guard_image import ensure_guard_image
from orchestrator.manager.network_guard import NetworkGuard
from orchestrator.model.container import ContainerPhase, ContainerSpec
from orchestrator.policy.guard_containers import network_mode, pause_name
from orchestrator.policy.seccomp import seccomp_profile, with_network_sockets

RUN = f"guard-{os.getpid()}-{os.urandom(3).hex()}"
HERE = Path(__file__).parent
PATIENCE_SECONDS = 30
_numbers = itertools.count(1)


@dataclass(kw_only=True)
class Place:
    """Where plugins with network_access live."""

    guard: NetworkGuard
    engine: DockerEngine
    networks: DockerNetworks
    clients: DockerClients
    prefix: str
    labels: dict[str, str]
    base: str
    cache: Path
    made: list[str] = field(default_factory=list)

    async def start(self, plugin_id: str, *attempts: list[Any]) -> str:
        """A plugin's container in the guarded network; its id."""
        spec = ContainerSpec(
            plugin_id="",
            image=self.base,
            command=(
                *("python3", "-c", (HERE / "insider.py").read_text()),
                json.dumps(attempts),
            ),
            environment=(),
            memory_bytes=64 << 20,
            cpu_percent=100,
            pids_limit=64,
            open_files=256,
            log_bytes=1 << 20,
            stop_grace_seconds=0,
            network_mode=network_mode(self.prefix, plugin_id),
            seccomp_profile=with_network_sockets(seccomp_profile()),
        )
        name = f"{self.prefix}-{plugin_id}-insider-{next(_numbers)}"
        container_id = await self.engine.create(spec, name=name, labels=self.labels)
        self.made.append(container_id)
        await self.engine.start(container_id)
        return container_id

    async def answers(self, container_id: str) -> list[Any]:
        """What it printed at its end."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                state = await self.engine.inspect(container_id)
                assert state is not None
                if state.phase is ContainerPhase.EXITED:
                    break
                await asyncio.sleep(0.05)
        lines = await self.lines(container_id)
        assert state.exit_code == 0, "\n".join(lines)
        found: list[Any] = json.loads(lines[-1])
        return found

    async def lines(self, container_id: str) -> list[str]:
        logs = self.engine.logs(container_id, follow=False, since=0.0, tail=None)
        return [line.text async for line in logs]

    async def attempt(self, plugin_id: str, *attempts: list[Any]) -> list[str]:
        return await self.answers(await self.start(plugin_id, *attempts))

    async def address(self, plugin_id: str) -> str:
        return (await self._network(plugin_id))["IPAddress"]

    async def gateway(self, plugin_id: str) -> str:
        return (await self._network(plugin_id))["Gateway"]

    async def _network(self, plugin_id: str) -> dict[str, str]:
        found = await self.inspect_pause(plugin_id)
        networks: dict[str, dict[str, str]] = found["NetworkSettings"]["Networks"]
        [network] = networks.values()
        return network

    async def inspect_pause(self, plugin_id: str) -> dict[str, Any]:
        name = pause_name(self.prefix, plugin_id)
        found: dict[str, Any] = await self.clients.run(lambda api: api.inspect_container(name))
        return found

    async def in_namespace(self, plugin_id: str, *words: str) -> None:
        """Do something to the plugin's network as the host's root."""
        pid = (await self.inspect_pause(plugin_id))["State"]["Pid"]
        command = ["nsenter", "-t", str(pid), "-n", *words]
        await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)

    async def on_host(self, *words: str) -> None:
        await asyncio.to_thread(subprocess.run, words, check=True, capture_output=True)

    async def take_the_rules_away(self, plugin_id: str) -> None:
        """For the proof that it is they who hold."""
        image = await self.guard._image()
        await self.guard._nft(plugin_id, image, ("delete table inet orchestrator",))


def make_guard(
    clients: DockerClients, prefix: str, labels: dict[str, str], cache: Path
) -> NetworkGuard:
    images = DockerImages(clients)
    return NetworkGuard(
        engine=DockerEngine(clients),
        networks=DockerNetworks(clients),
        image=partial(
            ensure_guard_image, images, cache=cache, progress=lambda _: None, registry=None
        ),
        prefix=prefix,
        labels=labels,
        seccomp_profile=seccomp_profile(),
        clock=SystemClock(),
    )


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    clients = DockerClients.connect()
    instance = f"{RUN}-{next(_numbers)}"
    labels = {LABEL_INSTANCE: instance}
    base = await ensure_base(
        DockerImages(clients), cache=tmp_path, progress=lambda _: None, registry=None
    )
    made = Place(
        guard=make_guard(clients, instance, labels, tmp_path),
        engine=DockerEngine(clients),
        networks=DockerNetworks(clients),
        clients=clients,
        prefix=instance,
        labels=labels,
        base=base,
        cache=tmp_path,
    )
    try:
        yield made
    finally:
        for container in await made.engine.list(labels):
            await made.engine.remove(container.container_id)
        for network in await made.networks.list(labels):
            await made.networks.remove(network.name)
        await clients.aclose()
