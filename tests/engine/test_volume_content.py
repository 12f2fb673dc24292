"""What a volume holds comes out and goes in again, whoever holds the volume."""

import io
import tarfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from orchestrator.engine.base import LABEL_INSTANCE, EngineFailure
from orchestrator.engine.docker_client import DockerClients
from orchestrator.engine.memory_stores import MemoryVolumes
from orchestrator.engine.volume_content import DockerVolumeContent, VolumeContent
from orchestrator.model.container import VolumeMount
from tests.support.instance import new_name


@dataclass
class Shelf:
    content: VolumeContent
    names: list[str]
    labels: dict[str, str]


@pytest.fixture(params=["memory", pytest.param("docker", marks=pytest.mark.docker)])
async def shelf(request: pytest.FixtureRequest) -> AsyncIterator[Shelf]:
    """Two volumes, the first of them with something in it."""
    instance = new_name()
    names, labels = [f"{instance}-one", f"{instance}-two"], {LABEL_INSTANCE: instance}
    if request.param == "memory":
        volumes = MemoryVolumes()
        for name in names:
            await volumes.ensure(VolumeMount(volume=name, target="/data", size_bytes=1), labels)
        yield Shelf(volumes, names, labels)
        return
    clients = DockerClients.connect()
    for name in names:
        await clients.run(lambda api, name=name: api.create_volume(name, labels=labels))  # type: ignore[misc]
    yield Shelf(DockerVolumeContent(clients), names, labels)
    left = await clients.run(
        lambda api: api.containers(all=True, filters={"label": f"{LABEL_INSTANCE}={instance}"})
    )
    for name in names:
        await clients.run(lambda api, name=name: api.remove_volume(name))  # type: ignore[misc]
    await clients.aclose()
    assert left == []


def packed(*members: tuple[str, dict[str, Any], bytes]) -> io.BytesIO:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, fields, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for field, value in fields.items():
                setattr(member, field, value)
            archive.addfile(member, io.BytesIO(content))
    target.seek(0)
    return target


def shown(content: bytes) -> dict[str, tuple[Any, ...]]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {
            member.name.rstrip("/"): (
                member.type,
                member.mode & 0o7777,
                member.uid,
                member.gid,
                member.linkname,
                file.read() if member.isreg() and (file := archive.extractfile(member)) else b"",
            )
            for member in archive
        }


async def read(shelf: Shelf, name: str, *, max_bytes: int = 1 << 24) -> bytes:
    target = io.BytesIO()
    await shelf.content.read(name, shelf.labels, target, max_bytes=max_bytes)
    return target.getvalue()


MEMBERS = (
    ("data", {"type": tarfile.DIRTYPE, "mode": 0o700, "uid": 65532, "gid": 65532}, b""),
    ("data/file", {"mode": 0o4755, "uid": 65532, "gid": 7}, bytes(range(256)) * 100),
    ("data/shut", {"type": tarfile.DIRTYPE, "mode": 0o000}, b""),
    ("data/link", {"type": tarfile.SYMTYPE, "linkname": "/etc/shadow", "mode": 0o777}, b""),
    ("data/pipe", {"type": tarfile.FIFOTYPE, "mode": 0o600}, b""),
)


async def test_bytes_owners_modes_and_links_are_kept(shelf: Shelf) -> None:
    one, two = shelf.names
    source = packed(*MEMBERS)
    await shelf.content.write(one, shelf.labels, source)
    first = await read(shelf, one)
    await shelf.content.write(two, shelf.labels, io.BytesIO(first))

    assert shown(first) == shown(source.getvalue())
    assert shown(await read(shelf, two)) == shown(first)


async def test_more_than_was_expected_is_an_error(shelf: Shelf) -> None:
    await shelf.content.write(shelf.names[0], shelf.labels, packed(*MEMBERS))
    with pytest.raises(EngineFailure, match=r"expected at most"):
        await read(shelf, shelf.names[0], max_bytes=1_000)
