"""Makes the images that many Docker tests need before several processes ask for them at once.

python -m tests.support.images [FOLDER]

With a folder they are written there too, one file each, for an engine that cannot make them.
"""

import asyncio
import functools
import sys
import tempfile
from pathlib import Path

import docker

from orchestrator.engine.base_image import ensure_base
from orchestrator.engine.docker_client import DockerClients
from orchestrator.engine.docker_images import DockerImages
from orchestrator.engine.guard_image import ensure_guard_image
from orchestrator.engine.stack_images import ensure_prometheus_image
from orchestrator.model.monitoring import MonitoringConfig


async def make_images(cache: Path, folder: Path | None = None) -> None:
    clients = DockerClients.connect()
    try:
        images = DockerImages(clients)
        tags = (
            await ensure_base(images, cache=cache, progress=_tell),
            await ensure_guard_image(images, cache=cache, progress=_tell),
        )
        image = MonitoringConfig().prometheus_image
        await ensure_prometheus_image(images, image, cache=cache, progress=_tell)
        for tag in tags if folder else ():
            await clients.run(functools.partial(_save, tag, folder))
    finally:
        await clients.aclose()


def _save(tag: str, folder: Path, api: docker.APIClient) -> None:
    name = tag.replace("/", "-").replace(":", "-")
    with (folder / f"{name}.tar").open("wb") as file:
        file.writelines(api.get_image(tag))


def _tell(line: str) -> None:
    sys.stdout.write(f"• {line}\n")


if __name__ == "__main__":
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as cache:
        asyncio.run(make_images(Path(cache), out))
