"""Sweep: take away everything that carries an instance's labels, whatever made or left it."""

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from orchestrator.engine.base import LABEL_ROLE, Engine, EngineFailure, VolumeStore
from orchestrator.engine.networks import NetworkStore

PAUSES_SECONDS: Final = (0.1, 0.3, 1.0, 3.0)


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
            await _let_go(volumes, volume.name)
            removed += 1
    return sum(1 for container in containers if not container.label(LABEL_ROLE)), removed


async def _let_go(volumes: VolumeStore, name: str) -> None:
    """Remove it; a daemon killed a moment ago may have left the engine at work on its container."""
    for pause in PAUSES_SECONDS:
        try:
            return await volumes.remove(name)
        except EngineFailure:
            await asyncio.sleep(pause)
    return await volumes.remove(name)
