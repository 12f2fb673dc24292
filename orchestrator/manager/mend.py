"""Mender: sets back on a running container what somebody changed on it."""

from typing import Final

from orchestrator.engine.base import ContainerNameTaken, Engine, EngineFailure
from orchestrator.engine.repairs import Repairs
from orchestrator.manager.drift import Cure, drift_of, expected_name
from orchestrator.manager.fleet import Fleet
from orchestrator.model.container import ContainerState
from orchestrator.policy.compile import Compiled

_LIMITS: Final = frozenset({"memory_bytes", "memory_swap_bytes", "pids_limit", "restart_policy"})


class Mender:
    """Sets back what `fleet.drifts` holds, for that has been told.

    What somebody changed since is left for the next look: nothing is ever set back in silence.
    Without `repairs` only the CPU quota can be set back.
    """

    def __init__(self, *, engine: Engine, repairs: Repairs | None, fleet: Fleet) -> None:
        self._engine = engine
        self._repairs = repairs
        self._fleet = fleet

    async def mend(self, compiled: Compiled, container_id: str) -> bool:
        """Whether it may stay; else a new container has to take its place.

        Raises EngineUnavailable.
        """
        container = await self._engine.inspect(container_id)
        if container is None:
            return True  # the next look tells
        told = {it for it in self._fleet.drifts.get(container_id, ()) if it.cure is Cure.SET_BACK}
        fields = {it.field for it in drift_of(compiled, container) if it in told}
        try:
            if "cpu_percent" in fields:
                cpu_percent = compiled.spec.cpu_percent
                await self._engine.set_cpu(container_id, cpu_percent=cpu_percent)
            may_stay = await self._set_back(compiled, container, fields - {"cpu_percent"})
        except EngineFailure:
            return False  # more memory is in use than it may have, say
        fresh = await self._engine.inspect(container_id)
        if fresh is not None:
            self._fleet.containers[container_id] = fresh
        return may_stay

    async def _set_back(
        self, compiled: Compiled, container: ContainerState, fields: set[str]
    ) -> bool:
        if self._repairs is None:
            return not fields
        if fields & _LIMITS:
            await self._repairs.set_limits(container.container_id, compiled.spec, fields & _LIMITS)
        if "networks" in fields and container.adjustable is not None:
            for network in container.adjustable.networks:
                await self._repairs.leave(container.container_id, network)
        if "name" in fields:
            await self._rename(container.container_id, expected_name(compiled, container))
        return True

    async def _rename(self, container_id: str, name: str) -> None:
        if self._repairs is None:
            return
        try:
            await self._repairs.rename(container_id, name)
        except ContainerNameTaken:
            return  # by a stranger's, which is not ours to move: it goes on under its new name
