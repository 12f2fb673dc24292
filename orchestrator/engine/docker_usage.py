"""DockerUsages: the kernel's own files where they are in sight, else the engine's statistics.

The engine's come in a stream for each container (docker_stats.py); they tell of no disks and of
no OOM kills.
"""

import contextlib
from typing import Any, Final

from orchestrator.engine.base import ContainerNotFound
from orchestrator.engine.cgroups import Groups, find_groups, groups_of_process, read_usage
from orchestrator.engine.docker_client import DockerClients
from orchestrator.engine.docker_stats import StatsStreams
from orchestrator.engine.usage import Usage
from orchestrator.model.container import ContainerState

_MOST_KNOWN: Final = 4_096
_LOCAL: Final = ("unix://", "http+unix://")


class DockerUsages:
    """See Usages. `aclose` ends the streams, before the clients are closed."""

    def __init__(self, clients: DockerClients, streams: StatsStreams) -> None:
        self._clients = clients
        self._streams = streams
        self._groups: dict[str, Groups | None] = {}
        """By container; None: not in sight."""

    async def read(self, container: ContainerState, *, disk: str = "") -> Usage | None:
        container_id = container.container_id
        if container_id not in self._groups:
            if len(self._groups) >= _MOST_KNOWN:
                self._groups.clear()  # most of them are of containers that are no more
            self._groups[container_id] = await self._find(container_id)
        groups = self._groups[container_id]
        if groups is None:
            usage = await self._streams.read(container_id)
        else:
            usage = read_usage(groups, disk=disk)
        if usage is None:
            self._groups.pop(container_id, None)  # it ended; another run has another group
        return usage

    async def aclose(self) -> None:
        await self._streams.aclose()

    async def _find(self, container_id: str) -> Groups | None:
        if not self._clients.address.startswith(_LOCAL):
            return None
        found = find_groups(container_id)
        if found is not None:
            return found

        def call(api: Any) -> int:
            pid: int = api.inspect_container(container_id)["State"]["Pid"]
            return pid

        with contextlib.suppress(ContainerNotFound):
            return groups_of_process(await self._clients.run(call), container_id)
        return None
