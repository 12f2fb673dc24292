"""Sweep: take away everything that carries an instance's labels, whatever made or left it."""

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path

from orchestrator.engine.base import LABEL_ROLE, Engine, VolumeStore
from orchestrator.engine.networks import NetworkStore


async def sweep(
    *,
    engine: Engine,
    volumes: VolumeStore,
    networks: NetworkStore,
    labels: Mapping[str, str],
    roots: tuple[Path, ...],
    with_volumes: bool,
) -> tuple[int, int]:
    """How many plugins' containers and volumes were removed.

    With them goes what lies beside: containers with a role, networks, the folders `roots`.

    Raises EngineUnavailable.
    """
    containers = await engine.list(labels)
    await asyncio.gather(*(engine.remove(container.container_id) for container in containers))
    for network in await networks.list(labels):
        await networks.remove(network.name)
    for root in roots:
        await asyncio.to_thread(shutil.rmtree, root, ignore_errors=True)
    removed = 0
    if with_volumes:
        for volume in await volumes.list(labels):
            await volumes.remove(volume.name)
            removed += 1
    return sum(1 for container in containers if not container.label(LABEL_ROLE)), removed
