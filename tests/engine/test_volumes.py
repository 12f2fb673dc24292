"""What every volume store must do; and what holds a volume's size for real."""

import asyncio
import contextlib
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator.engine import loop_disks
from orchestrator.engine.base import LABEL_INSTANCE, EngineFailure, VolumeState, VolumeStore
from orchestrator.engine.docker_client import DockerClients
from orchestrator.engine.docker_volumes import DockerVolumes
from orchestrator.engine.loop_disks import LoopDisks
from orchestrator.engine.memory_stores import MemoryVolumes
from orchestrator.model.container import VolumeMount

MIB = 1 << 20
PATIENCE_SECONDS = 20


@dataclass
class Shelf:
    """A store, and the labels and name of this test's volume."""

    store: VolumeStore
    name: str
    labels: dict[str, str]
    enforced_by: str
    folder: Path | None = None

    def mount(self, size_bytes: int) -> VolumeMount:
        return VolumeMount(volume=self.name, target="/data", size_bytes=size_bytes)

    async def ensure(self, size_bytes: int) -> VolumeState:
        return await self.store.ensure(self.mount(size_bytes), self.labels)


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[LoopDisks]:
    """Disks in a folder of this test alone; their loop devices go with it."""
    yield LoopDisks(tmp_path / "volumes", links=tmp_path / "links")
    for image in tmp_path.glob("volumes/*.img"):
        listing = ("losetup", "--noheadings", "--output", "NAME", "--associated", image)
        for device in said_by(*listing).split():
            said_by("losetup", "--detach", device)


async def _shelf(world: Any, clients: DockerClients, disks: LoopDisks | None) -> Any:
    name = world.name()
    by = "loop ext4" if disks else "tmpfs (not persistent)"
    labels = {LABEL_INSTANCE: world.instance}
    yield Shelf(DockerVolumes(clients, disks=disks), name, labels, by)
    for state in await world.engine.list(world.labels):
        await world.engine.remove(state.container_id)
    await DockerVolumes(clients, disks=disks).remove(name)


@pytest.fixture
async def loop_shelf(
    docker_world: Any, clients: DockerClients, disks: LoopDisks, tmp_path: Path
) -> AsyncIterator[Shelf]:
    async for shelf in _shelf(docker_world, clients, disks):
        shelf.folder = tmp_path
        yield shelf


@pytest.fixture
async def tmpfs_shelf(docker_world: Any, clients: DockerClients) -> AsyncIterator[Shelf]:
    async for shelf in _shelf(docker_world, clients, None):
        yield shelf


@pytest.fixture
def memory_shelf() -> Shelf:
    return Shelf(MemoryVolumes(), "volume", {LABEL_INSTANCE: "mine"}, "memory")


@pytest.fixture(
    params=[
        "memory",
        pytest.param("loop", marks=pytest.mark.docker),
        pytest.param("tmpfs", marks=pytest.mark.docker),
    ]
)
def shelf(request: pytest.FixtureRequest) -> Shelf:
    found: Shelf = request.getfixturevalue(f"{request.param}_shelf")
    return found


@pytest.fixture(params=["loop", "tmpfs"])
def real_shelf(request: pytest.FixtureRequest) -> Shelf:
    found: Shelf = request.getfixturevalue(f"{request.param}_shelf")
    return found


def said_by(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def reboot(folder: Path) -> None:
    """What a restart of the machine does to loop devices and to /run."""
    for link in folder.glob("links/*"):
        said_by("losetup", "--detach", link.resolve())
        link.unlink()


async def test_a_volume_is_made_once_and_tells_what_holds_it(shelf: Shelf) -> None:
    first = await shelf.ensure(8 * MIB)
    second = await shelf.ensure(8 * MIB)

    assert first == second
    assert first == VolumeState(
        name=shelf.name, labels=tuple(shelf.labels.items()), enforced_by=shelf.enforced_by
    )


async def test_volumes_are_listed_by_their_labels(shelf: Shelf) -> None:
    state = await shelf.ensure(8 * MIB)

    assert await shelf.store.list(shelf.labels) == [state]
    assert await shelf.store.list({**shelf.labels, "color": "blue"}) == []


async def test_a_volume_is_removed_quietly_and_twice(shelf: Shelf) -> None:
    await shelf.ensure(8 * MIB)
    await shelf.store.remove(shelf.name)
    await shelf.store.remove(shelf.name)

    assert await shelf.store.list(shelf.labels) == []


async def test_a_volume_changes_its_size(shelf: Shelf) -> None:
    for size in (8, 40, 12):
        await shelf.ensure(size * MIB)

    assert len(await shelf.store.list(shelf.labels)) == 1


async def output(world: Any, *command: str, **changes: Any) -> str:
    """Run the probe in a container until it has printed a line."""
    container_id = await world.run(*command, **changes)
    stream = world.engine.logs(container_id, follow=True, since=0.0, tail=None)
    async with asyncio.timeout(PATIENCE_SECONDS):
        first = await anext(stream)
    await stream.aclose()
    await world.engine.remove(container_id)
    return str(first.text)


@pytest.mark.docker
async def test_no_plugin_writes_more_than_its_volume_holds(
    docker_world: Any, real_shelf: Shelf
) -> None:
    await real_shelf.ensure(16 * MIB)
    mounts = (real_shelf.mount(16 * MIB),)
    written = int(
        await output(
            docker_world,
            *("fill", "/data/file", "64"),
            volume_mounts=mounts,
            memory_bytes=64 * MIB,
        )
    )

    assert 0.9 * 16 * MIB < written <= 16 * MIB


@pytest.mark.docker
async def test_a_volume_is_mounted_without_suid_devices_and_programs(
    docker_world: Any, loop_shelf: Shelf
) -> None:
    await loop_shelf.ensure(8 * MIB)
    container_id = await docker_world.run(
        *("cat", "/proc/mounts"), volume_mounts=(loop_shelf.mount(8 * MIB),)
    )
    stream = docker_world.engine.logs(container_id, follow=True, since=0.0, tail=None)
    async with asyncio.timeout(PATIENCE_SECONDS):
        options = [line.text.split()[3] async for line in _until(stream, " /data ")]

    assert {"rw", "nosuid", "nodev", "noexec"} <= set(options[-1].split(","))


async def _until(stream: Any, text: str) -> Any:
    async for line in stream:
        yield line
        if text in line.text:
            break
    await stream.aclose()


@pytest.mark.docker
async def test_data_survives_the_container_growing_shrinking_and_a_reboot(
    docker_world: Any, loop_shelf: Shelf
) -> None:
    mounts = (loop_shelf.mount(0),)
    await loop_shelf.ensure(8 * MIB)
    await output(docker_world, "fill", "/data/file", "2", volume_mounts=mounts)
    await loop_shelf.ensure(40 * MIB)
    await loop_shelf.ensure(6 * MIB)
    assert loop_shelf.folder is not None
    reboot(loop_shelf.folder)
    await loop_shelf.ensure(6 * MIB)
    size = await output(docker_world, "fill", "/data/second", "64", volume_mounts=mounts)

    assert 3 * MIB < int(size) < 4 * MIB


@pytest.mark.docker
async def test_a_volume_does_not_shrink_below_what_it_holds(
    docker_world: Any, loop_shelf: Shelf
) -> None:
    mounts = (loop_shelf.mount(0),)
    await loop_shelf.ensure(24 * MIB)
    await output(docker_world, "fill", "/data/file", "16", volume_mounts=mounts)

    with pytest.raises(EngineFailure, match="does not fit"):
        await loop_shelf.ensure(8 * MIB)
    await loop_shelf.ensure(24 * MIB)
    size = await output(docker_world, "fill", "/data/second", "64", volume_mounts=mounts)
    assert int(size) < 8 * MIB


@pytest.mark.docker
async def test_a_volume_in_use_keeps_its_size_and_stays(
    docker_world: Any, loop_shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_disks, "RELEASE_SECONDS", 0.1)
    await loop_shelf.ensure(16 * MIB)
    await docker_world.run("sleep", volume_mounts=(loop_shelf.mount(0),))
    await loop_shelf.ensure(16 * MIB)

    for size in (8, 32):
        with pytest.raises(EngineFailure, match="mounted"):
            await loop_shelf.ensure(size * MIB)
    with pytest.raises(EngineFailure, match="in use"):
        await loop_shelf.store.remove(loop_shelf.name)


@pytest.mark.docker
async def test_a_size_changes_once_the_kernel_lets_go_of_the_mount(
    docker_world: Any, loop_shelf: Shelf
) -> None:
    await loop_shelf.ensure(16 * MIB)
    container_id = await docker_world.run("sleep", volume_mounts=(loop_shelf.mount(0),))

    async def end() -> None:
        await asyncio.sleep(0.5)
        await docker_world.engine.remove(container_id)

    async with asyncio.TaskGroup() as group:
        group.create_task(end())
        await loop_shelf.ensure(32 * MIB)
    assert loop_shelf.folder is not None
    [image] = loop_shelf.folder.glob("volumes/*.img")

    assert image.stat().st_size == 32 * MIB


@pytest.mark.docker
async def test_a_strangers_volume_is_not_taken(loop_shelf: Shelf, clients: DockerClients) -> None:
    await clients.run(lambda api: api.create_volume(loop_shelf.name))

    with pytest.raises(EngineFailure, match="belongs to somebody else"):
        await loop_shelf.ensure(8 * MIB)


@pytest.mark.docker
async def test_a_process_without_the_rights_does_not_put_an_empty_volume_over_the_data(
    loop_shelf: Shelf, clients: DockerClients
) -> None:
    await loop_shelf.ensure(8 * MIB)
    unable = DockerVolumes(clients, disks=None)

    with pytest.raises(EngineFailure, match="loop disk"):
        await unable.ensure(loop_shelf.mount(8 * MIB), loop_shelf.labels)


@pytest.mark.docker
async def test_a_disk_starts_empty_and_is_made_within_a_second(
    disks: LoopDisks, tmp_path: Path
) -> None:
    took = []
    for name in ("one", "another", "disk"):  # one of them is not held up by what else runs
        begin = time.monotonic()
        link = await disks.ensure(name, 50 * MIB)
        took.append(time.monotonic() - begin)
    names = said_by("debugfs", "-R", "ls -p /", link.resolve())

    assert [line.split("/")[5] for line in names.split()] == [".", ".."]
    assert min(took) < 1
    assert (tmp_path / "volumes/disk.img").stat().st_mode & 0o777 == 0o600


@pytest.mark.docker
@pytest.mark.parametrize("step", ["mkfs.ext4", "debugfs", "losetup", "resize2fs", "e2fsck", "cp"])
@pytest.mark.parametrize("sizes", [(8, 8), (8, 40), (40, 8)], ids=["make", "grow", "shrink"])
async def test_a_kill_at_any_step_is_put_right_by_the_next_ensure(
    disks: LoopDisks,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    sizes: tuple[int, int],
) -> None:
    before, after = sizes
    if before != after:
        await disks.ensure("disk", before * MIB)
    real = loop_disks._run

    async def killed(program: str, *arguments: str, fine: int = 0) -> str:
        if program == step:
            raise ConnectionAbortedError
        return await real(program, *arguments, fine=fine)

    with monkeypatch.context() as patch:
        patch.setattr(loop_disks, "_run", killed)
        with contextlib.suppress(ConnectionAbortedError):
            await disks.ensure("disk", after * MIB)
    link = await disks.ensure("disk", after * MIB)
    said_by("e2fsck", "-f", "-n", link.resolve())  # raises unless the disk is sound

    assert loop_disks._file_system_bytes(link.resolve()) == after * MIB
    assert (tmp_path / "volumes/disk.img").stat().st_size == after * MIB


@pytest.mark.docker
@pytest.mark.parametrize("name", ["../disk", "", "-f", "a/b", ".hidden"])
async def test_a_name_that_leaves_the_folder_is_refused(disks: LoopDisks, name: str) -> None:
    with pytest.raises(EngineFailure, match="names no volume"):
        await disks.ensure(name, 8 * MIB)
