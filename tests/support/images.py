"""Makes the images that many Docker tests need before several processes ask for them at once.

python -m tests.support.images
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from orchestrator.engine.base_image import ensure_base
from orchestrator.engine.docker_client import DockerClients
from orchestrator.engine.docker_images import DockerImages
from orchestrator.engine.guard_image import ensure_guard_image
from orchestrator.engine.stack_images import ensure_prometheus_image
from orchestrator.model.monitoring import MonitoringConfig


async def make_images(cache: Path) -> None:
    clients = DockerClients.connect()
    try:
        images = DockerImages(clients)
        await ensure_base(images, cache=cache, progress=_tell)
        await ensure_guard_image(images, cache=cache, progress=_tell)
        image = MonitoringConfig().prometheus_image
        await ensure_prometheus_image(images, image, cache=cache, progress=_tell)
    finally:
        await clients.aclose()


def _tell(line: str) -> None:
    sys.stdout.write(f"• {line}\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(make_images(Path(folder)))
