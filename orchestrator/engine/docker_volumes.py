"""DockerVolumes: plugins' volumes, held to an exact size by a loop disk or, failing that, tmpfs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import docker
import docker.errors
import requests

from orchestrator.engine.base import LABEL_INSTANCE, EngineFailure, VolumeState
from orchestrator.engine.docker_client import DockerClients
from orchestrator.engine.loop_disks import LoopDisks, obstacle
from orchestrator.model.container import PLUGIN_UID, VolumeMount

_ENFORCED_BY = {"ext4": "loop ext4", "tmpfs": "tmpfs (not persistent)"}
_UNHELD = "nothing (not made by this orchestrator)"
_BYTES_PER_INODE = 4_096


class DockerVolumes:
    """VolumeStore. Without `disks` every volume is a tmpfs: exact, but empty after each stop."""

    def __init__(self, clients: DockerClients, *, disks: LoopDisks | None) -> None:
        self._clients = clients
        self._disks = disks

    @classmethod
    def detect(cls, clients: DockerClients, *, folder: Path, links: Path) -> "DockerVolumes":
        """Loop disks in `folder` where this process can make them and the engine is local."""
        local = clients.address.startswith("unix://") and obstacle() is None
        return cls(clients, disks=LoopDisks(folder, links=links) if local else None)

    async def ensure(self, mount: VolumeMount, labels: Mapping[str, str]) -> VolumeState:
        """See VolumeStore. A tmpfs that some container still refers to keeps its size: refused."""
        before = await self._inspect(mount.volume)
        if before is not None:
            _check_owner(before, labels)
        if self._disks is not None:
            options = _disk(await self._disks.ensure(mount.volume, mount.size_bytes))
        elif before is not None and _kind(before) == "ext4":
            raise EngineFailure(
                f"Volume {mount.volume} is a loop disk, but this process cannot attach it"
                f" ({obstacle() or 'the engine is remote'}); expected the rights it was made with"
            )
        else:
            options = _tmpfs(mount.size_bytes)
        if before is not None and before["Options"] != options:
            await self._remove_object(mount.volume)
            before = None
        if before is None:
            before = await self._clients.run(
                lambda api: api.create_volume(
                    mount.volume, driver="local", driver_opts=options, labels=dict(labels)
                )
            )
        return _state(before)

    async def list(self, labels: Mapping[str, str]) -> list[VolumeState]:
        wanted = [f"{name}={value}" for name, value in labels.items()]
        found = await self._clients.run(lambda api: api.volumes(filters={"label": wanted}))
        return sorted(map(_state, found["Volumes"] or ()), key=lambda state: state.name)

    async def remove(self, name: str) -> None:
        """See VolumeStore. Raises EngineFailure while a container, even a stopped one, has it.

        The data goes first: were we killed in between, the volume would still be listed.
        """
        users = await self._clients.run(
            lambda api: api.containers(all=True, filters={"volume": name})
        )
        if users:
            names = ", ".join(sorted(user["Names"][0].removeprefix("/") for user in users))
            raise EngineFailure(f"Volume {name} is in use by {names}; expected no container")
        if self._disks is not None:
            await self._disks.remove(name)
        await self._remove_object(name)

    async def _inspect(self, name: str) -> dict[str, Any] | None:
        def call(api: docker.APIClient) -> dict[str, Any] | None:
            try:
                found: dict[str, Any] = api.inspect_volume(name)
            except docker.errors.NotFound:
                return None
            return found

        return await self._clients.run(call)

    async def _remove_object(self, name: str) -> None:
        def call(api: docker.APIClient) -> None:
            try:
                api.remove_volume(name)
            except docker.errors.NotFound:
                pass
            except docker.errors.APIError as error:
                if error.status_code == requests.codes.conflict:
                    raise EngineFailure(
                        f"Volume {name} is in use, so its size cannot change:"
                        f" {error.explanation}; expected its container to be removed first"
                    ) from error
                raise

        await self._clients.run(call)


def _disk(link: Path) -> dict[str, str]:
    return {"type": "ext4", "device": str(link), "o": "nosuid,nodev,noexec"}


def _tmpfs(size_bytes: int) -> dict[str, str]:
    owner = f"uid={PLUGIN_UID},gid={PLUGIN_UID},mode=0755"
    inodes = max(64, size_bytes // _BYTES_PER_INODE)
    limits = f"size={size_bytes},nr_inodes={inodes}"
    return {"type": "tmpfs", "device": "tmpfs", "o": f"nosuid,nodev,noexec,{owner},{limits}"}


def _kind(volume: Mapping[str, Any]) -> str:
    return str((volume["Options"] or {}).get("type", ""))


def _state(volume: Mapping[str, Any]) -> VolumeState:
    return VolumeState(
        name=volume["Name"],
        labels=tuple(sorted((volume["Labels"] or {}).items())),
        enforced_by=_ENFORCED_BY.get(_kind(volume), _UNHELD),
    )


def _check_owner(volume: Mapping[str, Any], labels: Mapping[str, str]) -> None:
    owner = (volume["Labels"] or {}).get(LABEL_INSTANCE)
    if owner != labels.get(LABEL_INSTANCE):
        raise EngineFailure(
            f"Volume {volume['Name']} belongs to {owner or 'somebody else'};"
            f" expected {LABEL_INSTANCE}={labels.get(LABEL_INSTANCE)}"
        )
