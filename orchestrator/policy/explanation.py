"""explain_full: what a plugin may do, why it wants to, and what holds it to that. Pure.

For `orchestrator explain`, before anything starts and while it runs: as text and as JSON.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from pydantic import JsonValue

from orchestrator.model.permissions import (
    FileSystemRead,
    NetworkAccess,
    Permission,
    PermissionKind,
    SystemInfo,
)
from orchestrator.model.runtime import Runtime
from orchestrator.policy.enforcement import BASELINE, LIMITS, ON_GVISOR, PERMISSIONS
from orchestrator.policy.explain import sentence
from orchestrator.policy.grant import Grant
from orchestrator.policy.rating import BEST, Rating, Surroundings

_NOTHING = "NOTHING: this engine does not enforce it"
_CGROUP_RULES = frozenset({"max_memory_mb", "max_cpu_percent", "processes"})
_ISOLATION = {
    Runtime.RUNC: "the host's kernel (runc)",
    Runtime.RUNSC: "gVisor, a kernel of its own between plugin and host (runsc)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedPermission:
    permission: str
    may: str
    """What it may do with it, in a sentence."""
    why: str
    """The plugin's reason; empty if it gives none."""
    does: str
    held_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedLimit:
    limit: str
    value: int
    does: str
    held_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedRule:
    rule: str
    does: str
    held_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedCredential:
    host: str
    header: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedWithheld:
    permission: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Everything there is to say about what one plugin may do."""

    plugin_id: str
    version: str
    rating: Rating
    isolation: str
    permissions: tuple[ExplainedPermission, ...]
    withheld: tuple[ExplainedWithheld, ...]
    secrets: tuple[str, ...]
    credentials: tuple[ExplainedCredential, ...]
    limits: tuple[ExplainedLimit, ...]
    baseline: tuple[ExplainedRule, ...]
    changed: tuple[str, ...]
    """What was granted and revoked by command, so that it differs from the manifest."""


def explain_full(
    grant: Grant, rating: Rating, surroundings: Surroundings, changed: tuple[str, ...] = ()
) -> Explanation:
    """What the plugin may do, why, and what holds each rule."""
    why = {permission.kind: permission.reason for permission in grant.info.permissions}
    kinds = {PermissionKind(permission.kind) for permission in grant.permissions}
    return Explanation(
        plugin_id=grant.info.plugin_id,
        version=grant.info.version,
        rating=rating,
        isolation=_ISOLATION[surroundings.runtime],
        permissions=tuple(
            _permission(permission, grant, why.get(permission.kind, ""))
            for permission in grant.permissions
        ),
        withheld=tuple(
            ExplainedWithheld(permission=held.permission.value, why=held.reason)
            for held in grant.withheld
        ),
        secrets=grant.secrets,
        credentials=tuple(
            ExplainedCredential(host=injected.host, header=injected.header)
            for injected in grant.injected
        ),
        limits=tuple(
            ExplainedLimit(
                limit=name,
                value=value,
                does=LIMITS[name].does,
                held_by=_held_by(name, surroundings),
            )
            for name, value in grant.limits
            if _matters(name, kinds)
        ),
        baseline=tuple(
            ExplainedRule(rule=name, does=rule.does, held_by=_held_by(name, surroundings))
            for name, rule in BASELINE.items()
            if not _lifted(name, grant)
        ),
        changed=changed,
    )


def to_json(explanation: Explanation) -> dict[str, JsonValue]:
    """As `explain --json` prints it."""
    as_json: dict[str, JsonValue] = json.loads(json.dumps(asdict(explanation)))
    return as_json


def lines(explanation: Explanation) -> tuple[str, ...]:
    """As `explain` prints it."""
    return tuple(_lines(explanation))


def _lines(it: Explanation) -> Iterator[str]:
    yield f"{it.plugin_id} {it.version}: security rating {it.rating.score} of {BEST}"
    yield from (f"  {reason}" for reason in it.rating.reasons)
    if it.changed:
        yield "By command"
        yield from (f"  {words}" for words in it.changed)
    yield "It"
    if not it.permissions:
        yield "  may compute, and nothing else"
    for permission in it.permissions:
        yield f"  {permission.may}"
        yield f"    why: {permission.why or 'it gives no reason'}"
        yield f"    held by: {permission.held_by}"
    yield from (f"  is given the secret {name}" for name in it.secrets)
    for credential in it.credentials:
        yield f"  acts at {credential.host} with the operator's credential"
        yield f"    held by: the egress broker adds {credential.header}; the plugin never sees it"
    for held in it.withheld:
        wanted = f" (wanted: {held.why})" if held.why else ""
        yield f"  asked for {held.permission} and does not get it{wanted}"
    yield "Its limits"
    for limit in it.limits:
        yield f"  {limit.limit} {limit.value}: {limit.does}"
        yield f"    held by: {limit.held_by}"
    yield f"Always, on {it.isolation}, it"
    for rule in it.baseline:
        yield f"  {rule.does}"
        yield f"    held by: {rule.held_by}"


def _permission(permission: Permission, grant: Grant, why: str) -> ExplainedPermission:
    rule = PERMISSIONS[PermissionKind(permission.kind)]
    return ExplainedPermission(
        permission=permission.kind,
        may=sentence(permission, grant),
        why=why,
        does=rule.does,
        held_by=rule.held_by,
    )


def _matters(limit: str, kinds: set[PermissionKind]) -> bool:
    """Whether there is anything that the limit could hold."""
    if limit == "max_disk_mb":
        return PermissionKind.FILE_SYSTEM_WRITE in kinds
    if limit == "max_network_mb":
        return bool(
            kinds
            & {
                PermissionKind.NETWORK_ACCESS,
                PermissionKind.EXTERNAL_API,
                PermissionKind.DATABASE_ACCESS,
            }
        )
    return True


def _lifted(rule: str, grant: Grant) -> bool:
    """Whether a permission takes a rule of the baseline away, wholly or in part."""
    match rule:
        case "no_network":
            return any(isinstance(p, NetworkAccess) for p in grant.permissions)
        case "host_hidden":
            return any(isinstance(p, SystemInfo) for p in grant.permissions)
        case "no_capabilities":
            return any(isinstance(p, FileSystemRead) and p.any_owner for p in grant.permissions)
        case _:
            return False


def _held_by(rule: str, surroundings: Surroundings) -> str:
    """Told as it is on this engine, above all where nothing holds it."""
    if rule == "max_disk_mb":
        return surroundings.disk_enforced_by or _NOTHING
    if rule in _CGROUP_RULES and not surroundings.limits_enforced:
        return _NOTHING
    if surroundings.runtime is Runtime.RUNSC and rule in ON_GVISOR:
        return ON_GVISOR[rule]
    return (LIMITS.get(rule) or BASELINE[rule]).held_by
