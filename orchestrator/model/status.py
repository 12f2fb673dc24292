"""PluginStatus: how a plugin does, as an operator sees it."""

from dataclasses import dataclass
from enum import StrEnum


class PluginState(StrEnum):
    """The specification's three."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One permission that was granted or revoked by command, and so differs from the manifest."""

    permission: str
    state: str
    who: str
    when: float
    """Seconds since the epoch."""
    why: str
    text: str
    """All of it in words, but the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An update that asks for more than what runs, until `permissions grant --update` lets it."""

    update: str
    version: str
    differences: tuple[str, ...]


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
    drift: tuple[Drift, ...] = ()
    held: Held | None = None
    settled: bool = True
    """Whether all of it is as it is wanted: every replica, and nothing of another revision."""
