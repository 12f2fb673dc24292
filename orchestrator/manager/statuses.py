"""How each plugin does: its sub-state, the specification's state for that, a line of detail. Pure.

First every plugin by itself, then with an eye on those that it needs.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from orchestrator.engine.base import LABEL_VERSION
from orchestrator.manager.actions import Sighting, Sleep, Want
from orchestrator.manager.dependencies import (
    Member,
    blockers,
    degraded_words,
    troubles,
    waiting_words,
)
from orchestrator.manager.fleet import Fleet
from orchestrator.manager.members import is_settled
from orchestrator.manager.overridden import drift
from orchestrator.manager.situations import Situation, situation
from orchestrator.model.lifecycle import LIFECYCLE
from orchestrator.model.status import Held, PluginStatus, RolloutState, RolloutStatus, SubState

WHY_CHARACTERS: Final = 120
"""Of a plugin's trouble in the words about another."""
_SERVING: Final = frozenset({SubState.RUNNING, SubState.UPDATING})
_STANDING: Final = {
    RolloutState.ROLLED_BACK: SubState.ROLLED_BACK,
    RolloutState.PAUSED: SubState.PAUSED,
}
"""What a rollout that stands makes of a plugin that takes calls."""


def statuses(fleet: Fleet) -> list[PluginStatus]:
    """One status for each plugin that is wanted or still there, by id."""
    seen, wants = fleet.seen(), fleet.wants()
    names = sorted(wants.keys() | seen.keys() | fleet.unread)
    found = {name: situation(fleet, name, wants.get(name), seen.get(name, [])) for name in names}
    members = {
        name: Member(
            needs=wants[name].dependencies if name in wants else (),
            sub_state=one.sub_state,
            why=one.why[:WHY_CHARACTERS],
        )
        for name, one in found.items()
    }
    # Held before anybody asks who is held: what is held holds others.
    members |= {name: replace(m, sub_state=_held(name, members)) for name, m in members.items()}
    return [
        _status(fleet, name, wants.get(name), seen.get(name, []), (found[name], members))
        for name in names
    ]


def status(fleet: Fleet, plugin_id: str) -> PluginStatus | None:
    """One plugin's status; None if there is no such plugin."""
    return next((row for row in statuses(fleet) if row.plugin_id == plugin_id), None)


def _with_rollout(detail: str, rollout: RolloutStatus) -> str:
    """An update that is under way or failed comes first; not before what a dependency holds."""
    text = rollout.text
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


def _status(
    fleet: Fleet,
    plugin_id: str,
    want: Want | None,
    sightings: list[Sighting],
    context: tuple[Situation, Mapping[str, Member]],
) -> PluginStatus:
    history = fleet.plugin_history(plugin_id)
    deployment = fleet.deployments.get(plugin_id)
    current = [s for s in sightings if want is not None and s.digest == want.digest]
    container = next((s.container for s in [*current, *sightings]), None)
    if deployment is not None:
        version = deployment.inputs.info.version
    else:
        version = container.label(LABEL_VERSION) if container is not None else ""
    sub_state, detail, causes = _in_context(plugin_id, *context)
    rollout = fleet.rollout_of(plugin_id)
    if rollout is not None and want is not None and want.running:
        detail = _with_rollout(detail, rollout)
        if sub_state in _SERVING:
            sub_state = _STANDING.get(rollout.state, sub_state)
    return PluginStatus(
        plugin_id=plugin_id,
        version=version,
        status=LIFECYCLE[sub_state].state,
        sub_state=sub_state,
        detail=detail,
        container_id=container.container_id if container is not None else "",
        restarts=history.restarts,
        reason=history.reason,
        drift=drift(deployment) if deployment is not None else (),
        held=held_update(fleet, plugin_id),
        causes=causes,
        rollout=rollout,
        settled=want is not None and (is_settled(want, sightings) or want.sleep is not Sleep.AWAKE),
    )


# -- with an eye on others ----------------------------------------------------------------------


def _held(plugin_id: str, members: Mapping[str, Member]) -> SubState:
    sub_state = members[plugin_id].sub_state
    if sub_state is not SubState.WAITING:
        return sub_state
    causes = blockers(plugin_id, members)
    return SubState.HELD if any(cause.hopeless for cause in causes) else SubState.WAITING


def _in_context(
    plugin_id: str, found: Situation, members: Mapping[str, Member]
) -> tuple[SubState, str, tuple[str, ...]]:
    """Sub-state, detail, and the plugins at the root of it."""
    sub_state = members[plugin_id].sub_state
    own = (plugin_id,) if sub_state is SubState.DEGRADED else ()
    if sub_state in {SubState.WAITING, SubState.HELD}:
        causes = blockers(plugin_id, members)
        words = waiting_words(causes) if causes else found.detail
        failed = f"; {found.why}" if found.why else ""
        return sub_state, words + failed, tuple(cause.root for cause in causes)
    if sub_state in {SubState.RUNNING, SubState.DEGRADED}:
        causes = troubles(plugin_id, members)
        if causes:
            words = f"{found.detail}; " if own else "degraded: "
            roots = tuple(cause.root for cause in causes)
            return SubState.DEGRADED, words + degraded_words(causes), (*own, *roots)
    return sub_state, found.detail, own
