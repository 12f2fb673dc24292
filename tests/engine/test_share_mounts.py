"""Writable shares: mounted for the moment of a start, of what the policy named and nothing else."""

import asyncio
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.engine.base import StartRefused
from orchestrator.engine.docker_client import DEFAULT_ADDRESS
from orchestrator.engine.share_mounts import ShareMounts
from orchestrator.model.container import ShareMount

pytestmark = pytest.mark.docker


@pytest.fixture
def mounts(tmp_path: Path) -> ShareMounts:
    return ShareMounts(tmp_path / "mounts", address=DEFAULT_ADDRESS)


@pytest.fixture
def share(tmp_path: Path) -> ShareMount:
    folder = tmp_path / "desk"
    folder.mkdir()
    (folder / "letter").write_text("dear reader")
    return ShareMount(source=str(folder), target="/mnt/desk", read_only=False)


@pytest.fixture
def forgotten(mounts: ShareMounts, tmp_path: Path, share: ShareMount) -> Iterator[Path]:
    """What a daemon leaves that was killed in the middle of a start: another folder's mount."""
    place = mounts.place(share.source)
    place.mkdir(parents=True)
    (tmp_path / "stale").mkdir()
    kernel = ctypes.CDLL(None, use_errno=True)
    kernel.mount(os.fsencode(tmp_path / "stale"), os.fsencode(place), None, 4_096, None)
    yield place
    while kernel.umount2(os.fsencode(place), 2) == 0:
        pass


def letter_in(folder: str) -> str:
    return Path(folder, "letter").read_text()


def is_there(place: str | Path) -> bool:
    return Path(place).exists()


def options(place: str) -> set[str]:
    """Of the mount that lies there; nothing if none does."""
    found = [
        line.split()[5]
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
        if line.split()[4] == place
    ]
    assert len(found) <= 1
    return set(found[0].split(",")) if found else set()


async def test_a_share_is_mounted_without_programs_and_only_meanwhile(
    mounts: ShareMounts, share: ShareMount, tmp_path: Path
) -> None:
    async with mounts.mounted([share]) as places:
        place = places[share.source]
        during = options(place)
        read = letter_in(place)

    assert {"rw", "nosuid", "nodev", "noexec"} <= during
    assert read == "dear reader"
    assert options(place) == set()
    assert not is_there(place)
    assert letter_in(share.source) == "dear reader"


async def test_what_is_mounted_below_a_share_is_not_shown(
    mounts: ShareMounts, share: ShareMount, tmp_path: Path
) -> None:
    below = os.path.join(share.source, "below")  # noqa: PTH118
    os.mkdir(below)  # noqa: PTH102
    kernel = ctypes.CDLL(None, use_errno=True)
    assert kernel.mount(os.fsencode(share.source), os.fsencode(below), None, 4_096, None) == 0
    try:
        async with mounts.mounted([share]) as places:
            shown = os.listdir(f"{places[share.source]}/below")  # noqa: PTH208
    finally:
        kernel.umount2(os.fsencode(below), 2)

    assert shown == []


@pytest.mark.parametrize("read_only", [True, False])
async def test_a_link_that_took_a_shares_place_is_not_followed(
    mounts: ShareMounts,
    tmp_path: Path,
    read_only: bool,  # noqa: FBT001
) -> None:
    (tmp_path / "outer").symlink_to("/etc")
    share = ShareMount(source=f"{tmp_path}/outer/ssl", target="/mnt/ssl", read_only=read_only)

    with pytest.raises(StartRefused, match=r"found 'outer' .* no link"):
        async with mounts.mounted([share]):
            raise AssertionError


async def test_the_mount_of_a_killed_daemon_does_not_stand_for_the_share(
    mounts: ShareMounts, share: ShareMount, forgotten: Path
) -> None:
    async with mounts.mounted([share]) as places:
        read = letter_in(places[share.source])

    assert read == "dear reader"
    assert not is_there(forgotten)


async def test_two_plugins_that_start_at_once_both_get_the_share(
    mounts: ShareMounts, share: ShareMount
) -> None:
    async def start() -> bool:
        async with mounts.mounted([share]) as places:
            await asyncio.sleep(0.05)
            return {"noexec"} <= options(places[share.source])

    assert await asyncio.gather(*(start() for _ in range(4))) == [True] * 4


async def test_a_start_that_fails_leaves_no_mount(mounts: ShareMounts, share: ShareMount) -> None:
    with pytest.raises(ConnectionAbortedError):
        async with mounts.mounted([share]) as places:
            raise ConnectionAbortedError

    assert options(places[share.source]) == set()


async def test_no_empty_folder_stays_behind(mounts: ShareMounts, share: ShareMount) -> None:
    async with mounts.mounted([share]) as places:
        root = Path(places[share.source]).parent
    mounts.close()

    assert not is_there(root)


@pytest.mark.parametrize("address", ["tcp://engine:2375", "unix:///nowhere"])
async def test_where_the_engine_cannot_see_it_no_mount_is_promised(
    tmp_path: Path, share: ShareMount, address: str
) -> None:
    mounts = ShareMounts(tmp_path / "mounts", address=address)
    async with mounts.mounted([share]) as places:
        found: Any = dict(places)

    assert found == {}
    assert await mounts.obstacle() in {
        "the engine is remote",
        "the engine does not see this process's mounts",
    }


async def test_the_volume_of_a_read_only_share_goes_with_its_container(
    docker_world: Any, clients: Any, share: ShareMount
) -> None:
    read_only = ShareMount(source=share.source, target="/mnt/desk")
    container_id = await docker_world.run("sleep", share_mounts=(read_only,))
    during = await _volumes_of(clients, share.source)
    await docker_world.engine.remove(container_id)

    assert len(during) == 1
    assert await _volumes_of(clients, share.source) == []
    assert letter_in(share.source) == "dear reader"


async def _volumes_of(clients: Any, folder: str) -> list[str]:
    found = await clients.run(lambda api: api.volumes())
    return [
        volume["Name"]
        for volume in found["Volumes"] or ()
        if (volume["Options"] or {}).get("device") == folder
    ]
