"""PluginStatus: how a plugin does, as an operator sees it."""

from dataclasses import dataclass
from enum import StrEnum


class PluginState(StrEnum):
    """The specification's three."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    ERROR = "error"


class SubState(StrEnum):
    """Where in its life a plugin is; lifecycle.py has the table."""

    PENDING = "pending"
    WAITING = "waiting"
    HELD = "held"
    PREPARING = "preparing"
    STARTING = "starting"
    ADOPTING = "adopting"
    DRAINING = "draining"
    STOPPING = "stopping"
    STOPPED = "stopped"
    RUNNING = "running"
    DEGRADED = "degraded"
    UPDATING = "updating"
    ROLLED_BACK = "rolled_back"
    PAUSED = "paused"
    IDLE = "idle"
    UNHEALTHY = "unhealthy"
    RESTARTING = "restarting"
    BACKING_OFF = "backing_off"
    STUCK = "stuck"
    GAVE_UP = "gave_up"
    UNFIT = "unfit"


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
class LastWords:
    """What is kept of a plugin's last failure."""

    lines: tuple[str, ...] = ()
    """The end of its log, harmless to show."""
    hints: tuple[str, ...] = ()
    """What these lines point to."""
    repairs: tuple[str, ...] = ()
    """What may mend a failure of that reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginStatus:
    """One row of `orchestrator ps`."""

    plugin_id: str
    version: str
    status: PluginState
    sub_state: SubState
    detail: str
    container_id: str
    restarts: int
    reason: str = ""
    """Why it last failed: oom_killed, exit_code_1, start_deadline, … ; empty if it never did."""
    drift: tuple[Drift, ...] = ()
    held: Held | None = None
    causes: tuple[str, ...] = ()
    """The plugins that it waits for, or that make it degraded: itself, if it says so."""
    settled: bool = True
    """Whether all of it is as it is wanted: every replica, and nothing of another revision."""
    rollout: RolloutStatus | None = None
