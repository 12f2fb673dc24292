"""Why `file_system_read: {any_owner: true}` is refused for good, seen on the engine itself.

A plugin's process is not root, so a capability comes to it through a file that carries it, and no
other way. No-new-privileges takes exactly that away; and without it, what else is in the image
counts as well: a program that is setuid root makes the plugin root.
"""

import asyncio
import io
import struct
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.engine.docker_client import DockerClients
from tests.engine.conftest import RUN
from tests.support.instance import eventually

pytestmark = pytest.mark.docker

TAG = f"orchestrator-test-owner:{RUN}"
DAC_READ_SEARCH = 1 << 2
PLUGIN, ROOT = 65_532, 0
FILE_CAPABILITY = struct.pack("<5I", 0x02000001, DAC_READ_SEARCH, 0, 0, 0)
"""As the kernel stores it: version 2, effective, this one permitted."""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What a hostile image brings: the same program plain, with the capability, and setuid root."""
    program = tmp_path_factory.mktemp("owner") / "probe"
    source = Path(__file__).with_name("probe.c")
    subprocess.run(["gcc", "-static", "-Os", "-o", program, source], check=True)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, mode, attributes in (
            ("probe", 0o755, {}),
            ("capable", 0o755, {"SCHILY.xattr.security.capability": FILE_CAPABILITY.decode()}),
            ("setuid", 0o4755, {}),
        ):
            entry = archive.gettarinfo(program, name)
            entry.uid, entry.gid, entry.mode, entry.pax_headers = 0, 0, mode, attributes
            with program.open("rb") as file:
                archive.addfile(entry, file)
        secret = tarfile.TarInfo("owned-by-root")
        secret.size, secret.mode = 7, 0o600
        archive.addfile(secret, io.BytesIO(b"secret\n"))
    api = DockerClients.connect().own(timeout=60)
    try:
        repository, _, tag = TAG.partition(":")
        api.import_image_from_data(buffer.getvalue(), repository=repository, tag=tag)
        yield TAG
        api.remove_image(TAG, force=True)
    finally:
        api.close()


class Reader:
    """Runs one of the image's programs, with the one capability in the container's bounds."""

    def __init__(self, world: Any, clients: DockerClients, image: str) -> None:
        self._world = world
        self._clients = clients
        self._image = image

    async def read(self, program: str, path: str, *, no_new_privileges: bool) -> str:
        """What it prints of the file, or the error."""
        container_id = await self._world.run(
            image=self._image,
            command=(f"/{program}", "cat", path),
            capabilities=("DAC_READ_SEARCH",),
            no_new_privileges=no_new_privileges,
            init=False,
        )
        said = await asyncio.to_thread(eventually, lambda: self._said(container_id), seconds=60)
        return str(said)

    def _said(self, container_id: str) -> str:
        api = self._clients.own(timeout=60)
        try:
            return str(api.logs(container_id).decode())
        finally:
            api.close()

    async def who(self, program: str, *, no_new_privileges: bool) -> tuple[int, int]:
        """Its effective user, and its effective capabilities."""
        status = await self.read(program, "/proc/self/status", no_new_privileges=no_new_privileges)
        fields = dict(line.split(":", 1) for line in status.splitlines())
        return int(fields["Uid"].split()[1]), int(fields["CapEff"], 16)


@pytest.fixture
def reader(docker_world: Any, clients: DockerClients, image: str) -> Reader:
    return Reader(docker_world, clients, image)


@pytest.mark.parametrize("program", ["probe", "capable", "setuid"])
async def test_with_no_new_privileges_no_file_brings_the_capability(
    reader: Reader, program: str
) -> None:
    found = await reader.who(program, no_new_privileges=True)
    read = await reader.read(program, "/owned-by-root", no_new_privileges=True)

    assert found == (PLUGIN, 0)
    assert "Permission denied" in read


async def test_without_it_the_capability_comes_and_so_does_root(reader: Reader) -> None:
    wanted = await reader.who("capable", no_new_privileges=False)
    read = await reader.read("capable", "/owned-by-root", no_new_privileges=False)
    price = await reader.who("setuid", no_new_privileges=False)

    assert (wanted, read) == ((PLUGIN, DAC_READ_SEARCH), "secret\n")
    assert price == (ROOT, DAC_READ_SEARCH)
