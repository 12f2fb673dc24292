"""Sample: what one plugin uses of the machine at one moment, beside what it may use."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """None where the kernel, the engine or the runtime does not tell.

    Totals count since the daemon started, over all containers of the plugin; network counts within
    the window of `policy.egress.window_seconds`.
    """

    at: float
    """Seconds since the epoch."""
    containers: int = 1
    """How many of the plugin the sums are of."""
    memory_bytes: int | None = None
    memory_limit_bytes: int | None = None
    cpu_seconds_total: float | None = None
    cpu_limit_percent: int | None = None
    """Percent of one core."""
    throttled_seconds_total: float | None = None
    throttled_periods_total: int | None = None
    periods_total: int | None = None
    pids: int | None = None
    pids_limit: int | None = None
    oom_kills_total: int | None = None
    disk_bytes: int | None = None
    disk_limit_bytes: int | None = None
    network_bytes: int | None = None
    network_limit_bytes: int | None = None
