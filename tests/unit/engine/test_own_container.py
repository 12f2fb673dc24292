"""Where a daemon in a container sees the host's folders, and when that is the wrong place."""

from pathlib import PurePosixPath
from typing import Any

import pytest

from orchestrator.engine.own_container import OwnMount, host_path, own_container_id, own_mounts

ID = "4b" * 32
TABLE = (
    "729 624 0:52 / / rw,relatime - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/A\n"
    "730 729 0:55 / /proc rw,nosuid - proc proc rw\n"
    f"737 729 254:1 /docker/containers/{ID}/resolv.conf /etc/resolv.conf rw - ext4 /dev/vda1 rw\n"
    "740 729 254:1 /srv/state /srv/state rw,relatime - ext4 /dev/vda1 rw\n"
)
MOUNTS = (
    OwnMount(source="/srv/orchestrator", target="/srv/orchestrator"),
    OwnMount(source="/mnt/fast", target="/srv/orchestrator/default/volumes"),
    OwnMount(source="/data/home", target="/home"),
)


def test_a_container_of_dockers_is_known_by_the_files_that_are_laid_over_it() -> None:
    assert own_container_id(TABLE) == ID


@pytest.mark.parametrize(
    "table",
    [
        "",
        "26 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw\n",
        # A host on which containers run: their roots are mounted, and none of them is ours.
        f"99 26 0:44 / /var/lib/docker/containers/{ID}/mounts/shm rw - tmpfs shm rw\n",
    ],
)
def test_a_host_is_no_container(table: str) -> None:
    assert own_container_id(table) is None


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/srv/orchestrator", "/srv/orchestrator"),
        ("/srv/orchestrator/default/sockets", "/srv/orchestrator/default/sockets"),
        ("/srv/orchestrator/default/volumes/a.img", "/mnt/fast/a.img"),
        ("/home/me/state", "/data/home/me/state"),
        ("/homestead", None),
        ("/var/lib/orchestrator", None),
    ],
)
def test_the_nearest_mount_says_where_a_folder_is_on_the_host(path: str, found: str | None) -> None:
    assert host_path(PurePosixPath(path), MOUNTS) == found


def test_only_binds_are_folders_of_the_host_and_its_shared_memory_comes_with_its_ipc() -> None:
    inspected: dict[str, Any] = {
        "Mounts": [
            {"Type": "bind", "Source": "/a", "Destination": "/b"},
            {"Type": "volume", "Source": "/var/lib/docker/volumes/v/_data", "Destination": "/v"},
            {"Type": "tmpfs", "Source": "", "Destination": "/tmp"},
        ],
        "HostConfig": {"IpcMode": "private"},
    }
    plain = own_mounts(inspected)
    inspected["HostConfig"]["IpcMode"] = "host"

    assert plain == (OwnMount(source="/a", target="/b"),)
    assert own_mounts(inspected) == (*plain, OwnMount(source="/dev/shm", target="/dev/shm"))
    assert own_mounts({}) == ()
