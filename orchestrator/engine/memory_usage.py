"""MemoryUsages: the in-memory twin of Usages; what containers use is what somebody set."""

from orchestrator.engine.base import EngineFailure
from orchestrator.engine.usage import Usage
from orchestrator.model.container import ContainerState


class MemoryUsages:
    """A container of which nothing was said uses `default`."""

    def __init__(self, default: Usage | None = None) -> None:
        self._default = default or Usage(memory_bytes=0, cpu_seconds=0.0, pids=1)
        self._usages: dict[str, Usage | None] = {}
        self._failing: set[str] = set()

    def set(self, container_id: str, usage: Usage | None) -> None:
        """What it uses from now on; None: it has ended."""
        self._usages[container_id] = usage

    def fail(self, container_id: str) -> None:
        """The engine cannot tell of this one."""
        self._failing.add(container_id)

    async def read(self, container: ContainerState, *, disk: str = "") -> Usage | None:
        if container.container_id in self._failing:
            raise EngineFailure(f"no usage of {container.container_id}")
        return self._usages.get(container.container_id, self._default)
