"""What situation one plugin is in, by itself: its sub-state, and a line of detail. Pure.

What it makes of the plugins that it needs is said in statuses.py.
"""

from dataclasses import dataclass
from typing import Final

from orchestrator.manager.actions import Health, Sighting, Sleep, Want
from orchestrator.manager.fleet import Fleet
from orchestrator.manager.members import GAVE_UP, in_service, is_settled
from orchestrator.manager.overridden import drift
from orchestrator.manager.rebuilding import LEFT_ALONE
from orchestrator.model.container import ContainerPhase
from orchestrator.model.lifecycle import LIFECYCLE
from orchestrator.model.status import PluginState, SubState
from orchestrator.sandbox.sandbox import SandboxState

WAITING: Final = "waiting for "
"""How plan's words begin when a dependency is not there."""
_STEPS: Final = {"adopting": SubState.ADOPTING, "stopping": SubState.STOPPING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """A plugin by itself."""

    sub_state: SubState
    detail: str
    why: str = ""
    """Why it does not run, without what comes next."""


def situation(
    fleet: Fleet, plugin_id: str, want: Want | None, sightings: list[Sighting]
) -> Situation:
    """The first row that fits."""
    if plugin_id in fleet.unread:
        why = fleet.unfit.get(plugin_id, "")
        detail = f"{LEFT_ALONE}; {why}" if why else LEFT_ALONE
        return Situation(sub_state=SubState.UNFIT, detail=detail, why=why)
    busy = fleet.busy.in_words(plugin_id)
    if want is None or not want.running:
        return _on_the_way_out(fleet, plugin_id, busy, sightings)
    if want.sleep is not Sleep.AWAKE and not busy:
        detail = f"idle, {want.sleep}: the next call wakes it"
        return Situation(sub_state=SubState.IDLE, detail=detail)
    if _is_draining(fleet, sightings):
        return Situation(sub_state=SubState.DRAINING, detail="finishing its calls")
    if in_service(want, sightings):
        return _in_service(fleet, want, sightings)
    return _not_in_service(fleet, want, busy, sightings)


def _on_the_way_out(
    fleet: Fleet, plugin_id: str, busy: str, sightings: list[Sighting]
) -> Situation:
    if _is_draining(fleet, sightings):
        return Situation(sub_state=SubState.DRAINING, detail="finishing its calls")
    if sightings or busy:
        return Situation(sub_state=SubState.STOPPING, detail=busy or "stopping")
    why = _taken(fleet, plugin_id)
    return Situation(sub_state=SubState.STOPPED, detail=f"stopped: {why}" if why else "stopped")


def _is_draining(fleet: Fleet, sightings: list[Sighting]) -> bool:
    """Whether calls are finished, and none of its containers takes another."""
    sandboxes = (fleet.sandbox_of(sighting.container) for sighting in sightings)
    states = {sandbox.state for sandbox in sandboxes if sandbox is not None}
    return SandboxState.DRAINING in states and SandboxState.READY not in states


def _taken(fleet: Fleet, plugin_id: str) -> str:
    """Why it is stopped, if the operator's manifest wants it running."""
    deployment = fleet.deployments.get(plugin_id)
    if deployment is None or not deployment.effective.unmet:
        return ""
    texts = [d.text for d in drift(deployment) if d.permission in deployment.effective.unmet]
    return f"it cannot work without what was taken: {'; '.join(texts)}"


def _in_service(fleet: Fleet, want: Want, sightings: list[Sighting]) -> Situation:
    """It takes calls: wholly as it is wanted, or on the way there."""
    serving = in_service(want, sightings)
    mine = [s for s in serving if s.digest == want.digest]
    # A revision that has not taken over yet says nothing of what takes the calls.
    report = fleet.report(want.plugin_id) if mine else None
    if report is not None and report.state == "error":
        why = f"says of itself: {report.detail or 'error'}"
        return Situation(sub_state=SubState.UNHEALTHY, detail=why, why=why)
    if report is not None and report.state != "ready":
        return Situation(sub_state=SubState.DEGRADED, detail=f"{report.state}: {report.detail}")
    step = fleet.busy.in_words(want.plugin_id) or fleet.waiting.get(want.plugin_id, "")
    if is_settled(want, sightings) or (len(mine) == len(serving) == want.replicas):
        whole = "running" if want.replicas == 1 else f"running, {want.replicas} replicas"
        return Situation(sub_state=SubState.RUNNING, detail=step or whole)
    history = fleet.plugin_history(want.plugin_id)
    failed = f"{history.reason}: {history.detail}" if history.failures else ""
    words = f"updating: {len(mine)} of {want.replicas} in the wanted revision"
    return Situation(
        sub_state=SubState.PAUSED if want.paused else SubState.UPDATING,
        detail="; ".join(part for part in (words, step, failed) if part),
    )


def _not_in_service(fleet: Fleet, want: Want, busy: str, sightings: list[Sighting]) -> Situation:
    history = fleet.plugin_history(want.plugin_id)
    failed = f"{history.reason}: {history.detail}" if history.failures else ""
    waiting = fleet.waiting.get(want.plugin_id, "")
    # While a step of ours is at it, an end is part of that step.
    stuck = next((s.trouble for s in sightings if s.health is Health.STUCK and not busy), "")
    sub_state = _under_way(want, busy, failed=bool(failed))
    if sub_state is None:
        sub_state = _at_rest(fleet, want, sightings, stuck=bool(stuck), failed=bool(failed))
    if sub_state is SubState.GAVE_UP:
        waiting = GAVE_UP
    detail = "; ".join(part for part in (busy or waiting or stuck, failed) if part)
    tells = LIFECYCLE[sub_state].state is PluginState.ERROR
    return Situation(
        sub_state=sub_state,
        # What failed before a new daemon came is no news of a plugin that it takes over.
        detail=(detail if tells else busy or waiting) or "pending",
        why=stuck or failed,
    )


def _under_way(want: Want, busy: str, *, failed: bool) -> SubState | None:
    """What a step of ours makes of it; None without one."""
    if not busy:
        return None
    if busy in _STEPS:
        return _STEPS[busy]
    if failed:
        return SubState.RESTARTING
    return SubState.STARTING if want.image_ready else SubState.PREPARING


def _at_rest(
    fleet: Fleet, want: Want, sightings: list[Sighting], *, stuck: bool, failed: bool
) -> SubState:
    waiting = fleet.waiting.get(want.plugin_id, "")
    if stuck:
        return SubState.STUCK
    if fleet.gave_up(want.plugin_id):
        return SubState.GAVE_UP
    if waiting.startswith(WAITING):
        return SubState.WAITING
    if any(_is_strange(want, s) for s in sightings):
        return SubState.ADOPTING
    # Before a new daemon's first look nothing is there, and failures may be long over.
    return SubState.BACKING_OFF if failed and (sightings or waiting) else SubState.PENDING


def _is_strange(want: Want, sighting: Sighting) -> bool:
    """Whether it runs, and no sandbox of this daemon belongs to it yet."""
    return (
        sighting.health is Health.UNKNOWN
        and sighting.container.phase is ContainerPhase.RUNNING
        and sighting.digest == want.digest
    )
