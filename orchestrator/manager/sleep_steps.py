"""Pausing a plugin that nobody calls, and waking it up: two of the steps."""

from orchestrator.engine.base import LABEL_PLUGIN
from orchestrator.engine.pausing import Pausing
from orchestrator.manager.actions import Pause, Resume
from orchestrator.manager.fleet import Fleet


class SleepSteps:
    """Does nothing with an engine that cannot pause."""

    def __init__(self, fleet: Fleet, pausing: Pausing | None) -> None:
        self._fleet = fleet
        self._pausing = pausing

    async def perform(self, action: Pause | Resume) -> None:
        """Raises what the engine raises."""
        if isinstance(action, Pause):
            await self._pause(action.container_id)
        else:
            await self.resume(action.container_id)

    async def _pause(self, container_id: str) -> None:
        """The sandbox first, so that no call is on its way to a container that stands still."""
        container = self._fleet.containers.get(container_id)
        sandbox = self._fleet.sandbox_of(container) if container is not None else None
        if self._pausing is None or container is None or sandbox is None:
            return
        if not sandbox.pause():
            self._fleet.touch(container.label(LABEL_PLUGIN))  # something is at it after all
            return
        try:
            await self._pausing.pause(container_id)
        except BaseException:
            sandbox.resume()
            raise

    async def resume(self, container_id: str) -> None:
        """Whoever paused it."""
        if self._pausing is not None:
            await self._pausing.unpause(container_id)
        container = self._fleet.containers.get(container_id)
        sandbox = self._fleet.sandbox_of(container) if container is not None else None
        if sandbox is not None:
            sandbox.resume()
