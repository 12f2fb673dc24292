"""Usages: what a container uses of the machine at this moment. A power that an engine may have."""

from dataclasses import dataclass
from typing import Protocol

from orchestrator.model.container import ContainerState


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """None where nobody tells. Totals count since the container was started."""

    memory_bytes: int | None = None
    """Without what was read from disk and can be dropped at once."""
    cpu_seconds: float | None = None
    throttled_seconds: float | None = None
    throttled_periods: int | None = None
    periods: int | None = None
    pids: int | None = None
    oom_kills: int | None = None
    disk_bytes: int | None = None
    """In use, of the disk that was asked about."""
    disk_size_bytes: int | None = None
    """All of that disk; one larger than the plugin's own is another."""


class Usages(Protocol):
    """Quick enough for hundreds of containers every few seconds."""

    async def read(self, container: ContainerState, *, disk: str = "") -> Usage | None:
        """Of a container that runs, and of the disk at that path in it; None if it ended meanwhile.

        Raises EngineUnavailable, EngineFailure.
        """
