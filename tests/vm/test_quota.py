"""The engine's own quota on a file system with project quotas: exact, lasting, each by itself."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.engine.base import LABEL_INSTANCE, DiskWay, EngineFailure
from orchestrator.engine.base_image import base_tag
from orchestrator.engine.docker_client import DockerClients
from orchestrator.engine.docker_volumes import DockerVolumes
from orchestrator.model.container import PLUGIN_UID, VolumeMount
from tests.support.instance import PATIENCE, engine, eventually

pytestmark = pytest.mark.docker

MIB = 1 << 20
LABELS = {LABEL_INSTANCE: "quota"}
FILL = """
import errno, os
file, done = os.open("/data/flood", os.O_WRONLY | os.O_CREAT), 0
try:
    while True:
        done += os.write(file, os.urandom(65536))
        os.fsync(file)
except OSError as error:
    print(done, errno.errorcode[error.errno])
"""
LOOK = """
import errno, os
print(os.stat("/data/flood").st_size, end=" ")
try:
    with open("/data/more", "wb") as file:
        file.write(b"x")
except OSError as error:
    print(errno.errorcode[error.errno])
"""


@pytest.fixture
async def volumes() -> AsyncIterator[DockerVolumes]:
    """Without loop disks, as for a daemon that does not run as root."""
    clients = DockerClients.connect()
    made = DockerVolumes(clients, disks=None, image=base_tag(), why_not="left out here")
    yield made
    for state in await made.list(LABELS):
        await made.remove(state.name)
    await clients.aclose()


def mount(name: str, size_bytes: int) -> VolumeMount:
    return VolumeMount(volume=name, target="/data", size_bytes=size_bytes)


def within(volume: str, program: str) -> str:
    """What the program says, run as a plugin's user with nothing but the volume."""
    with engine() as client:
        client.timeout = 60 * PATIENCE
        places: Any = [
            {
                "Type": "volume",
                "Source": volume,
                "Target": "/data",
                "VolumeOptions": {"NoCopy": True},
            }
        ]
        host = client.create_host_config(network_mode="none", mounts=places)
        made = client.create_container(
            base_tag(),
            ["-c", program],
            entrypoint="python3",
            user=f"{PLUGIN_UID}:{PLUGIN_UID}",
            host_config=host,
        )
        try:
            client.start(made["Id"])
            client.wait(made["Id"])
            said: bytes = client.logs(made["Id"])
        finally:
            client.remove_container(made["Id"], force=True)
    return said.decode().strip()


def restart_the_engine() -> None:
    """As at a reboot it knows nothing of its volumes but what lies on the disk."""
    file = Path("/run/docker.pid")
    before = int(file.read_text())
    os.kill(before, signal.SIGTERM)
    eventually(lambda: not Path("/proc", str(before)).exists(), seconds=60)

    def answers() -> bool:
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(PATIENCE)
            try:
                asked.connect("/run/docker.sock")
                asked.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return b" 200 " in asked.recv(64)
            except OSError:  # it is coming up
                return False

    eventually(answers, seconds=60, every=1)


async def test_where_no_loop_disk_can_be_made_the_quota_proves_to_hold_and_is_taken(
    volumes: DockerVolumes,
) -> None:
    found = await volumes.best(LABELS)

    assert (found.way, found.tried) == (DiskWay.QUOTA, True)
    assert found.passed_over == {DiskWay.LOOP: "left out here"}


async def test_a_volume_takes_its_size_to_the_byte_and_is_full_after_the_engines_restart_too(
    volumes: DockerVolumes,
) -> None:
    made = await volumes.ensure(mount("first", 8 * MIB), LABELS)
    filled = await asyncio.to_thread(within, "first", FILL)
    await asyncio.to_thread(restart_the_engine)
    await volumes.ensure(mount("second", 4 * MIB), LABELS)
    beside = await asyncio.to_thread(within, "second", FILL)
    after = await asyncio.to_thread(within, "first", LOOK)
    with pytest.raises(EngineFailure, match="cannot change") as refused:
        await volumes.ensure(mount("first", 16 * MIB), LABELS)

    assert made.enforced_by is DiskWay.QUOTA
    assert filled == f"{8 * MIB} ENOSPC"
    assert beside == f"{4 * MIB} ENOSPC"
    assert after == f"{8 * MIB} ENOSPC"
    assert str(8 * MIB) in str(refused.value)
