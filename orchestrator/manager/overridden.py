"""Overrides: what was granted and revoked by command, kept in the store and laid over manifests.

A grant and a revoke of one permission are two records: lifting the revoke leaves the grant.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from pydantic import TypeAdapter, ValidationError

from orchestrator.manager.deployment import Deployment, Inputs
from orchestrator.manager.resolve import Resolver
from orchestrator.model.permissions import PermissionKind
from orchestrator.model.policy import SecurityPolicy
from orchestrator.model.status import Drift
from orchestrator.policy.overrides import Override, OverrideState
from orchestrator.store.base import Record, RecordStore

OVERRIDE: Final = "override"
_SEPARATOR: Final = "/"
_CODEC = TypeAdapter(Override)


class Overrides:
    """In mind and on disk. One per daemon."""

    def __init__(self, *, store: RecordStore, resolver: Resolver) -> None:
        self._store = store
        self._resolver = resolver
        self._held: dict[str, Override] = {}

    def restore(self) -> None:
        """Take up what an earlier daemon was told."""
        self._held = {_key(override): override for override in stored_overrides(self._store)}

    @property
    def all(self) -> tuple[Override, ...]:
        return tuple(self._held.values())

    def find(
        self, plugin_id: str, permission: PermissionKind, state: OverrideState
    ) -> Override | None:
        return self._held.get(_name(plugin_id, permission, state))

    def put(self, override: Override) -> None:
        """A revoke in mind first: it must hold though the disk is full. A grant on disk first.

        Raises StoreUnavailable.
        """
        if override.state is OverrideState.REVOKED:
            self._held[_key(override)] = override
        self._store.put_all(OVERRIDE, dict([override_record(override)]))
        self._held[_key(override)] = override

    def drop(self, *overrides: Override) -> None:
        """On disk first: what is dropped gives rights. All or none. Raises StoreUnavailable."""
        self._store.put_all(OVERRIDE, {_key(override): None for override in overrides})
        for override in overrides:
            self._held.pop(_key(override), None)

    def settle(self, inputs: Inputs, policy: SecurityPolicy) -> Deployment:
        """Inputs, decided and compiled under the overrides as they are now."""
        return self._resolver.settle(inputs, policy, self.all)

    def settled(
        self, deployments: Mapping[str, Deployment], policy: SecurityPolicy
    ) -> dict[str, Deployment]:
        """The same for all: what was weighed a while ago may have been revoked since."""
        return {name: self.settle(d.inputs, policy) for name, d in deployments.items()}


def stored_overrides(store: RecordStore) -> tuple[Override, ...]:
    """What was granted and revoked by earlier commands."""
    return tuple(_read(key, record) for key, record in store.load(OVERRIDE).items())


def override_record(override: Override) -> tuple[str, Record]:
    """(key, record) as stored."""
    record: Record = _CODEC.dump_python(override, mode="json")
    return _key(override), record


def drift(deployment: Deployment) -> tuple[Drift, ...]:
    """How what holds differs from the manifest, by whom, when and why; by permission."""
    return tuple(sorted(_drift(deployment), key=lambda found: (found.permission, found.state)))


def _drift(deployment: Deployment) -> Iterator[Drift]:
    granted = {permission.kind for permission in deployment.inputs.manifest.spec.permissions}
    for override in deployment.effective.revoked:
        held = "the manifest grants it" if override.permission in granted else "not granted anyway"
        yield _told(override, held)
    for override in deployment.effective.granted:
        less = "grants less" if override.permission in granted else "does not grant it"
        yield _told(override, f"the manifest {less}")
    for override in deployment.effective.void:
        yield _told(override, "without effect: the plugin or the policy no longer allow it")


def _told(override: Override, beside: str) -> Drift:
    why = f" ({override.why})" if override.why else ""
    return Drift(
        permission=override.permission,
        state=override.state,
        who=override.who,
        when=override.when,
        why=override.why,
        text=f"{override.permission} was {override.state} by {override.who}{why}; {beside}",
    )


def _key(override: Override) -> str:
    return _name(override.plugin_id, override.permission, override.state)


def _name(plugin_id: str, permission: PermissionKind, state: OverrideState) -> str:
    return _SEPARATOR.join((plugin_id, permission, state))


def _read(key: str, record: Record) -> Override:
    """A record that this version cannot read counts as a revoke: that harms least."""
    try:
        return _CODEC.validate_python(dict(record))
    except ValidationError:
        plugin_id, permission, _ = key.split(_SEPARATOR)
        return Override(
            plugin_id=plugin_id,
            permission=PermissionKind(permission),
            state=OverrideState.REVOKED,
            who="orchestrator",
            when=0.0,
            why="its record could not be read",
        )
