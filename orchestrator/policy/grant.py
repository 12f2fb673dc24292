"""Grant: what this plugin gets after its wish, the manifest and the policy were weighed."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.model.info import PluginInfo
from orchestrator.model.limits import ResourceLimits
from orchestrator.model.permissions import Permission, PermissionKind
from orchestrator.model.runtime import Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class Withheld:
    """A permission that the plugin asks for and the manifest does not grant."""

    permission: PermissionKind
    reason: str
    """Why the plugin would like it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Injected:
    """A credential that the egress broker adds; its value is nowhere in here."""

    host: str
    header: str
    prefix: str
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Everything that the container and the initialize request are made from."""

    info: PluginInfo
    permissions: tuple[Permission, ...]
    withheld: tuple[Withheld, ...]
    limits: ResourceLimits
    config: Mapping[str, JsonValue]
    secrets: tuple[str, ...] = ()
    runtime: Runtime = Runtime.RUNC
    injected: tuple[Injected, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One rule that says no."""

    rule: str
    """Stable name of the rule; docs/permissions.md lists them."""
    field: str
    """Where in the manifest, plugin.yaml or policy."""
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.field}: found {self.found}, expected {self.expected} [{self.rule}]"


class PermissionRefused(OrchestratorError):
    """A manifest grants more than the plugin asks or the policy allows, or too little."""

    kind, code = Kind.DENIED, "permission_refused"

    def __init__(self, plugin_id: str, refusals: tuple[Refusal, ...]) -> None:
        lines = "".join(f"\n  {refusal}" for refusal in refusals)
        super().__init__(f"{plugin_id}: refused by policy:{lines}")
        self.plugin_id, self.refusals = plugin_id, refusals


class PermissionNotHeld(OrchestratorError):
    """A parameter that nothing can hold a plugin to; tests/engine/test_any_owner.py shows why."""

    kind, code = Kind.DENIED, "permission_not_held"

    def __init__(self, plugin_id: str, permissions: tuple[str, ...]) -> None:
        names = ", ".join(permissions)
        super().__init__(
            f"{plugin_id}: spec.permissions grants {names}, to which nothing could hold the "
            "plugin; take it out of the manifest to start without it"
        )
        self.plugin_id, self.permissions = plugin_id, permissions
