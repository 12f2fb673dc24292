"""What `plan` is told and what it answers: wants, sightings, actions. Values only.

A plugin may have several containers: its replicas, and for a while those of the revision before.
What belongs to one of them is told apart by its sandbox id, which holds the revision and the
replica; a step by the container's own id, or by the sandbox id while there is none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from orchestrator.engine.base import LABEL_DIGEST, LABEL_SANDBOX
from orchestrator.manager.drift import Drifted
from orchestrator.model.container import ContainerState
from orchestrator.policy.compile import replica_id

LABEL_REQUIRES: Final = "orchestrator.requires"
"""Plugin ids that the container's plugin depends on: the order of removal needs no record."""
WHOLE: Final = ""
"""The key of a step that no other step of the same plugin may go beside."""
IMAGE: Final = "image"
"""The key of the step that makes a plugin's image: its containers are tended meanwhile."""


class Health(StrEnum):
    """What the daemon knows of a container's inside."""

    UNKNOWN = "unknown"
    """No sandbox of this daemon belongs to it: made by an earlier one."""
    STARTING = "starting"
    READY = "ready"
    STUCK = "stuck"


class Sleep(StrEnum):
    """How far a plugin that nobody calls is put to sleep (`idle_timeout`)."""

    AWAKE = "awake"
    PAUSED = "paused"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """One plugin as it should be."""

    plugin_id: str
    digest: str
    sandbox_id: str
    """Of its first replica."""
    cpu_percent: int
    dependencies: tuple[str, ...] = ()
    running: bool = True
    image_ready: bool = True
    """Whether the engine holds its image."""
    replicas: int = 1
    alone: bool = False
    """Whether no other revision may run beside it: what runs is stopped first."""
    min_healthy_seconds: float = 0.0
    """How long it must have been ready and well before it takes over from another revision."""
    paused: bool = False
    """Whether its rollout stands still: what runs is tended, nothing takes over."""
    known: frozenset[str] = frozenset()
    """Digests of other revisions that can be brought up again while they are needed."""
    sleep: Sleep = Sleep.AWAKE

    @property
    def sandbox_ids(self) -> tuple[str, ...]:
        """Of all replicas."""
        return tuple(replica_id(self.sandbox_id, index) for index in range(self.replicas))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One container as it is."""

    container: ContainerState
    health: Health = Health.UNKNOWN
    trouble: str = ""
    well_seconds: float | None = None
    """For how long it has been ready and has said that it is well; None if it has not."""
    drift: tuple[Drifted, ...] = ()
    """What somebody changed on it, as far as something is to be done about it now."""

    @property
    def container_id(self) -> str:
        return self.container.container_id

    @property
    def sandbox_id(self) -> str:
        return self.container.label(LABEL_SANDBOX)

    @property
    def digest(self) -> str:
        return self.container.label(LABEL_DIGEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepare:
    """Build or find the image; what runs meanwhile goes on running."""

    plugin_id: str

    @property
    def key(self) -> str:
        return IMAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Make a container and bring it up."""

    plugin_id: str
    sandbox_id: str

    @property
    def key(self) -> str:
        return self.sandbox_id


@dataclass(frozen=True, slots=True, kw_only=True)
class _OnContainer:
    """A step for a container that is there."""

    plugin_id: str
    container_id: str

    @property
    def key(self) -> str:
        return self.container_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch(_OnContainer):
    """Bring an existing container up: made and never started, or ended and due again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopt(_OnContainer):
    """Take over a running container of an earlier daemon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill(_OnContainer):
    """End a container that is stuck; its next start follows the back-off."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove(_OnContainer):
    """Stop a container gently and take it away."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause(_OnContainer):
    """Let a container that nobody calls stand still."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume(_OnContainer):
    """Let a paused container go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetCpu(_OnContainer):
    """Bring a CPU quota back to what it should be."""

    cpu_percent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mend(_OnContainer):
    """Set back what somebody changed on a running container."""


Action = Prepare | Start | Launch | Adopt | Kill | Remove | Pause | Resume | SetCpu | Mend


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    actions: tuple[Action, ...]
    waiting: Mapping[str, str]
    """Plugin → why nothing is done for it now."""
    wake_at: float | None
    """When to look again though nothing happened: the next start that back-off allows, or the
    moment at which a new revision has been well for long enough."""
