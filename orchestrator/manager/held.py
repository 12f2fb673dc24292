"""Held updates: an update that asks for more than what runs waits until somebody grants it. Pure.

An update is another plugin.yaml of a plugin that is deployed already. It is held when it asks for
more than the one deployed, or when it comes together with a manifest that grants more, or with
larger limits. A manifest that grants more of what an unchanged plugin.yaml asks is the operator's
own grant, and a plugin's first deployment is what the operator typed: neither is held.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from pydantic import ValidationError

from orchestrator.manager.deployment import Deployment, Inputs, from_record, to_record
from orchestrator.model.permissions import Permission
from orchestrator.policy.overrides import Difference, widened
from orchestrator.store.base import Record, RecordStore

HELD: Final = "held"
_ID_CHARACTERS: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldUpdate:
    """One update as it was found, and what it asks for more."""

    update: str
    """Its id, a hash of all that it would be made from: who grants it grants exactly this."""
    inputs: Inputs
    differences: tuple[str, ...]

    @property
    def version(self) -> str:
        return self.inputs.info.version


def hold(old: Deployment, new: Deployment) -> HeldUpdate | None:
    """The update from `old` to `new`, if it has to wait."""
    if old.inputs.info == new.inputs.info:
        return None
    differences = tuple(str(difference) for difference in _differences(old, new))
    if not differences:
        return None
    # Whoever grants it grants what it may do, whatever the values of its secrets are by then.
    record = {k: v for k, v in to_record(new.inputs).items() if k != "secret_digests"}
    text = json.dumps(record, sort_keys=True)
    update = hashlib.sha256(text.encode()).hexdigest()[:_ID_CHARACTERS]
    return HeldUpdate(update=update, inputs=new.inputs, differences=differences)


def held_back(
    current: Mapping[str, Deployment], new: Iterable[Deployment]
) -> tuple[list[Inputs], dict[str, HeldUpdate]]:
    """What `up` may make wanted at once, and the updates that wait."""
    wanted: list[Inputs] = []
    held: dict[str, HeldUpdate] = {}
    for deployment in new:
        old = current.get(deployment.plugin_id)
        update = hold(old, deployment) if old is not None else None
        if old is None or update is None:
            wanted.append(deployment.inputs)
        else:
            held[deployment.plugin_id] = update
            wanted.append(while_held(old, deployment))
    return wanted, held


def while_held(old: Deployment, new: Deployment) -> Inputs:
    """What goes on meanwhile: the old revision, but stopped or running as is wanted now."""
    spec = old.inputs.manifest.spec.model_copy(update={"state": new.inputs.manifest.spec.state})
    manifest = old.inputs.manifest.model_copy(update={"spec": spec})
    return replace(old.inputs, manifest=manifest, origin=new.inputs.origin)


def to_held_record(held: HeldUpdate) -> Record:
    """As stored; `from_held_record` is its inverse."""
    return {
        "update": held.update,
        "inputs": dict(to_record(held.inputs)),
        "differences": [*held.differences],
    }


def stored_updates(store: RecordStore) -> dict[str, HeldUpdate]:
    """What waited when an earlier daemon ended; what cannot be read is found anew by `up`."""
    found = {}
    for name, record in store.load(HELD).items():
        with contextlib.suppress(ValidationError):
            found[name] = from_held_record(record)
    return found


def from_held_record(record: Record) -> HeldUpdate:
    """Raises pydantic's ValidationError for a record of another shape."""
    inputs, differences = record.get("inputs"), record.get("differences")
    return HeldUpdate(
        update=str(record.get("update", "")),
        inputs=from_record(inputs if isinstance(inputs, Mapping) else {}),
        differences=tuple(map(str, differences)) if isinstance(differences, list) else (),
    )


def _differences(old: Deployment, new: Deployment) -> Iterator[Difference]:
    asked = [
        difference
        for difference in widened(old.inputs.info, new.inputs.info)
        # A limit that the manifest sets is what it sets, whatever the plugin wishes.
        if not difference.field.startswith("limits.")
    ]
    yield from asked
    for name, (now, before) in new.grant.limits.exceeding(old.grant.limits).items():
        yield Difference.of(f"limits.{name}", str(before), str(now), f"a larger {name}")
    told = {difference.field for difference in asked}
    yield from (d for d in _granted(old, new) if d.field not in told)


def _granted(old: Deployment, new: Deployment) -> Iterator[Difference]:
    """What the manifest grants beyond what is granted now; a revoke stands beside it."""
    before = _as_if_asked(old, (*old.effective.permissions, *_revoked(old)))
    now = _as_if_asked(new, new.inputs.manifest.spec.permissions)
    for difference in widened(
        old.inputs.info.model_copy(update=before), old.inputs.info.model_copy(update=now)
    ):
        text = difference.text.replace("asks for", "is granted", 1).replace("asked", "granted")
        yield replace(difference, text=text)


def _revoked(old: Deployment) -> tuple[Permission, ...]:
    kinds = {override.permission for override in old.effective.revoked}
    return tuple(p for p in old.inputs.manifest.spec.permissions if p.kind in kinds)


def _as_if_asked(
    deployment: Deployment, permissions: tuple[Permission, ...]
) -> dict[str, tuple[object, ...]]:
    return {"permissions": permissions, "secrets": tuple(sorted(deployment.grant.secrets))}
