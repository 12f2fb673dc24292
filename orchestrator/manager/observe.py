"""Observer: keeps the fleet's picture of the containers true, and notes what happened to them.

The engine's events are hints: each marks a container to be inspected. After a gap, and from time
to time, everything is listed anew.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace

from orchestrator.engine.base import (
    LABEL_PLUGIN,
    LABEL_ROLE,
    LABEL_SANDBOX,
    Engine,
    EngineEvent,
    EngineEventKind,
)
from orchestrator.events.bus import PluginEventBus
from orchestrator.manager.fleet import Fleet
from orchestrator.manager.outside import STOPPED_FROM_OUTSIDE, Signals, had_settled, was_restarted
from orchestrator.manager.restart import (
    death_reason,
    end_of,
    note_death,
    note_failure,
)
from orchestrator.manager.under_way import keys_of
from orchestrator.model.container import ContainerPhase, ContainerState
from orchestrator.model.events import EventName

WORDS = {"oom_killed": "its memory limit was reached (oom_killed)"}


class Observer:
    """`look` after every step and hint; what it learns goes into the fleet and onto the bus."""

    def __init__(
        self, *, labels: Mapping[str, str], engine: Engine, fleet: Fleet, bus: PluginEventBus
    ) -> None:
        self.labels = labels
        self._engine = engine
        self._fleet = fleet
        self._bus = bus
        self._stale: set[str] = set()
        self._all_stale = True
        self._signals = Signals()

    def doubt(self, container_id: str) -> None:
        """Inspect this one at the next look."""
        self._stale.add(container_id)

    def doubt_all(self) -> None:
        """List everything at the next look."""
        self._all_stale = True

    def hear(self, event: EngineEvent) -> None:
        """Take a hint of the engine's event stream."""
        if LABEL_ROLE in dict(event.labels):
            return
        self._stale.add(event.container_id)
        if event.kind is EngineEventKind.SIGNALLED:
            known = self._fleet.containers.get(event.container_id)
            if known is not None and not self._fleet.busy.has(known):
                self._signals.hear(event)
        if event.kind is EngineEventKind.OOM:
            self._fleet.ooms.add(event.container_id)
            plugin_id = dict(event.labels).get(LABEL_PLUGIN, "")
            self._bus.publish(EventName.PLUGIN_OOM, plugin_id, {"container_id": event.container_id})

    async def look(self, now: float) -> set[tuple[str, str]]:
        """Bring the fleet's containers up to date. Raises EngineUnavailable.

        What is seen while a step is under way may be older than what the step learnt, so plugins
        whose step ended meanwhile are left for the next look: the end of a step brings one.
        What these steps were about is returned: until then nobody can say what it needs.
        """
        busy = self._steps()
        if self._all_stale:
            self._all_stale = False  # before the await: what is heard meanwhile is news
            self._stale.clear()
            found = await self._engine.list(self.labels)
            gone = self._fleet.containers.keys() - {c.container_id for c in found}
        elif self._stale:
            stale, self._stale = self._stale, set()
            states = await asyncio.gather(*(self._engine.inspect(cid) for cid in sorted(stale)))
            found = [state for state in states if state is not None]
            gone = stale - {c.container_id for c in found}
        else:
            return set()
        ended = busy - self._steps()
        known = self._fleet.containers
        self._update(
            [c for c in found if not c.label(LABEL_ROLE) and not _at(c) & ended],
            [cid for cid in gone if cid not in known or not _at(known[cid]) & ended],
            now,
        )
        return ended

    def _steps(self) -> set[tuple[str, str]]:
        """What is under way: plugins, and the keys of their steps."""
        return {(name, key) for name, steps in self._fleet.busy.items() for key in steps}

    def _update(self, found: list[ContainerState], gone: Iterable[str], now: float) -> None:
        for container_id in sorted(gone):
            known = self._fleet.containers.pop(container_id, None)
            if known is not None and known.phase is not ContainerPhase.GONE:
                self._note_gone(known, now)
        for container in found:
            known = self._fleet.containers.get(container.container_id)
            if container.phase is ContainerPhase.GONE and known is not None and known != container:
                self._note_gone(container, now)
            if known is not None and was_restarted(known, container):
                self._note_restart(container)
            self._fleet.containers[container.container_id] = container
            self._note_awake(container)
            if container.phase is ContainerPhase.EXITED:
                self._note_death(container)

    def _note_awake(self, container: ContainerState) -> None:
        """Somebody else let a sleeping container go on: it can take calls again."""
        sandbox = self._fleet.sandbox_of(container)
        running = container.phase is ContainerPhase.RUNNING
        if running and sandbox is not None and not self._fleet.busy.has(container):
            sandbox.resume()

    def _note_death(self, container: ContainerState) -> None:
        plugin_id, sandbox_id = container.label(LABEL_PLUGIN), container.label(LABEL_SANDBOX)
        history = self._fleet.history(sandbox_id)
        if history.noted == end_of(container):
            return  # an earlier run: the sandbox, if there is one, waits for the next
        sandbox = self._fleet.sandbox_of(container)
        if sandbox is not None:
            sandbox.died()
        if self._fleet.busy.has(container) or self._fleet.find(plugin_id, sandbox_id) is None:
            return  # a step of ours is at it, or nobody wants it: no failure, or not yet
        oom_seen = container.container_id in self._fleet.ooms
        reason = death_reason(container, oom_seen=oom_seen)
        cause = self._fleet.causes.pop(container.container_id, None)
        outside = self._signals.ended(container)
        if cause is None and outside:
            cause = (STOPPED_FROM_OUTSIDE, outside)
        if cause is not None and reason != "oom_killed":
            reason, detail = cause
        else:
            detail = WORDS.get(reason, f"it ended with exit code {container.exit_code}")
        noted = note_death(history, container, reason=reason, detail=detail)
        if reason == STOPPED_FROM_OUTSIDE and had_settled(container, container.finished_at):
            noted = replace(noted, failures=history.failures)
        self._fleet.remember(sandbox_id, noted)
        if sandbox is not None:
            self._fleet.sandboxes.pop(sandbox.sandbox_id, None)
            sandbox.close(remove_folder=False)
        self._bus.publish(
            EventName.PLUGIN_DIED,
            plugin_id,
            {
                "reason": reason,
                "detail": detail,
                "exit_code": container.exit_code,
                "container_id": container.container_id,
            },
        )

    def _note_restart(self, container: ContainerState) -> None:
        """Its new run was never initialised: without its sandbox it is begun anew."""
        sandbox = self._fleet.sandbox_of(container)
        if sandbox is None or self._fleet.busy.has(container):
            return
        self._fleet.sandboxes.pop(sandbox.sandbox_id, None)
        sandbox.close(remove_folder=False)
        detail = "somebody restarted its container"
        sandbox_id = container.label(LABEL_SANDBOX)
        noted = replace(self._fleet.history(sandbox_id), reason=STOPPED_FROM_OUTSIDE, detail=detail)
        self._fleet.remember(sandbox_id, noted)
        plugin_id = container.label(LABEL_PLUGIN)
        self._fleet.count_restart(plugin_id, sandbox_id)
        self._bus.publish(
            EventName.PLUGIN_DIED,
            plugin_id,
            {
                "reason": STOPPED_FROM_OUTSIDE,
                "detail": detail,
                "exit_code": None,
                "container_id": container.container_id,
            },
        )

    def _note_gone(self, container: ContainerState, now: float) -> None:
        """Away, and by none of our steps if the plugin is wanted and not busy."""
        plugin_id, sandbox_id = container.label(LABEL_PLUGIN), container.label(LABEL_SANDBOX)
        sandbox = self._fleet.sandboxes.pop(sandbox_id, None)
        if sandbox is not None:
            sandbox.close(remove_folder=True)
        deployment = self._fleet.find(plugin_id, sandbox_id)
        if self._fleet.busy.has(container) or deployment is None or not deployment.running:
            return
        detail = "somebody removed its container"
        history = self._fleet.history(sandbox_id)
        noted = note_failure(history, "container_removed", detail=detail, at=now)
        if had_settled(container, now):
            noted = replace(noted, failures=history.failures)
        self._fleet.remember(sandbox_id, noted)
        self._fleet.count_restart(plugin_id, sandbox_id)
        self._bus.publish(
            EventName.PLUGIN_VANISHED, plugin_id, {"container_id": container.container_id}
        )


def _at(container: ContainerState) -> set[tuple[str, str]]:
    """The steps that would be about the container."""
    return {(container.label(LABEL_PLUGIN), key) for key in keys_of(container)}
