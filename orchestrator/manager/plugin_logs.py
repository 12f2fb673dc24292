"""PluginLogs: what a plugin wrote, by its name."""

from collections.abc import AsyncGenerator

from orchestrator.engine.base import Engine, LogLine
from orchestrator.manager.manager import PluginManager


class PluginLogs:
    """Reads only; the lines are the plugin's own words, which nobody checked."""

    def __init__(self, *, manager: PluginManager, engine: Engine) -> None:
        self._manager = manager
        self._engine = engine

    def lines(
        self, plugin_id: str, *, follow: bool, since: float, tail: int | None
    ) -> AsyncGenerator[LogLine, None]:
        """From `since` on, of those the last `tail`. Raises PluginNotFound, before any line."""
        container_id = self._manager.container_id(plugin_id)
        return self._read(container_id, follow=follow, since=since, tail=tail)

    async def _read(
        self, container_id: str, *, follow: bool, since: float, tail: int | None
    ) -> AsyncGenerator[LogLine, None]:
        async for line in self._engine.logs(container_id, follow=follow, since=since, tail=tail):
            yield line
