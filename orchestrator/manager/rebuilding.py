"""After a state file was rebuilt: who is told, what is taken up from elsewhere, what is left alone.

What was revoked is in the audit log too. Which plugins there were is in the labels of their
containers: where the records do not account for one, it is left as it is until somebody says what
is wanted.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Final

from pydantic import JsonValue

from orchestrator.engine.base import LABEL_DIGEST
from orchestrator.events.bus import PluginEventBus
from orchestrator.manager.fleet import DESIRED, Fleet
from orchestrator.manager.overridden import OVERRIDE, override_record
from orchestrator.model.audit import AuditAction, AuditOutcome
from orchestrator.model.events import EventName
from orchestrator.model.permissions import PermissionKind
from orchestrator.policy.overrides import Override, OverrideState
from orchestrator.store.audit_log import AuditLog
from orchestrator.store.base import RecordStore, StoreUnavailable
from orchestrator.store.rebuild import REBUILT, Rebuilt, forgotten, last_rebuilt

LEFT_ALONE: Final = (
    "left as it is, as its record was lost or cannot be taken up; `orchestrator up` decides"
)
_TOLD: Final = "told"
_ALL: Final = 1_000_000
_LOG = logging.getLogger("orchestrator")


def take_up(fleet: Fleet, *, audit: AuditLog, bus: PluginEventBus) -> None:
    """Before anything else is read from the store. Raises StoreUnavailable.

    Told once, though the daemon be killed here; what is lost stays in `status` until `settle`.
    """
    store = fleet.store
    records = store.load(REBUILT)
    rebuilt = last_rebuilt(records)
    if rebuilt is None:
        return
    fleet.rebuilt = rebuilt
    fleet.in_doubt = rebuilt.lost_something
    if _TOLD not in records:
        revokes = _lost_revokes(rebuilt, store, audit)
        store.put_all(OVERRIDE, dict(map(override_record, revokes)))
        _LOG.error("the state file was rebuilt: %s", rebuilt)
        bus.publish(EventName.STATE_REBUILT, data=_facts(rebuilt, revokes))
        store.put_all(REBUILT, {_TOLD: {}})


def leave_alone(fleet: Fleet) -> None:
    """After the first look: containers that what was saved does not account for are not touched."""
    if not fleet.in_doubt or fleet.rebuilt is None:
        return
    fleet.in_doubt = False
    fleet.unread |= fleet.rebuilt.lost_of(DESIRED) - fleet.deployments.keys()
    # Whatever was lost: it may be the name of the lost record that is wrong.
    for plugin_id, sightings in fleet.seen().items():
        wanted = fleet.deployments.get(plugin_id)
        digests = {sighting.container.label(LABEL_DIGEST) for sighting in sightings}
        if wanted is None or wanted.compiled.digest not in digests:
            fleet.unread.add(plugin_id)


def settle(fleet: Fleet, *, down: bool) -> None:
    """After an `up` or `down`: when nothing is left alone any more, the loss is history."""
    if down:
        fleet.in_doubt = False
    if fleet.rebuilt is None or fleet.in_doubt or fleet.unread:
        return
    try:
        fleet.store.put_all(REBUILT, {**forgotten(), _TOLD: None})
    except StoreUnavailable as error:
        fleet.store_trouble = str(error)
        return
    fleet.rebuilt = None


def _facts(rebuilt: Rebuilt, revokes: Iterable[Override]) -> dict[str, JsonValue]:
    return {
        "detail": str(rebuilt),
        "aside": rebuilt.aside,
        "saved": rebuilt.saved,
        "lost": [*rebuilt.lost],
        "complete": rebuilt.complete,
        "revokes_from_audit": [f"{it.plugin_id}/{it.permission}" for it in revokes],
    }


def _lost_revokes(rebuilt: Rebuilt, store: RecordStore, audit: AuditLog) -> list[Override]:
    """What the audit log says is revoked and the store does not: a loss must give no rights."""
    if not rebuilt.lost_something:
        return []  # else asked whatever is named: the damage may be in the name itself
    known = store.load(OVERRIDE)
    return [one for one in revoked_by_audit(audit) if override_record(one)[0] not in known]


def revoked_by_audit(audit: AuditLog) -> list[Override]:
    """What was revoked by command and not granted since."""
    entries = [
        record.entry
        for action in (AuditAction.PERMISSION_GRANT, AuditAction.PERMISSION_REVOKE)
        for record in audit.read(action=action, limit=_ALL)
    ]
    held: dict[tuple[str, str], Override] = {}
    for entry in sorted(entries, key=lambda entry: float(str(entry.get("at", 0.0)))):
        _apply(entry, held)
    return list(held.values())


def _apply(entry: Mapping[str, JsonValue], held: dict[tuple[str, str], Override]) -> None:
    data = entry.get("data")
    name = data.get("permission") if isinstance(data, dict) else None
    if not isinstance(data, dict) or name not in set(PermissionKind):
        return  # the grant of an update, say
    plugin_id = str(entry["plugin_id"])
    if entry["action"] == AuditAction.PERMISSION_REVOKE:
        # Also one that failed: it was meant, and part of it may have held.
        held[plugin_id, str(name)] = Override(
            plugin_id=plugin_id,
            permission=PermissionKind(str(name)),
            state=OverrideState.REVOKED,
            who=str(data.get("user", "operator")),
            when=float(str(entry.get("at", 0.0))),
            why=str(entry.get("why", "")),
        )
    elif entry["outcome"] == AuditOutcome.DONE:
        held.pop((plugin_id, str(name)), None)
