"""DockerUsages: the kernel's own files where they are in sight, else the engine's statistics.

The engine's are asked for one shot each: as usually asked they take a second, since the engine
measures twice. An engine before API 1.41 knows no single shots, and is not asked at all.
"""

import contextlib
from collections.abc import Mapping
from typing import Any, Final

from orchestrator.engine.base import ContainerNotFound
from orchestrator.engine.cgroups import Groups, find_groups, groups_of_process, read_usage
from orchestrator.engine.docker_client import DockerClients
from orchestrator.engine.usage import Usage
from orchestrator.model.container import ContainerState

_FIRST_WITH_ONE_SHOT: Final = (1, 41)
_MOST_KNOWN: Final = 4_096
_NANO: Final = 1e-9
_LOCAL: Final = ("unix://", "http+unix://")


class DockerUsages:
    """See Usages."""

    def __init__(self, clients: DockerClients) -> None:
        self._clients = clients
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
            return await self._ask(container_id)
        usage = read_usage(groups, disk=disk)
        if usage is None:
            del self._groups[container_id]  # it ended; another run has another group
        return usage

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

    async def _ask(self, container_id: str) -> Usage | None:
        def call(api: Any) -> dict[str, Any]:
            version = tuple(int(part) for part in api.api_version.split("."))
            if version < _FIRST_WITH_ONE_SHOT:
                return {}
            answer: dict[str, Any] = api.stats(container_id, stream=False, one_shot=True)
            return answer

        with contextlib.suppress(ContainerNotFound):
            return decode_usage(await self._clients.run(call))
        return None


def decode_usage(stats: Mapping[str, Any]) -> Usage | None:
    """The engine's statistics in our words; None for a container that does not run."""
    memory, cpu = stats.get("memory_stats") or {}, stats.get("cpu_stats") or {}
    used = memory.get("usage")
    if used is None:
        return None
    details = memory.get("stats") or {}
    cached = details.get("total_inactive_file", details.get("inactive_file", 0))
    throttling = cpu.get("throttling_data") or {}
    return Usage(
        memory_bytes=max(0, used - cached),
        cpu_seconds=(cpu.get("cpu_usage") or {}).get("total_usage", 0) * _NANO,
        throttled_seconds=throttling.get("throttled_time", 0) * _NANO,
        throttled_periods=throttling.get("throttled_periods"),
        periods=throttling.get("periods"),
        pids=(stats.get("pids_stats") or {}).get("current"),
    )
