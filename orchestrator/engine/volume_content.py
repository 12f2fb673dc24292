"""VolumeContent: what a volume holds, as a tar: an optional power of an engine, for backups.

The engine itself packs and unpacks, through a container that mounts the volume and is never
started: no code runs, no image of a plugin is needed, and owners, modes and links are kept exactly.
"""

import contextlib
import io
import tarfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, BinaryIO, Final, Protocol

import docker
import docker.errors

from orchestrator.engine.base import LABEL_ROLE, NO_MARKS, EngineFailure
from orchestrator.engine.docker_client import DockerClients

ROOT: Final = "data"
"""Every name in the tar is this folder's or below it."""
ROLE_VOLUME: Final = "volume-content"
_IMAGE: Final = "orchestrator/volume-content:1"
_CHUNK_BYTES: Final = 1 << 20


class VolumeContent(Protocol):
    """Whole, or an error; nothing in between is told as done."""

    async def read(
        self, volume: str, labels: Mapping[str, str], target: BinaryIO, *, max_bytes: int
    ) -> None:
        """Write its content to `target`; `labels` mark what is made for it.

        Raises EngineFailure, also for more than `max_bytes`.
        """

    async def write(self, volume: str, labels: Mapping[str, str], source: BinaryIO) -> None:
        """Unpack a tar that `read` made into an empty volume. Raises EngineFailure, DiskFull."""


class DockerVolumeContent:
    """Through `docker cp`'s part of the API."""

    def __init__(self, clients: DockerClients, *, marks: Mapping[str, str] = NO_MARKS) -> None:
        self._clients = clients
        self._marks = marks

    async def read(
        self, volume: str, labels: Mapping[str, str], target: BinaryIO, *, max_bytes: int
    ) -> None:
        def call(api: docker.APIClient) -> None:
            left = max_bytes
            chunks, _ = api.get_archive(container, f"/{ROOT}", chunk_size=_CHUNK_BYTES)
            for chunk in chunks:
                left -= len(chunk)
                if left < 0:
                    raise EngineFailure(
                        f"Volume {volume} holds more than {max_bytes} bytes, holes in files"
                        " counted; expected at most that"
                    )
                target.write(chunk)

        async with self._mounted(volume, labels, "ro") as container:
            await self._clients.run(call)

    async def write(self, volume: str, labels: Mapping[str, str], source: BinaryIO) -> None:
        def call(api: docker.APIClient) -> None:
            if not api.put_archive(container, "/", source):
                raise EngineFailure(f"Volume {volume} could not be filled; the engine says no more")

        async with self._mounted(volume, labels, "rw") as container:
            await self._clients.run(call)

    @asynccontextmanager
    async def _mounted(
        self, volume: str, labels: Mapping[str, str], mode: str
    ) -> AsyncIterator[str]:
        await self._clients.run(_ensure_image)

        def make(api: Any) -> str:
            config = api.create_host_config(
                binds=[f"{volume}:/{ROOT}:{mode},nocopy"], network_mode="none"
            )
            made: str = api.create_container(
                _IMAGE,
                command=["never-started"],
                host_config=config,
                labels={**labels, **self._marks, LABEL_ROLE: ROLE_VOLUME},
            )["Id"]
            return made

        def remove(api: docker.APIClient) -> None:
            with contextlib.suppress(docker.errors.NotFound):
                api.remove_container(container, force=True)

        container = await self._clients.run(make)
        try:
            yield container
        finally:
            await self._clients.run(remove)


def _ensure_image(api: Any) -> None:
    """An image with one empty folder: 2 kB."""
    try:
        api.inspect_image(_IMAGE)
    except docker.errors.ImageNotFound:
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as archive:
            folder = tarfile.TarInfo(ROOT)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(folder)
        repository, _, tag = _IMAGE.partition(":")
        api.import_image_from_data(
            content.getvalue(),
            repository=repository,
            tag=tag,
            changes=['LABEL orchestrator.built="1"'],
        )
