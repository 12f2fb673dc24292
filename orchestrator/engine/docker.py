"""DockerEngine: the nine verbs, and the probe, on a Docker engine."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import docker
import docker.errors
import requests

from orchestrator.engine.base import (
    ANY,
    NO_MARKS,
    EngineEvent,
    EngineFailure,
    EngineInfo,
    LogLine,
    StartRefused,
    carries,
)
from orchestrator.engine.docker_client import DockerClients
from orchestrator.engine.docker_codec import (
    CPU_PERIOD_MICROSECONDS,
    cpu_quota,
    decode_shares,
    decode_state,
    dropped_limits,
    encode,
)
from orchestrator.engine.docker_host import open_files_limit
from orchestrator.engine.docker_stream import follow_events, follow_logs
from orchestrator.engine.share_mounts import ShareMounts
from orchestrator.model.container import ContainerPhase, ContainerSpec, ContainerState
from orchestrator.model.runtime import Runtime

_FIRST_LOOK_SECONDS = 0.01
_SLOWEST_LOOK_SECONDS = 0.25
_KILL_SECONDS = 30


class DockerEngine:
    """Engine and Probe; the clients belong to the caller, who closes them."""

    def __init__(
        self,
        clients: DockerClients,
        shares: ShareMounts | None = None,
        *,
        marks: Mapping[str, str] = NO_MARKS,
    ) -> None:
        """`marks` are labels of everything that it makes, beside those that are given."""
        self._clients = clients
        self._marks = marks
        self._shares = shares or ShareMounts(address=clients.address)
        self._info: EngineInfo | None = None
        self._max_open_files: int | None = None

    async def create(self, spec: ContainerSpec, *, name: str, labels: Mapping[str, str]) -> str:
        """See Engine. Raises StartRefused for an image that would bring volumes of its own."""
        if self._info is None:
            self._max_open_files = await asyncio.to_thread(open_files_limit, self._clients.address)
            self._info = await self.info()
        swappiness = self._info.cgroup_version == 1

        def call(api: Any) -> str:
            refuse_volumes(spec, api.inspect_image(spec.image))
            container_id: str = api.create_container_from_config(body, name)["Id"]
            return container_id

        async with self._shares.mounted(spec.share_mounts) as places:  # Docker looks for them
            body = encode(
                spec,
                labels={**labels, **self._marks},
                swappiness=swappiness,
                max_open_files=self._max_open_files,
                shares=places,
            )
            return await self._clients.run(call)

    async def start(self, container_id: str) -> None:
        raw = await self._inspect(container_id)
        async with self._shares.mounted(decode_shares(raw) if raw is not None else ()):
            await self._start(container_id)

    async def _start(self, container_id: str) -> None:
        def call(api: docker.APIClient) -> None:
            try:
                api.start(container_id)
            except docker.errors.APIError as error:
                words = str(error.explanation)
                if "no such container" in words.lower() or "no space left" in words.lower():
                    raise
                raise StartRefused(f"The Docker engine would not start it: {words}") from error

        await self._clients.run(call)

    async def stop(self, container_id: str, *, grace_seconds: float) -> None:
        """See Engine. Looks again and again, for Docker's own stop would hold a worker meanwhile.

        A few plugins that ignore SIGTERM would then stop the orchestrator's every other request.
        """
        if grace_seconds > 0 and await self._signal(container_id, "SIGTERM"):
            await self._until(container_id, _stopped, grace_seconds)
        if await self._signal(container_id, "SIGKILL") and not await self._until(
            container_id, _stopped, _KILL_SECONDS
        ):
            raise EngineFailure(
                f"Container {container_id[:12]} still runs {_KILL_SECONDS} s after SIGKILL;"
                " expected it dead: is the disk or the kernel stuck?"
            )

    async def remove(self, container_id: str) -> None:
        def call(api: docker.APIClient) -> bool:
            try:
                api.remove_container(container_id, force=True, v=True)
            except docker.errors.NotFound:
                return True
            except docker.errors.APIError as error:
                if "is already in progress" in str(error.explanation):
                    return False
                raise
            return True

        # Not left to Docker's own force: it does not end gVisor while paused, else after 10 s.
        await self.stop(container_id, grace_seconds=0)
        # Perhaps somebody else is removing it already.
        if not await self._clients.run(call) and not await self._until(
            container_id, _gone, _KILL_SECONDS
        ):
            raise EngineFailure(
                f"Container {container_id[:12]} is still being removed after {_KILL_SECONDS} s"
            )

    async def set_cpu(self, container_id: str, *, cpu_percent: int) -> None:
        await self._clients.run(
            lambda api: api.update_container(
                container_id, cpu_period=CPU_PERIOD_MICROSECONDS, cpu_quota=cpu_quota(cpu_percent)
            )
        )

    async def list(self, labels: Mapping[str, str]) -> list[ContainerState]:
        wanted = [name if value == ANY else f"{name}={value}" for name, value in labels.items()]
        found: list[dict[str, Any]] = await self._clients.run(
            lambda api: api.containers(quiet=True, all=True, filters={"label": wanted})
        )
        states = await asyncio.gather(*(self.inspect(item["Id"]) for item in found))
        # Docker also finds labels that come from the image; those are not the container's own.
        own = [it for it in states if it is not None and carries(it.labels, labels)]
        return sorted(own, key=lambda state: state.name)

    async def inspect(self, container_id: str) -> ContainerState | None:
        raw = await self._inspect(container_id)
        return decode_state(raw) if raw is not None else None

    def events(
        self,
        labels: Mapping[str, str],
        *,
        since: float,
        opened: Callable[[], None] | None = None,
    ) -> AsyncIterator[EngineEvent]:
        return follow_events(self._clients, labels, since=since, opened=opened)

    def logs(
        self, container_id: str, *, follow: bool, since: float, tail: int | None
    ) -> AsyncIterator[LogLine]:
        """See Engine. A line of more than 16 KiB is cut there. Raises ContainerNotFound."""
        return follow_logs(self._clients, container_id, follow=follow, since=since, tail=tail)

    async def info(self) -> EngineInfo:
        raw, version = await self._clients.run(lambda api: (api.info(), api.api_version))
        options = tuple(raw.get("SecurityOptions") or ())
        return EngineInfo(
            name=raw["Name"],
            version=raw["ServerVersion"],
            api_version=version,
            cgroup_version=int(raw.get("CgroupVersion") or 1),
            cgroup_driver=raw["CgroupDriver"],
            dropped_limits=dropped_limits(raw),
            storage_driver=raw["Driver"],
            security_options=options,
            runtimes=tuple(sorted(raw.get("Runtimes") or ())),
            runsc_arguments=tuple(
                ((raw.get("Runtimes") or {}).get(Runtime.RUNSC) or {}).get("runtimeArgs") or ()
            ),
            has_init=bool(raw.get("InitBinary")),
            rootless=any("name=rootless" in option for option in options),
            cores=raw["NCPU"],
            memory_bytes=raw["MemTotal"],
            root_dir=raw["DockerRootDir"],
        )

    async def _inspect(self, container_id: str) -> dict[str, Any] | None:
        def call(api: docker.APIClient) -> dict[str, Any] | None:
            try:
                found: dict[str, Any] = api.inspect_container(container_id)
            except docker.errors.NotFound:
                return None
            return found

        return await self._clients.run(call)

    async def _signal(self, container_id: str, signal: str) -> bool:
        """Whether there was something running to send it to."""

        def call(api: docker.APIClient) -> bool:
            try:
                if signal == "SIGKILL" and api.inspect_container(container_id)["State"]["Paused"]:
                    # A paused gVisor cannot be killed; somebody else may be at it already.
                    with contextlib.suppress(docker.errors.APIError):
                        api.unpause(container_id)
                api.kill(container_id, signal)
            except docker.errors.NotFound:
                return False
            except docker.errors.APIError as error:
                if error.status_code == requests.codes.conflict:  # it does not run
                    return False
                raise
            return True

        return await self._clients.run(call)

    async def _until(
        self, container_id: str, done: Callable[[ContainerState | None], bool], seconds: float
    ) -> bool:
        """Whether `done` came true within the seconds."""
        deadline = time.monotonic() + seconds
        pause = _FIRST_LOOK_SECONDS
        while not done(await self.inspect(container_id)):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            await asyncio.sleep(min(pause, left))
            pause = min(2 * pause, _SLOWEST_LOOK_SECONDS)
        return True


def _stopped(state: ContainerState | None) -> bool:
    return state is None or state.phase not in _ALIVE


def _gone(state: ContainerState | None) -> bool:
    return state is None


_ALIVE = {ContainerPhase.RUNNING, ContainerPhase.PAUSED}


def refuse_volumes(spec: ContainerSpec, image: Mapping[str, Any]) -> None:
    """An image's VOLUME would be writable, without any limit on its size, in every container.

    Not where a volume of ours is mounted: the engine makes none there.
    """
    declared = (image["Config"] or {}).get("Volumes") or {}
    if volumes := declared.keys() - {mount.target for mount in spec.volume_mounts}:
        raise StartRefused(
            f"Image {spec.image} declares VOLUME {', '.join(sorted(volumes))}, which no disk limit"
            " would hold; expected an image without VOLUME"
        )
