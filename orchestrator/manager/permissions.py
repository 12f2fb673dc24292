"""PermissionSystem: which permissions a plugin has, given and taken while it runs.

A grant and a revoke are desired state: recorded, laid over the manifest, carried out by the loop.
Only what a revoke takes away is taken at once, by the brake.
"""

from collections.abc import Mapping

from pydantic import JsonValue

from orchestrator.clock import Clock
from orchestrator.errors import Kind, OrchestratorError
from orchestrator.manager.auditing import Clerk
from orchestrator.manager.brake import Brake
from orchestrator.manager.deployment import Deployment
from orchestrator.manager.manager import OPERATOR, PluginManager
from orchestrator.manager.overridden import Overrides
from orchestrator.manager.revisions import Note
from orchestrator.model.audit import AuditAction, AuditOutcome, evidence_of
from orchestrator.model.permissions import Permission, PermissionKind
from orchestrator.policy.grant import PermissionRefused
from orchestrator.policy.overrides import Override, OverrideState


class UpdateNotHeld(OrchestratorError):
    """No update of that plugin waits for a grant."""

    kind, code = Kind.NOT_FOUND, "update_not_held"


class UpdateChanged(OrchestratorError):
    """The update that waits is another than the one that was looked at."""

    kind, code = Kind.CONFLICT, "update_changed"


class PermissionSystem:
    """The specification's three, and the grant of an update. One per daemon."""

    def __init__(
        self,
        *,
        manager: PluginManager,
        overrides: Overrides,
        brake: Brake,
        clerk: Clerk,
        clock: Clock,
    ) -> None:
        self._manager = manager
        self._overrides = overrides
        self._brake = brake
        self._clerk = clerk
        self._clock = clock

    def check_permission(self, plugin_id: str, permission: PermissionKind) -> bool:
        """Whether the plugin has it now. Raises PluginNotFound."""
        return _has(self._manager.deployment(plugin_id), permission)

    async def grant_permission(
        self,
        plugin_id: str,
        permission: PermissionKind,
        *,
        parameters: Permission | None = None,
        who: str = OPERATOR,
        why: str = "",
    ) -> bool:
        """Lift a revoke; if the plugin does not have it then, or not all of it, give it.

        Never more than the plugin asks and policy allows. Whether anything changed. Raises
        PluginNotFound, PermissionRefused and its kin, StoreUnavailable.
        """
        wish = Override(
            plugin_id=plugin_id,
            permission=permission,
            state=OverrideState.GRANTED,
            who=who,
            when=self._clock.now(),
            why=why,
            parameters=parameters,
        )
        async with self._manager.one:
            try:
                changed = self._grant(wish)
                await self._brake.mend(self._manager.deployment(plugin_id))
            except OrchestratorError as error:
                self._note(wish, AuditOutcome.REFUSED, {**evidence_of(error), "found": str(error)})
                raise
            self._note(wish, AuditOutcome.DONE, {"changed": changed})
        return changed

    async def revoke_permission(
        self, plugin_id: str, permission: PermissionKind, *, who: str = OPERATOR, why: str = ""
    ) -> bool:
        """Take it, now, until it is granted again. Whether the plugin had it.

        Waits for no other command. When it returns nothing of the permission is left to the
        plugin. Raises PluginNotFound; StoreUnavailable when it holds, but only until the daemon
        ends; EngineUnavailable when what the container holds could not be taken.
        """
        override = Override(
            plugin_id=plugin_id,
            permission=permission,
            state=OverrideState.REVOKED,
            who=who,
            when=self._clock.now(),
            why=why,
        )
        try:
            had = await self._revoke(override)
        except OrchestratorError as error:
            self._note(override, AuditOutcome.FAILED, {**evidence_of(error), "found": str(error)})
            raise
        self._note(override, AuditOutcome.DONE, {"changed": had})
        return had

    async def reset_permissions(
        self,
        plugin_id: str,
        permission: PermissionKind | None = None,
        *,
        who: str = OPERATOR,
        why: str = "",
    ) -> tuple[Override, ...]:
        """Forget grants and revokes, of one permission or of all: the manifest alone holds again.

        What was forgotten. What only a grant gave goes as by a narrower manifest. Raises
        PluginNotFound, PermissionRefused and its kin, StoreUnavailable.
        """
        data: dict[str, JsonValue] = {"permission": permission or "", "user": who}
        outcome = AuditOutcome.REFUSED
        try:
            async with self._manager.one:
                forgotten = self._reset(plugin_id, permission)
                await self._brake.mend(self._manager.deployment(plugin_id))
            outcome = AuditOutcome.DONE
            data["forgotten"] = [f"{one.permission} {one.state}" for one in forgotten]
        except OrchestratorError as error:
            data |= {**evidence_of(error), "found": str(error)}
            raise
        finally:
            self._clerk.permission(
                AuditAction.PERMISSION_RESET, outcome, plugin_id, why=why, data=data
            )
        return forgotten

    async def grant_update(
        self, plugin_id: str, update: str, *, who: str = OPERATOR, why: str = ""
    ) -> tuple[str, ...]:
        """Let a held update through, if it is this one; what it asks for more.

        Raises UpdateNotHeld, UpdateChanged, and what `up` raises.
        """
        data: dict[str, JsonValue] = {"update": update, "user": who}
        try:
            differences = await self._grant_update(plugin_id, update, who=who, why=why)
        except OrchestratorError as error:
            data |= {**evidence_of(error), "found": str(error)}
            self._clerk.permission(
                AuditAction.PERMISSION_GRANT, AuditOutcome.REFUSED, plugin_id, why=why, data=data
            )
            raise
        data["differences"] = [*differences]
        self._clerk.permission(
            AuditAction.PERMISSION_GRANT, AuditOutcome.DONE, plugin_id, why=why, data=data
        )
        return differences

    # -------------------------------------------------------------------------------------------

    def _grant(self, wish: Override) -> bool:
        """Tried before anything is written: a refused grant leaves no trace but the audit's."""
        old = self._manager.deployment(wish.plugin_id)
        revoke = self._overrides.find(wish.plugin_id, wish.permission, OverrideState.REVOKED)
        lifted = [override for override in self._overrides.all if override != revoke]
        new = self._manager.weighed(old, lifted)
        # What the plugin never asked for can be revoked beforehand; to lift that gives it nothing.
        liftable = revoke is not None and not _asks(old, wish.permission)
        if not liftable and (revoke is None or wish.parameters or not _has(new, wish.permission)):
            others = [override for override in lifted if not _same(override, wish)]
            new = self._manager.weighed(old, [*others, wish])
            if wish in new.effective.void:
                raise PermissionRefused(wish.plugin_id, new.effective.refusals)
            if new.grant == old.grant:
                return False
            self._manager.check(new)
            self._overrides.put(wish)
        if revoke is not None:
            self._overrides.drop(revoke)
        self._brake.release(wish.plugin_id, wish.permission)
        self._manager.replace(new, _note(wish))
        return True

    def _reset(self, plugin_id: str, permission: PermissionKind | None) -> tuple[Override, ...]:
        old, held = self._manager.deployment(plugin_id), self._overrides.all
        mine = [override for override in held if override.plugin_id == plugin_id]
        forgotten = [one for one in mine if permission in {None, one.permission}]
        if not forgotten:
            return ()
        new = self._manager.weighed(old, [one for one in held if one not in forgotten])
        self._manager.check(new)
        self._overrides.drop(*forgotten)
        for override in forgotten:
            self._brake.release(plugin_id, override.permission)
        self._manager.replace(new)
        return tuple(sorted(forgotten, key=lambda one: (one.permission, one.state)))

    async def _revoke(self, override: Override) -> bool:
        old = self._manager.deployment(override.plugin_id)
        self._brake.cut(override.plugin_id, override.permission)
        try:
            self._overrides.put(override)
        finally:  # also when the disk is full
            new = self._manager.weighed(old, self._overrides.all)
            self._manager.replace(new, _note(override))
            await self._brake.pull(old, new, override.permission)
            self._manager.loop.wake()
        return _has(old, override.permission)

    async def _grant_update(
        self, plugin_id: str, update: str, *, who: str, why: str
    ) -> tuple[str, ...]:
        async with self._manager.one:
            self._manager.deployment(plugin_id)
            held = self._manager.fleet.held.get(plugin_id)
            if held is None:
                raise UpdateNotHeld(
                    f"{plugin_id}: found no update that waits for a grant, expected {update}"
                )
            if held.update != update:
                raise UpdateChanged(
                    f"{plugin_id}: found the update {held.update} waiting, expected {update}; look "
                    f"at it with `orchestrator permissions list {plugin_id}` and grant that one"
                )
            why_it = f"the held update {update} was granted{f': {why}' if why else ''}"
            await self._manager.take(held.inputs, Note(who=who, why=why_it))
            return held.differences

    def _note(
        self, override: Override, outcome: AuditOutcome, more: Mapping[str, JsonValue]
    ) -> None:
        action = {
            OverrideState.GRANTED: AuditAction.PERMISSION_GRANT,
            OverrideState.REVOKED: AuditAction.PERMISSION_REVOKE,
        }[override.state]
        data: dict[str, JsonValue] = {
            "permission": override.permission,
            "user": override.who,
            **more,
        }
        self._clerk.permission(action, outcome, override.plugin_id, why=override.why, data=data)


def _note(override: Override) -> Note:
    why = f": {override.why}" if override.why else ""
    return Note(who=override.who, why=f"{override.permission} was {override.state}{why}")


def _has(deployment: Deployment, permission: PermissionKind) -> bool:
    return any(granted.kind == permission for granted in deployment.grant.permissions)


def _asks(deployment: Deployment, permission: PermissionKind) -> bool:
    return any(asked.kind == permission for asked in deployment.inputs.info.permissions)


def _same(override: Override, other: Override) -> bool:
    """About one permission of one plugin."""
    return (override.plugin_id, override.permission) == (other.plugin_id, other.permission)
