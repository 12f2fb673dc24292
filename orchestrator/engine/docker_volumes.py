"""DockerVolumes: plugins' volumes, held to an exact size in the best way that proves to hold.

Three ways, in this order: a loop disk holds bytes, files and mount options, and needs root beside
the engine; the engine's own quota holds bytes and persists; a tmpfs holds all but does not persist.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import docker
import docker.errors
import requests

from orchestrator.engine.base import (
    LABEL_INSTANCE,
    LABEL_PLUGIN,
    NO_MARKS,
    DiskFinding,
    DiskWay,
    EngineFailure,
    VolumeState,
)
from orchestrator.engine.disk_trial import (
    TRIAL_BYTES,
    TRIAL_PREFIX,
    abandoned,
    give,
    let_go,
    overfill,
    trial_name,
)
from orchestrator.engine.docker_client import DockerClients
from orchestrator.engine.loop_disks import LoopDisks, obstacle
from orchestrator.errors import OrchestratorError
from orchestrator.model.container import PLUGIN_UID, VolumeMount

_UNHELD: Final = "nothing (not made by this orchestrator)"
_UNTRIED: Final = "there is no base image yet to try it with"
_BYTES_PER_INODE: Final = 4_096


class DockerVolumes:
    """VolumeStore and DiskProbe. Without `disks`, or without an `image` to try with, less is had.

    A volume keeps the way that it was made in, as its data lies there; a tmpfs has none to lose.
    """

    def __init__(
        self,
        clients: DockerClients,
        *,
        disks: LoopDisks | None,
        image: str = "",
        why_not: str = "",
        marks: Mapping[str, str] = NO_MARKS,
    ) -> None:
        self._clients = clients
        self._marks = marks
        self._disks = disks
        self._image = image
        self._why_not = why_not
        self._found: DiskFinding | None = None
        self._one = asyncio.Lock()

    @classmethod
    def detect(
        cls,
        clients: DockerClients,
        *,
        folder: Path,
        links: Path,
        image: str,
        marks: Mapping[str, str] = NO_MARKS,
    ) -> "DockerVolumes":
        """Loop disks in `folder` where this process can make them and the engine is local."""
        local = clients.address.startswith("unix://")
        why_not = (obstacle() or "") if local else "the engine is remote"
        disks = None if why_not else LoopDisks(folder, links=links)
        return cls(clients, disks=disks, image=image, why_not=why_not, marks=marks)

    async def best(self, labels: Mapping[str, str]) -> DiskFinding:
        """See DiskProbe. Tried once; again while there was no image to try with."""
        async with self._one:
            if self._found is None or not self._found.tried:
                self._found = await self._search(labels)
            return self._found

    async def ensure(self, mount: VolumeMount, labels: Mapping[str, str]) -> VolumeState:
        """See VolumeStore. A tmpfs that some container still refers to keeps its size: refused."""
        before = await self._inspect(mount.volume)
        if before is not None:
            _check_owner(before, labels)
        way = _way(before) if before is not None else None
        if way is None or way is DiskWay.TMPFS:
            way = (await self.best(labels)).way
        return _state(await self._make(way, mount.volume, mount.size_bytes, labels, before))

    async def list(self, labels: Mapping[str, str]) -> list[VolumeState]:
        wanted = [f"{name}={value}" for name, value in labels.items()]
        found = await self._clients.run(lambda api: api.volumes(filters={"label": wanted}))
        return sorted(map(_state, found["Volumes"] or ()), key=lambda state: state.name)

    async def remove(self, name: str) -> None:
        """See VolumeStore. Raises EngineFailure while a container, even a stopped one, has it.

        The data goes first: were we killed in between, the volume would still be listed.
        """
        if abandoned(name):
            await let_go(self._clients, name)
        users = await self._clients.run(
            lambda api: api.containers(all=True, filters={"volume": name})
        )
        if users:
            names = ", ".join(sorted(user["Names"][0].removeprefix("/") for user in users))
            raise EngineFailure(f"Volume {name} is in use by {names}; expected no container")
        if self._disks is not None:
            await self._disks.remove(name)
        await self._remove_object(name)

    # -- the ways -------------------------------------------------------------------------------

    async def _search(self, labels: Mapping[str, str]) -> DiskFinding:
        await self._sweep(labels)
        image = await self._trial_image()
        passed_over: dict[DiskWay, str] = {}
        for way in DiskWay:
            why_not = await self._try(way, image, labels)
            if not why_not:
                return DiskFinding(way=way, tried=bool(image), passed_over=passed_over)
            passed_over[way] = why_not
        words = "; ".join(f"{way}: {why_not}" for way, why_not in passed_over.items())
        raise EngineFailure(f"Nothing here holds a volume to its size ({words})")

    async def _sweep(self, labels: Mapping[str, str]) -> None:
        """Take away what a killed daemon's trial left."""
        names = {state.name for state in await self.list(_instance(labels))}
        if self._disks is not None:
            names |= self._disks.names(TRIAL_PREFIX)
        for name in filter(abandoned, sorted(names)):
            with suppress(OrchestratorError):  # it will be tried again
                await self.remove(name)

    async def _try(self, way: DiskWay, image: str, labels: Mapping[str, str]) -> str:
        """Why volumes cannot be held in this way; empty if a small one was."""
        if way is DiskWay.LOOP and self._disks is None:
            return self._why_not or "no folder for disks was given"
        if way is DiskWay.QUOTA and not image:
            return _UNTRIED
        name, mine = trial_name(id(self)), _instance(labels)
        try:
            await self._make(way, name, TRIAL_BYTES, mine, None)
            return await overfill(self._clients, name, image=image) if image else ""
        except OrchestratorError as error:
            return str(error)
        finally:
            await self.remove(name)

    async def _trial_image(self) -> str:
        """The base image, once it is there: whatever the plugins' own hold is a stranger's."""

        def call(api: Any) -> str:
            try:
                api.inspect_image(self._image)
            except docker.errors.ImageNotFound:
                return ""
            return self._image

        return await self._clients.run(call) if self._image else ""

    async def _make(
        self,
        way: DiskWay,
        name: str,
        size_bytes: int,
        labels: Mapping[str, str],
        before: Mapping[str, Any] | None,
    ) -> Mapping[str, Any]:
        options = await self._options(way, name, size_bytes)
        if before is not None and before["Options"] == options:
            return before
        if before is not None and _way(before) is DiskWay.QUOTA:
            raise EngineFailure(
                f"Volume {name} is held to {before['Options']['size']} bytes by the engine's quota,"
                f" which cannot change to {size_bytes}; expected the size it was made with"
            )
        if before is not None:
            await self._remove_object(name)
        made: Mapping[str, Any] = await self._clients.run(
            lambda api: api.create_volume(
                name, driver="local", driver_opts=options, labels={**labels, **self._marks}
            )
        )
        if way is DiskWay.QUOTA:
            try:
                await give(self._clients, name, image=await self._trial_image())
            except BaseException:
                await self._remove_object(name)  # nobody could write there
                raise
        return made

    async def _options(self, way: DiskWay, name: str, size_bytes: int) -> dict[str, str]:
        match way:
            case DiskWay.LOOP:
                return await self._disk(name, size_bytes)
            case DiskWay.QUOTA:
                return {"size": str(size_bytes)}
            case DiskWay.TMPFS:
                return _tmpfs(size_bytes)

    async def _disk(self, name: str, size_bytes: int) -> dict[str, str]:
        if self._disks is None:
            raise EngineFailure(
                f"Volume {name} is a loop disk, but this process cannot attach it"
                f" ({self._why_not}); expected the rights it was made with"
            )
        link = await self._disks.ensure(name, size_bytes)
        return {"type": "ext4", "device": str(link), "o": "nosuid,nodev,noexec"}

    # -------------------------------------------------------------------------------------------

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


def _tmpfs(size_bytes: int) -> dict[str, str]:
    owner = f"uid={PLUGIN_UID},gid={PLUGIN_UID},mode=0755"
    inodes = max(64, size_bytes // _BYTES_PER_INODE)
    limits = f"size={size_bytes},nr_inodes={inodes}"
    return {"type": "tmpfs", "device": "tmpfs", "o": f"nosuid,nodev,noexec,{owner},{limits}"}


def _way(volume: Mapping[str, Any]) -> DiskWay | None:
    """How a volume is held, by its options."""
    options = volume["Options"] or {}
    if set(options) == {"size"}:
        return DiskWay.QUOTA
    return {"ext4": DiskWay.LOOP, "tmpfs": DiskWay.TMPFS}.get(options.get("type", ""))


def _state(volume: Mapping[str, Any]) -> VolumeState:
    return VolumeState(
        name=volume["Name"],
        labels=tuple(sorted((volume["Labels"] or {}).items())),
        enforced_by=_way(volume) or _UNHELD,
    )


def _check_owner(volume: Mapping[str, Any], labels: Mapping[str, str]) -> None:
    owner = (volume["Labels"] or {}).get(LABEL_INSTANCE)
    if owner != labels.get(LABEL_INSTANCE):
        raise EngineFailure(
            f"Volume {volume['Name']} belongs to {owner or 'somebody else'};"
            f" expected {LABEL_INSTANCE}={labels.get(LABEL_INSTANCE)}"
        )


def _instance(labels: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in labels.items() if key != LABEL_PLUGIN}
