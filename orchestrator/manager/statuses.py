"""How each plugin does, in the specification's three states and one line of detail. Pure."""

from orchestrator.engine.base import LABEL_DIGEST, LABEL_VERSION
from orchestrator.manager.actions import Health, Sighting, Sleep, Want
from orchestrator.manager.fleet import Fleet
from orchestrator.manager.members import in_service, is_settled
from orchestrator.manager.overridden import drift
from orchestrator.manager.rebuilding import LEFT_ALONE
from orchestrator.model.status import Held, PluginState, PluginStatus, RolloutStatus


def statuses(fleet: Fleet) -> list[PluginStatus]:
    """One status for each plugin that is wanted or still there, by id."""
    seen, wants = fleet.seen(), fleet.wants()
    names = sorted(wants.keys() | seen.keys())
    return [_status(fleet, name, wants.get(name), seen.get(name, [])) for name in names]


def status(fleet: Fleet, plugin_id: str) -> PluginStatus | None:
    """One plugin's status; None if there is no such plugin."""
    return next((row for row in statuses(fleet) if row.plugin_id == plugin_id), None)


def _status(
    fleet: Fleet, plugin_id: str, want: Want | None, sightings: list[Sighting]
) -> PluginStatus:
    history = fleet.plugin_history(plugin_id)
    rollout = fleet.rollout_of(plugin_id)
    state, detail = _state(fleet, plugin_id, want, sightings)
    if want is not None and want.running:
        detail = _with_rollout(detail, rollout)
    current = [s for s in sightings if want and s.container.label(LABEL_DIGEST) == want.digest]
    container = next((s.container for s in [*current, *sightings]), None)
    deployment = fleet.deployments.get(plugin_id)
    if deployment is not None:
        version = deployment.inputs.info.version
    else:
        version = container.label(LABEL_VERSION) if container is not None else ""
    return PluginStatus(
        plugin_id=plugin_id,
        version=version,
        status=state,
        detail=detail,
        container_id=container.container_id if container is not None else "",
        restarts=history.restarts,
        reason=history.reason,
        drift=drift(deployment) if deployment is not None else (),
        held=held_update(fleet, plugin_id),
        settled=want is not None and (is_settled(want, sightings) or want.sleep is not Sleep.AWAKE),
        rollout=rollout,
    )


def _with_rollout(detail: str, rollout: RolloutStatus | None) -> str:
    """An update that is under way or failed comes first; not before what a dependency holds."""
    text = rollout.text if rollout is not None else ""
    if not text or detail.startswith("waiting for "):
        return detail
    rest = detail.removeprefix("updating: ")
    return text if rest == "running" else f"{text}; {rest}"


def state_trouble(fleet: Fleet) -> str:
    """What is wrong with the state; empty if nothing is."""
    if fleet.rebuilt is None:
        return fleet.store_trouble
    alone = ", ".join(sorted(fleet.unread))
    left = f"; left as they are until `orchestrator up` names them: {alone}" if alone else ""
    return f"the state file was rebuilt: {fleet.rebuilt}{left}"


def held_update(fleet: Fleet, plugin_id: str) -> Held | None:
    """The plugin's update that waits for a grant, if there is one."""
    held = fleet.held.get(plugin_id)
    if held is None:
        return None
    return Held(update=held.update, version=held.version, differences=held.differences)


def _stopped(fleet: Fleet, plugin_id: str) -> str:
    """`stopped`, and why, if the operator's manifest wants it running."""
    deployment = fleet.deployments.get(plugin_id)
    if deployment is None or not deployment.effective.unmet:
        return "stopped"
    texts = [d.text for d in drift(deployment) if d.permission in deployment.effective.unmet]
    return f"stopped: it cannot work without what was taken: {'; '.join(texts)}"


def _state(  # noqa: PLR0911 - one row of a table each
    fleet: Fleet, plugin_id: str, want: Want | None, sightings: list[Sighting]
) -> tuple[PluginState, str]:
    busy = fleet.busy.in_words(plugin_id)
    if plugin_id in fleet.unread:
        return PluginState.INACTIVE, LEFT_ALONE
    if want is None or not want.running:
        return PluginState.INACTIVE, busy or (
            "stopping" if sightings else _stopped(fleet, plugin_id)
        )
    report = fleet.report(plugin_id)
    if want.sleep is not Sleep.AWAKE and not busy:
        return PluginState.ACTIVE, f"idle, {want.sleep}: the next call wakes it"
    if in_service(want, sightings):
        if report is not None and report.state == "error":
            return PluginState.ERROR, f"says of itself: {report.detail or 'error'}"
        if report is not None and report.state != "ready":
            return PluginState.ACTIVE, f"{report.state}: {report.detail}"
        return PluginState.ACTIVE, _running(fleet, want, sightings)
    return _not_ready(fleet, plugin_id, busy, sightings)


def _running(fleet: Fleet, want: Want, sightings: list[Sighting]) -> str:
    """It takes calls: wholly as it is wanted, or on the way there."""
    serving = in_service(want, sightings)
    mine = [s for s in serving if s.digest == want.digest]
    step = fleet.busy.in_words(want.plugin_id) or fleet.waiting.get(want.plugin_id, "")
    if is_settled(want, sightings) or (len(mine) == len(serving) == want.replicas):
        return step or ("running" if want.replicas == 1 else f"running, {want.replicas} replicas")
    words = f"{len(mine)} of {want.replicas} in the wanted revision"
    return f"updating: {words}" + (f"; {step}" if step else "")


def _not_ready(
    fleet: Fleet, plugin_id: str, busy: str, sightings: list[Sighting]
) -> tuple[PluginState, str]:
    history = fleet.plugin_history(plugin_id)
    failed = f"{history.reason}: {history.detail}" if history.failures else ""
    waiting = fleet.waiting.get(plugin_id, "")
    # While a step of ours is at it, an end is part of that step.
    stuck = next((s.trouble for s in sightings if s.health is Health.STUCK and not busy), "")
    detail = "; ".join(part for part in (busy or waiting or stuck, failed) if part)
    state = PluginState.ERROR if failed or stuck else PluginState.INACTIVE
    return state, detail or "pending"
