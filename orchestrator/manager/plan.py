"""plan: the steps from what is to what should be. Pure, total, ordered, idempotent.

Level-triggered: it looks at states, never at what changed, and names only steps that may be taken
now. Whoever carries them out looks again and plans again; so a daemon killed at any instruction
goes on where it was, and order (dependencies first, dependants last on the way out) needs no
bookkeeping.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from orchestrator.engine.base import LABEL_DIGEST
from orchestrator.manager.restart import History, next_start
from orchestrator.model.container import ContainerPhase, ContainerState

LABEL_REQUIRES: Final = "orchestrator.requires"
"""Plugin ids that the container's plugin depends on: the order of removal needs no record."""


GAVE_UP: Final = "gave up: too many failures; mend it and run `orchestrator up` again"


class Health(StrEnum):
    """What the daemon knows of a container's inside."""

    UNKNOWN = "unknown"
    """No sandbox of this daemon belongs to it: made by an earlier one."""
    STARTING = "starting"
    READY = "ready"
    STUCK = "stuck"


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """One plugin as it should be."""

    plugin_id: str
    digest: str
    cpu_percent: int
    dependencies: tuple[str, ...] = ()
    running: bool = True
    image_ready: bool = True
    """Whether the engine holds its image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One container as it is."""

    container: ContainerState
    health: Health = Health.UNKNOWN
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepare:
    """Build or find the image; what runs meanwhile goes on running."""

    plugin_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Make a container and bring it up."""

    plugin_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Bring an existing container up: made and never started, or ended and due again."""

    plugin_id: str
    container_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopt:
    """Take over a running container of an earlier daemon."""

    plugin_id: str
    container_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """End a container that is stuck; its next start follows the back-off."""

    plugin_id: str
    container_id: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """Stop a container gently and take it away."""

    plugin_id: str
    container_id: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetCpu:
    """Bring a CPU quota back to what it should be."""

    plugin_id: str
    container_id: str
    cpu_percent: int


Action = Prepare | Start | Launch | Adopt | Kill | Remove | SetCpu


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    actions: tuple[Action, ...]
    waiting: Mapping[str, str]
    """Plugin → why nothing is done for it now."""
    wake_at: float | None
    """When to look again though nothing happened: the next start that back-off allows."""


def plan(
    wants: Mapping[str, Want],
    seen: Mapping[str, Sequence[Sighting]],
    histories: Mapping[str, History],
    *,
    busy: Collection[str],
    now: float,
) -> Plan:
    """The steps to take now. `busy` are plugins with a step under way: they are left alone."""
    actions: list[Action] = [
        Remove(plugin_id=plugin_id, container_id=s.container.container_id, why="not wanted")
        for plugin_id in removals(wants, seen)
        if plugin_id not in busy
        for s in seen[plugin_id]
    ]
    waiting: dict[str, str] = {}
    wakes: list[float] = []
    for plugin_id in sorted(wants):
        if not wants[plugin_id].running or plugin_id in busy:
            continue
        step = _step(wants[plugin_id], seen.get(plugin_id, ()), wants, seen)
        if isinstance(step, Prepare | Start | Launch):
            due = next_start(histories.get(plugin_id, History()), now=now)
            if due is None:
                step = GAVE_UP
            elif due > now:
                step = f"restarting in {due - now:.1f} s"
                wakes.append(due)
        if isinstance(step, str):
            waiting[plugin_id] = step
        elif step is not None:
            actions.append(step)
    return Plan(actions=tuple(actions), waiting=waiting, wake_at=min(wakes, default=None))


def removals(wants: Mapping[str, Want], seen: Mapping[str, Sequence[Sighting]]) -> list[str]:
    """Plugins to be taken away now: those that no other one to be taken away depends on."""
    unwanted = {
        plugin_id
        for plugin_id, sightings in seen.items()
        if sightings and not (plugin_id in wants and wants[plugin_id].running)
    }
    required = {
        name
        for plugin_id in unwanted
        for sighting in seen[plugin_id]
        for name in sighting.container.label(LABEL_REQUIRES).split(",")
        if name != plugin_id
    }
    # Labels of different revisions may form a circle: then order cannot matter to them.
    return sorted(unwanted - required) or sorted(unwanted)


def is_ready(want: Want, sightings: Sequence[Sighting]) -> bool:
    """Whether calls to the plugin as it is wanted would be answered."""
    return any(
        s.health is Health.READY
        and s.container.phase is ContainerPhase.RUNNING
        and s.container.label(LABEL_DIGEST) == want.digest
        for s in sightings
    )


def _step(  # noqa: PLR0911 - one row of a decision table each
    want: Want,
    sightings: Sequence[Sighting],
    wants: Mapping[str, Want],
    seen: Mapping[str, Sequence[Sighting]],
) -> Action | str | None:
    """The one next step for a wanted plugin, or why it waits, or None when all is well."""
    for sighting in sightings:
        container = sighting.container
        if container.phase in {ContainerPhase.GONE, ContainerPhase.PAUSED}:
            why = f"found {container.phase}"
            return Remove(plugin_id=want.plugin_id, container_id=container.container_id, why=why)
        if container.label(LABEL_DIGEST) != want.digest:
            if not want.image_ready:
                return Prepare(plugin_id=want.plugin_id)
            return Remove(
                plugin_id=want.plugin_id, container_id=container.container_id, why="changed"
            )
    if sightings and sightings[0].container.phase is ContainerPhase.RUNNING:
        return _tend(want, sightings[0])
    if not want.image_ready:
        return Prepare(plugin_id=want.plugin_id)
    absent = [
        name
        for name in want.dependencies
        if name not in wants or not is_ready(wants[name], seen.get(name, ()))
    ]
    if absent:
        return f"waiting for {', '.join(absent)}"
    return (
        Launch(plugin_id=want.plugin_id, container_id=sightings[0].container.container_id)
        if sightings
        else Start(plugin_id=want.plugin_id)
    )


def _tend(want: Want, sighting: Sighting) -> Action | None:
    """What a running container of the right revision needs."""
    container_id = sighting.container.container_id
    match sighting.health:
        case Health.UNKNOWN:
            return Adopt(plugin_id=want.plugin_id, container_id=container_id)
        case Health.STUCK:
            return Kill(plugin_id=want.plugin_id, container_id=container_id, why=sighting.trouble)
        case Health.READY if sighting.container.cpu_percent != want.cpu_percent:
            return SetCpu(
                plugin_id=want.plugin_id, container_id=container_id, cpu_percent=want.cpu_percent
            )
        case Health.READY | Health.STARTING:
            return None
