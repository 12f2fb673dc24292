"""ResourceLimits: six numbers that the kernel, or a broker that sees every byte, enforces."""

from typing import Annotated

from pydantic import Field

from orchestrator.model.base import Model


class ResourceLimits(Model):
    """The specification's limits and defaults; sandbox.md says what holds each."""

    max_memory_mb: Annotated[int, Field(ge=8, le=1_048_576)] = 100
    """MiB of memory, swap included, tmpfs counted."""
    max_cpu_percent: Annotated[int, Field(ge=1, le=100_000)] = 10
    """Percent of one core: 150 is one core and a half."""
    max_disk_mb: Annotated[int, Field(ge=4, le=1_048_576)] = 50
    """MiB of the volume at /data."""
    max_network_mb: Annotated[int, Field(ge=0, le=1_048_576)] = 10
    """MiB in both directions within the policy's network window."""
    max_execution_time_sec: Annotated[int, Field(ge=1, le=86_400)] = 30
    """Deadline of one call, in seconds."""
    max_concurrent_requests: Annotated[int, Field(ge=1, le=256)] = 5
    """Calls that run at the same time: the number of connections the plugin dials."""

    def exceeding(self, ceiling: "ResourceLimits") -> dict[str, tuple[int, int]]:
        """The fields above `ceiling`, each with (asked, ceiling)."""
        mine, most = self.model_dump(), ceiling.model_dump()
        return {name: (mine[name], most[name]) for name in mine if mine[name] > most[name]}
