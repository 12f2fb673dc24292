"""How a way of holding a volume's size is chosen: by overfilling a small one."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.engine.base import LABEL_INSTANCE, DiskFinding, DiskWay, EngineFailure
from orchestrator.engine.base_image import ensure_base
from orchestrator.engine.disk_trial import (
    LABEL_TRIAL,
    TRIAL_BYTES,
    TRIAL_PREFIX,
    abandoned,
    judge,
    overfill,
)
from orchestrator.engine.docker_client import DockerClients
from orchestrator.engine.docker_images import DockerImages
from orchestrator.engine.docker_volumes import DockerVolumes
from orchestrator.engine.loop_disks import LoopDisks

MIB = 1 << 20
LABELS = {LABEL_INSTANCE: f"ways-{os.getpid()}"}
TMPFS = {"type": "tmpfs", "device": "tmpfs", "o": f"size={TRIAL_BYTES},uid=65532,gid=65532"}
BOUNDLESS = "uid=65532,gid=65532"


@pytest.mark.parametrize(
    ("written", "error", "holds"),
    [
        (4 * MIB, "ENOSPC", True),
        (4 * MIB - 65_536, "EDQUOT", True),
        (3 * MIB, "ENOSPC", True),
        (8 * MIB, "", False),
        (4 * MIB + 1, "ENOSPC", False),
        (0, "EACCES", False),
        (0, "ENOSPC", False),
        (3 * MIB, "EIO", False),
    ],
)
def test_a_trial_is_passed_by_a_disk_that_is_full_where_it_should_be(
    written: int, error: str, *, holds: bool
) -> None:
    assert (judge(written, error) == "") is holds


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("orchestrator-trial-999999-7fd0", True),
        ("orchestrator-trial-1-7fd0", False),  # a process that lives
        ("orchestrator-trial-999999-abcd1234-notes-data", False),
        ("orchestrator-trial-12345678-notes-data", False),
        ("orchestrator-other-999999-7fd0", False),
    ],
)
def test_only_a_dead_process_trial_is_abandoned_and_no_instance_called_trial(
    name: str, *, left: bool
) -> None:
    assert abandoned(name) is left


class TakesQuota(DockerVolumes):
    """On an engine that takes the option `size`; what it then does with it is `behind`.

    No file system with project quotas can be made on most test machines.
    """

    behind: Mapping[str, str] = {}

    async def _options(self, way: DiskWay, name: str, size_bytes: int) -> dict[str, str]:
        if way is DiskWay.QUOTA:
            return dict(self.behind)
        return await super()._options(way, name, size_bytes)


@pytest.fixture
async def image(clients: DockerClients, tmp_path: Path) -> str:
    """The base image, made where nobody has made it yet."""
    return await ensure_base(
        DockerImages(clients), cache=tmp_path, progress=lambda _: None, registry=None
    )


async def volumes(clients: DockerClients) -> list[str]:
    """What trials of this file have left."""
    chosen = [f"{name}={value}" for name, value in LABELS.items()]
    found = await clients.run(lambda api: api.volumes(filters={"label": chosen}))
    return [volume["Name"] for volume in found["Volumes"] or ()]


@pytest.mark.docker
@pytest.mark.parametrize(("options", "holds"), [(TMPFS, True), ({**TMPFS, "o": BOUNDLESS}, False)])
async def test_a_volume_is_seen_to_hold_or_not_by_overfilling_it(
    clients: DockerClients, image: str, options: Mapping[str, str], *, holds: bool
) -> None:
    name = f"ways-{os.getpid()}"
    await clients.run(lambda api: api.create_volume(name, driver_opts=dict(options)))
    try:
        why_not = await overfill(clients, name, image=image)
    finally:
        await clients.run(lambda api: api.remove_volume(name))

    assert (why_not == "") is holds


@pytest.mark.docker
async def test_a_loop_disk_is_taken_where_one_proves_to_hold(
    clients: DockerClients, image: str, tmp_path: Path
) -> None:
    disks = LoopDisks(tmp_path / "volumes", links=tmp_path / "links")
    found = await DockerVolumes(clients, disks=disks, image=image).best(LABELS)

    assert found == DiskFinding(way=DiskWay.LOOP, tried=True, passed_over={})
    assert await volumes(clients) == []
    assert list_of(tmp_path / "volumes") == []


@pytest.mark.docker
async def test_what_a_killed_daemons_trial_left_goes_with_the_next_trial(
    clients: DockerClients, image: str, tmp_path: Path
) -> None:
    gone = await asyncio.create_subprocess_exec("true")
    await gone.wait()
    left = f"{TRIAL_PREFIX}{gone.pid}-7"
    half_made = tmp_path / "volumes" / f"{TRIAL_PREFIX}{gone.pid}-8.new"
    disks = LoopDisks(tmp_path / "volumes", links=tmp_path / "links")
    await disks.ensure(left, TRIAL_BYTES)

    def leave(api: Any) -> None:
        api.create_volume(left, driver_opts=dict(TMPFS), labels=LABELS)
        config = api.create_host_config(binds={left: {"bind": "/data", "mode": "rw"}})
        api.create_container(
            image, ["true"], labels={LABEL_TRIAL: left}, host_config=config, network_disabled=True
        )

    await clients.run(leave)
    half_made.touch()
    mine = f"{TRIAL_PREFIX}{os.getpid()}-9"
    await disks.ensure(mine, TRIAL_BYTES)
    await DockerVolumes(clients, disks=disks, image=image).best(LABELS)
    kept = [path.name for path in list_of(tmp_path / "volumes")]
    await disks.remove(mine)

    assert await volumes(clients) == []
    assert kept == [f"{mine}.img"]


class UnableDisks(LoopDisks):
    """On a machine whose loop devices are all taken, or forbidden."""

    async def ensure(self, name: str, size_bytes: int) -> Path:
        raise EngineFailure("losetup failed: cannot find an unused loop device")


@pytest.mark.docker
async def test_a_loop_disk_that_cannot_be_attached_is_passed_over_with_the_reason(
    clients: DockerClients, image: str, tmp_path: Path
) -> None:
    disks = UnableDisks(tmp_path / "volumes", links=tmp_path / "links")
    found = await DockerVolumes(clients, disks=disks, image=image).best(LABELS)

    assert found.way is not DiskWay.LOOP
    assert "unused loop device" in found.passed_over[DiskWay.LOOP]


@pytest.mark.docker
async def test_a_quota_that_the_engine_takes_and_holds_is_used_and_given_to_the_plugins_user(
    clients: DockerClients, image: str
) -> None:
    store = TakesQuota(clients, disks=None, image=image)
    store.behind = {**TMPFS, "o": f"size={TRIAL_BYTES}"}
    found = await store.best(LABELS)

    assert (found.way, found.tried) == (DiskWay.QUOTA, True)
    assert list(found.passed_over) == [DiskWay.LOOP]


@pytest.mark.docker
async def test_a_quota_that_the_engine_takes_and_does_not_hold_is_not_believed(
    clients: DockerClients, image: str
) -> None:
    found = await TakesQuota(clients, disks=None, image=image).best(LABELS)

    assert found.way is DiskWay.TMPFS
    assert found.passed_over[DiskWay.QUOTA] == (
        f"{2 * TRIAL_BYTES} bytes were written and then no error came, expected ENOSPC"
    )
    assert await volumes(clients) == []


@pytest.mark.docker
async def test_nothing_is_made_where_nothing_holds(clients: DockerClients, image: str) -> None:
    class Boundless(DockerVolumes):
        async def _options(self, way: DiskWay, name: str, size_bytes: int) -> dict[str, str]:
            return {}

    with pytest.raises(EngineFailure, match="Nothing here holds a volume to its size"):
        await Boundless(clients, disks=None, image=image).best(LABELS)
    assert await volumes(clients) == []


@pytest.mark.docker
async def test_without_an_image_to_try_with_no_quota_is_believed_and_it_is_said_so(
    clients: DockerClients, image: str
) -> None:
    store = TakesQuota(clients, disks=None, image="orchestrator-test-nowhere:1")
    before = await store.best(LABELS)
    store._image = image  # it has been made meanwhile
    after = await store.best(LABELS)

    assert (before.way, before.tried) == (DiskWay.TMPFS, False)
    assert "no base image" in before.passed_over[DiskWay.QUOTA]
    assert after.tried


@pytest.mark.docker
async def test_a_volume_under_a_quota_does_not_change_its_size(clients: DockerClients) -> None:
    # As inspected; engines 20.10.24 and 28.5.2 take `size` and refuse it where the file system has
    # no project quotas: "quota size requested but no quota support".
    before = {"Name": "data", "Options": {"size": str(8 * MIB)}, "Labels": dict(LABELS)}
    store = DockerVolumes(clients, disks=None)

    assert await store._make(DiskWay.QUOTA, "data", 8 * MIB, LABELS, before) is before
    with pytest.raises(EngineFailure, match=f"held to {8 * MIB} bytes by the engine's quota"):
        await store._make(DiskWay.QUOTA, "data", 16 * MIB, LABELS, before)


def list_of(folder: Path) -> list[Path]:
    return list(folder.iterdir())
