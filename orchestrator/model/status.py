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


class RolloutState(StrEnum):
    """How far the newest revision of a plugin has come."""

    PROGRESSING = "progressing"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    """With no revision to go back to: it is tried on."""
    ROLLED_BACK = "rolled_back"


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutStatus:
    """The rollout of a plugin; docs/rollouts.md explains it."""

    revision: int
    """The one that is wanted."""
    serving: int
    """The one that takes the calls, as far as one does."""
    state: RolloutState
    reason: str
    """Why the wanted one failed; empty if it did not."""
    text: str
    """One line for an operator; empty where there is nothing to tell."""
    moving: bool
    """Whether an update is under way that will end by itself."""


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
    rollout: RolloutStatus | None = None
