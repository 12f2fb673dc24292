"""Sweep: take away everything that carries an instance's labels, whatever made or left it."""

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path

from orchestrator.engine.base import Engine, VolumeStore


async def sweep(
    *,
    engine: Engine,
    volumes: VolumeStore,
    labels: Mapping[str, str],
    sockets_root: Path,
    with_volumes: bool,
) -> tuple[int, int]:
    """How many containers and volumes were removed. Raises EngineUnavailable."""
    containers = await engine.list(labels)
    await asyncio.gather(*(engine.remove(container.container_id) for container in containers))
    await asyncio.to_thread(shutil.rmtree, sockets_root, ignore_errors=True)
    removed = 0
    if with_volumes:
        for volume in await volumes.list(labels):
            await volumes.remove(volume.name)
            removed += 1
    return len(containers), removed
