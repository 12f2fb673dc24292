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
    roots: tuple[Path, ...],
    with_volumes: bool,
) -> tuple[int, int]:
    """How many containers and volumes were removed; `roots` are the folders that go with them.

    Raises EngineUnavailable.
    """
    containers = await engine.list(labels)
    await asyncio.gather(*(engine.remove(container.container_id) for container in containers))
    for root in roots:
        await asyncio.to_thread(shutil.rmtree, root, ignore_errors=True)
    removed = 0
    if with_volumes:
        for volume in await volumes.list(labels):
            await volumes.remove(volume.name)
            removed += 1
    return len(containers), removed
