"""PluginStatus: how a plugin does, as an operator sees it."""

from dataclasses import dataclass
from enum import StrEnum


class PluginState(StrEnum):
    """The specification's three."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginStatus:
    """One row of `orchestrator ps`."""

    plugin_id: str
    version: str
    status: PluginState
    detail: str
    container_id: str
    restarts: int
    reason: str = ""
    """Why it last failed: oom_killed, exit_code_1, start_deadline, … ; empty if it never did."""
