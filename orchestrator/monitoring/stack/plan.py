"""What to remove and what to make, from the parts wanted and the containers there. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.engine.base import LABEL_DIGEST
from orchestrator.model.container import ContainerPhase, ContainerState
from orchestrator.monitoring.stack.parts import INNER, Part

LABEL_PART: Final = "orchestrator.monitoring"
LABEL_NETWORK: Final = "orchestrator.joins"
"""The inner relay's container whose network it is in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    remove: tuple[ContainerState, ...]
    make: tuple[Part, ...]
    """In order; those that join come after what they join."""
    kept: tuple[tuple[str, str], ...]
    """(part, container id)."""


def plan(wanted: Sequence[Part], there: Iterable[ContainerState]) -> Plan:
    """Idempotent: carried out, the next one is empty."""
    found = tuple(there)
    kept: dict[str, ContainerState] = {}
    for part in sorted(wanted, key=lambda it: it.joins):
        for container in found:
            if part.name not in kept and _holds(part, container, kept.get(INNER)):
                kept[part.name] = container
    ids = {container.container_id for container in kept.values()}
    return Plan(
        remove=tuple(it for it in found if it.container_id not in ids),
        make=tuple(part for part in wanted if part.name not in kept),
        kept=tuple((name, container.container_id) for name, container in kept.items()),
    )


def _holds(part: Part, container: ContainerState, inner: ContainerState | None) -> bool:
    """A relay that was started after who joined it has a network that they are not in."""
    if (
        container.label(LABEL_PART) != part.name
        or container.label(LABEL_DIGEST) != part.digest
        or container.phase is not ContainerPhase.RUNNING
    ):
        return False
    if not part.joins:
        return True
    return (
        inner is not None
        and container.label(LABEL_NETWORK) == inner.container_id
        and inner.started_at <= container.started_at
    )
