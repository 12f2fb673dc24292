"""DriftWatch: what somebody changed on running containers, told once and handed to the plan.

A cure that does not last is tried again after growing pauses, and one that a new container is born
with is the engine's own doing: nothing flaps because an engine shows a value in its own way.
"""

from dataclasses import dataclass, field, replace
from typing import Final

from pydantic import JsonValue

from orchestrator.engine.base import LABEL_DIGEST, LABEL_PLUGIN, LABEL_SANDBOX
from orchestrator.events.bus import PluginEventBus
from orchestrator.manager.drift import Cure, Drifted, drift_of
from orchestrator.manager.fleet import Fleet
from orchestrator.model.container import ContainerPhase, ContainerState
from orchestrator.model.events import EventName
from orchestrator.sandbox.sandbox import SandboxState

FIRST_PAUSE_SECONDS: Final = 2.0
MOST_PAUSE_SECONDS: Final = 300.0
FORGET_SECONDS: Final = 3_600.0
"""A field that was left alone for so long begins with no pause again."""


@dataclass(slots=True, kw_only=True)
class _Known:
    """A container as it was judged last."""

    state: ContainerState
    ready: bool
    told: frozenset[tuple[str, str | int]] = frozenset()
    born_with: frozenset[tuple[str, str | int]] = frozenset()


@dataclass(slots=True)
class _Cures:
    """What was done so far, by sandbox: it outlives the container that was replaced."""

    tried: dict[tuple[str, str], tuple[int, float]] = field(default_factory=dict)
    """(sandbox, field) → how often in a row, and when last."""
    replaced: set[tuple[str, str, str | int]] = field(default_factory=set)

    def may(self, sandbox_id: str, found: Drifted, now: float) -> bool:
        """Whether it may be tried now; then it counts as tried."""
        count, last = self.tried.get((sandbox_id, found.field), (0, 0.0))
        if count and now - last > FORGET_SECONDS:
            count = 0
        pause = min(FIRST_PAUSE_SECONDS * 2.0 ** (count - 1), MOST_PAUSE_SECONDS) if count else 0.0
        if 0.0 <= now - last < pause:
            return False
        self.tried[sandbox_id, found.field] = (count + 1, now)
        if found.cure is Cure.REPLACE:
            self.replaced.add((sandbox_id, found.field, found.found))
        return True


class DriftWatch:
    """`look` after each look at the containers; `fleet.drifts` holds what it found."""

    def __init__(self, *, fleet: Fleet, bus: PluginEventBus) -> None:
        self._fleet = fleet
        self._bus = bus
        self._known: dict[str, _Known] = {}
        self._cures = _Cures()

    def look(self, now: float) -> None:
        """Judge every container that was looked at anew."""
        fleet = self._fleet
        for container_id in self._known.keys() - fleet.containers.keys():
            del self._known[container_id]
            fleet.drifts.pop(container_id, None)
        for container_id, container in fleet.containers.items():
            known, ready = self._known.get(container_id), self._is_ready(container)
            if known is None or known.state is not container or known.ready is not ready:
                self._judge(container, ready=ready, now=now)

    def _is_ready(self, container: ContainerState) -> bool:
        sandbox = self._fleet.sandbox_of(container)
        return (
            container.phase is ContainerPhase.RUNNING
            and sandbox is not None
            and sandbox.state is SandboxState.READY
        )

    def _judge(self, container: ContainerState, *, ready: bool, now: float) -> None:
        container_id, sandbox_id = container.container_id, container.label(LABEL_SANDBOX)
        known = self._known.get(container_id)
        found = self._found(container) if ready else ()
        if known is None:
            known = self._known[container_id] = _Known(state=container, ready=False)
        if ready and not known.ready:
            known.born_with = frozenset(
                (it.field, it.found)
                for it in found
                if (sandbox_id, it.field, it.found) in self._cures.replaced
            )
        known.state, known.ready = container, ready
        if found:
            self._tell(container, found, known.told)
        known.told = frozenset((it.field, it.found) for it in found)
        self._set(container_id, tuple(self._due(sandbox_id, it, known, now) for it in found))

    def _found(self, container: ContainerState) -> tuple[Drifted, ...]:
        deployment = self._fleet.deployments.get(container.label(LABEL_PLUGIN))
        if deployment is None or container.label(LABEL_DIGEST) != deployment.compiled.digest:
            return ()  # another revision: it is going anyway
        return drift_of(deployment.compiled, container)

    def _due(self, sandbox_id: str, found: Drifted, known: _Known, now: float) -> Drifted:
        """As it was found, or only to be told for now."""
        if found.cure is Cure.TELL:
            return found
        if (found.field, found.found) not in known.born_with and self._cures.may(
            sandbox_id, found, now
        ):
            return found
        return replace(found, cure=Cure.TELL)

    def _set(self, container_id: str, found: tuple[Drifted, ...]) -> None:
        if found:
            self._fleet.drifts[container_id] = found
        else:
            self._fleet.drifts.pop(container_id, None)

    def _tell(
        self,
        container: ContainerState,
        found: tuple[Drifted, ...],
        told: frozenset[tuple[str, str | int]],
    ) -> None:
        for it in found:
            if (it.field, it.found) not in told:
                self._bus.publish(
                    EventName.PLUGIN_DRIFTED,
                    container.label(LABEL_PLUGIN),
                    {
                        "detail": str(it),
                        "field": it.field,
                        "found": it.found,
                        "expected": it.expected,
                        "cure": it.cure,
                        "container_id": container.container_id,
                    },
                )


def container_drift(fleet: Fleet, plugin_id: str) -> list[JsonValue]:
    """What is changed on the plugin's containers now, for `status`."""
    return [
        {
            "container_id": container_id,
            "detail": f"{it} ({it.cure})",
            "field": it.field,
            "found": it.found,
            "expected": it.expected,
            "cure": it.cure,
        }
        for container_id, found in sorted(fleet.drifts.items())
        if container_id in fleet.containers
        and fleet.containers[container_id].label(LABEL_PLUGIN) == plugin_id
        for it in found
    ]
