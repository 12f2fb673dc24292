"""Whether this process is in a container itself, and sees the host's folders at the host's paths.

Plugins' containers mount folders by their paths on the host. A daemon in a container that sees its
state folder elsewhere would have the engine mount something else: it must not even start.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from orchestrator.engine.base import ContainerNotFound, EngineUnavailable
from orchestrator.engine.docker_client import DockerClients
from orchestrator.errors import Kind, OrchestratorError

MOUNT_TABLE = Path("/proc/self/mountinfo")
# Docker lays these three of every container's over its root.
_OWN_FILE = re.compile(r"/containers/([0-9a-f]{64})/(?:hostname|hosts|resolv\.conf) /etc/")


class HostPathDiffers(OrchestratorError):
    """The daemon runs in a container and sees a folder elsewhere than the host does."""

    kind, code = Kind.INVALID, "host_path_differs"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnMount:
    """A folder of the host in our container."""

    source: str
    target: str


def own_container_id(mount_table: str) -> str | None:
    """The id of the container in which this process runs; None where it is in none of Docker's."""
    found = _OWN_FILE.search(mount_table)
    return found.group(1) if found else None


async def check_own_mounts(
    clients: DockerClients, container_id: str, folders: Mapping[str, Path]
) -> bool:
    """Whether the engine knows this container as one of its own. Raises HostPathDiffers.

    `folders` by what they are called. An engine that is away or another one has nothing to say.
    """
    try:
        found = await clients.run(lambda api: api.inspect_container(container_id))
    except (ContainerNotFound, EngineUnavailable):
        return False
    mounts = own_mounts(found)
    for name, folder in folders.items():
        on_host = host_path(PurePosixPath(folder), mounts)
        if on_host != str(folder):
            raise HostPathDiffers(
                f"{name}: found {folder} of this container "
                + (f"at {on_host} on the host" if on_host else "nowhere on the host")
                + f", expected the same path, since plugins mount it: --volume {folder}:{folder}"
            )
    return True


def own_mounts(inspected: Mapping[str, Any]) -> tuple[OwnMount, ...]:
    """What `docker inspect` tells of our mounts."""
    mounts = [
        OwnMount(source=str(mount["Source"]), target=str(mount["Destination"]))
        for mount in inspected.get("Mounts") or ()
        if mount.get("Type") == "bind"
    ]
    if (inspected.get("HostConfig") or {}).get("IpcMode") == "host":
        mounts.append(OwnMount(source="/dev/shm", target="/dev/shm"))  # noqa: S108 - the host's
    return tuple(mounts)


def host_path(path: PurePosixPath, mounts: Iterable[OwnMount]) -> str | None:
    """Where on the host that path of ours lies; None if it is the container's own."""
    over = [mount for mount in mounts if path.is_relative_to(mount.target)]
    if not over:
        return None
    nearest = max(over, key=lambda mount: len(PurePosixPath(mount.target).parts))
    return str(PurePosixPath(nearest.source) / path.relative_to(nearest.target))
