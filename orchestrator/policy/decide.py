"""decide: weigh what a plugin asks, what the manifest grants and what the policy allows.

A pure fold over small rules; each yields the refusals it finds, so that all come at once. Least
privilege: nothing is granted that is not both asked and granted, and policy is a ceiling over all.
"""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from pydantic import JsonValue

from orchestrator.model.info import PluginInfo
from orchestrator.model.manifest import PluginManifest
from orchestrator.model.permissions import (
    DatabaseAccess,
    ExternalApi,
    FileSystemRead,
    FileSystemWrite,
    NetworkAccess,
    Permission,
    PermissionKind,
)
from orchestrator.model.policy import SecurityPolicy
from orchestrator.model.runtime import Runtime, at_least
from orchestrator.model.versions import older
from orchestrator.policy.grant import Grant, Injected, PermissionRefused, Refusal, Withheld
from orchestrator.policy.guard import guard_rules, is_held_back
from orchestrator.version import CORE_VERSION

_OPEN_WHEN_EMPTY = frozenset({"allow", "ports"})
"""Parameters of network_access that bound it: it is unbounded without them."""

_NOT_ON_RUNSC: Mapping[PermissionKind, str] = MappingProxyType(
    {
        # It comes to harm with files of the host's /proc.
        PermissionKind.SYSTEM_INFO: "which cannot show the host",
        # Its network stack would take the interface past the guard's rules in the namespace.
        PermissionKind.NETWORK_ACCESS: "whose own network no guard could hold",
    }
)

Rule = Callable[[PluginInfo, PluginManifest, SecurityPolicy], Iterator[Refusal]]


def decide(
    info: PluginInfo,
    manifest: PluginManifest,
    policy: SecurityPolicy,
    *,
    config: Mapping[str, JsonValue],
) -> Grant:
    """What the plugin gets. `config` is `spec.config`, checked and with defaults filled in.

    Raises PermissionRefused with every refusal of every rule; NetworkRuleUnusable.
    """
    refusals = tuple(refusal for rule in RULES for refusal in rule(info, manifest, policy))
    if refusals:
        raise PermissionRefused(info.plugin_id, refusals)
    granted = {permission.kind: permission for permission in manifest.spec.permissions}
    return Grant(
        info=info,
        permissions=tuple(granted[kind] for kind in sorted(granted)),
        withheld=tuple(
            Withheld(permission=PermissionKind(asked.kind), reason=asked.reason)
            for asked in info.permissions
            if asked.kind not in granted
        ),
        limits=manifest.spec.limits.over(info.limits),
        config=config,
        secrets=tuple(sorted(manifest.spec.secrets)),
        runtime=at_least(manifest.spec.runtime, policy.runtime),
        injected=tuple(
            Injected(host=host, header=it.header, prefix=it.prefix, file=it.place)
            for host, it in sorted(manifest.spec.inject.items())
        ),
    )


def parameters(permission: Permission) -> dict[str, frozenset[str]]:
    """A permission's parameters as sets, to be compared: a flag is a set of its name, or empty."""
    return {
        name: frozenset({name} if value else ())
        if isinstance(value, bool)
        else frozenset(str(item) for item in value)
        for name, value in permission
        if name not in {"kind", "required", "reason"}
    }


def _beyond(parameter: str, granted: frozenset[str], asked: frozenset[str]) -> str:
    """What is granted beyond what is asked, in words; empty if nothing is."""
    if parameter in _OPEN_WHEN_EMPTY and not asked:
        return ""
    if parameter in _OPEN_WHEN_EMPTY and not granted:
        return "anything"
    return ", ".join(sorted(granted - asked))


def _known_secrets(
    info: PluginInfo, manifest: PluginManifest, policy: SecurityPolicy
) -> Iterator[Refusal]:
    for name in sorted(set(manifest.spec.secrets) - set(info.secrets)):
        yield Refusal(
            rule="secret_not_asked",
            field=f"spec.secrets.{name}",
            found="a secret that plugin.yaml does not declare",
            expected=f"one of {', '.join(info.secrets) or 'none'}",
        )


def _credentials_for_granted_hosts(
    info: PluginInfo, manifest: PluginManifest, policy: SecurityPolicy
) -> Iterator[Refusal]:
    granted = {
        host
        for permission in manifest.spec.permissions
        if isinstance(permission, ExternalApi)
        for host in permission.hosts
    }
    for host in sorted(manifest.spec.inject):
        # a.b.c:443 lies below *.b.c:443 and *.c:443.
        below = {f"*.{host.split('.', n)[n]}" for n in range(1, host.count(".") + 1)}
        if not granted & {host, *below}:
            hosts = ", ".join(sorted(granted)) or "none"
            yield Refusal(
                rule="credential_without_host",
                field=f"spec.inject.{host}",
                found="a credential for a host that is not granted",
                expected=f"one of the hosts of external_api: {hosts}",
            )


def _nothing_unasked(
    info: PluginInfo, manifest: PluginManifest, policy: SecurityPolicy
) -> Iterator[Refusal]:
    asked = {permission.kind: permission for permission in info.permissions}
    for permission in manifest.spec.permissions:
        if permission.kind not in asked:
            yield Refusal(
                rule="permission_not_asked",
                field=f"spec.permissions.{permission.kind}",
                found="a grant that plugin.yaml does not ask for",
                expected=f"at most {', '.join(sorted(asked)) or 'no permission'}",
            )
            continue
        wish = parameters(asked[permission.kind])
        for name, values in parameters(permission).items():
            if extra := _beyond(name, values, wish[name]):
                yield Refusal(
                    rule="permission_wider_than_asked",
                    field=f"spec.permissions.{permission.kind}.{name}",
                    found=extra,
                    expected=f"at most {', '.join(sorted(wish[name])) or 'nothing'}",
                )


def _nothing_required_missing(
    info: PluginInfo, manifest: PluginManifest, policy: SecurityPolicy
) -> Iterator[Refusal]:
    granted = {permission.kind for permission in manifest.spec.permissions}
    for permission in info.permissions:
        if permission.required and permission.kind not in granted:
            yield Refusal(
                rule="required_permission_missing",
                field="spec.permissions",
                found=f"no {permission.kind}",
                expected=f"{permission.kind}, which {info.plugin_id} cannot work without"
                + (f" ({permission.reason})" if permission.reason else ""),
            )


def _allowed_by_policy(
    info: PluginInfo, manifest: PluginManifest, policy: SecurityPolicy
) -> Iterator[Refusal]:
    for permission in manifest.spec.permissions:
        if permission.kind not in policy.permissions:
            yield Refusal(
                rule="permission_forbidden",
                field=f"spec.permissions.{permission.kind}",
                found="a permission that policy.permissions leaves out",
                expected=f"one of {', '.join(sorted(policy.permissions)) or 'none'}",
            )


def _shares_named_in_policy(
    info: PluginInfo, manifest: PluginManifest, policy: SecurityPolicy
) -> Iterator[Refusal]:
    for permission in manifest.spec.permissions:
        if not isinstance(permission, FileSystemRead | FileSystemWrite):
            continue
        field = f"spec.permissions.{permission.kind}.shares"
        for name in permission.shares:
            if name not in policy.shares:
                yield Refusal(
                    rule="share_unknown",
                    field=field,
                    found=repr(name),
                    expected=f"a share of policy.shares: {', '.join(sorted(policy.shares))}"
                    if policy.shares
                    else "no share, as policy.shares is empty",
                )
            elif isinstance(permission, FileSystemWrite) and not policy.shares[name].write:
                yield Refusal(
                    rule="share_read_only",
                    field=field,
                    found=repr(name),
                    expected=f"a share with policy.shares.{name}.write: true",
                )


def _databases_named_in_policy(
    info: PluginInfo, manifest: PluginManifest, policy: SecurityPolicy
) -> Iterator[Refusal]:
    for permission in manifest.spec.permissions:
        if not isinstance(permission, DatabaseAccess):
            continue
        for name in permission.databases:
            if name not in policy.databases:
                known = ", ".join(sorted(policy.databases))
                yield Refusal(
                    rule="database_unknown",
                    field="spec.permissions.database_access.databases",
                    found=repr(name),
                    expected=f"a database of policy.databases: {known}"
                    if known
                    else "no database, as policy.databases is empty",
                )


def _public_unless_allowed(
    info: PluginInfo, manifest: PluginManifest, policy: SecurityPolicy
) -> Iterator[Refusal]:
    """Raises NetworkRuleUnusable: now, and not when the plugin starts."""
    for permission in manifest.spec.permissions:
        if not isinstance(permission, NetworkAccess):
            continue
        rules = guard_rules(permission, info.limits)
        for place in (*rules.addresses, *rules.networks):
            if is_held_back(place, policy.egress.allowed_private):
                yield Refusal(
                    rule="private_not_allowed",
                    field="spec.permissions.network_access.allow",
                    found=place,
                    expected="public addresses, or what policy.egress.allowed_private names",
                )


def _within_ceilings(
    info: PluginInfo, manifest: PluginManifest, policy: SecurityPolicy
) -> Iterator[Refusal]:
    wanted = manifest.spec.limits.over(info.limits)
    for name, (found, ceiling) in wanted.exceeding(policy.ceilings).items():
        theirs = name in manifest.spec.limits.model_fields_set
        yield Refusal(
            rule="limit_above_policy",
            field=f"spec.limits.{name}" if theirs else f"plugin.yaml limits.{name}",
            found=str(found),
            expected=f"at most {ceiling} (policy.ceilings.{name})",
        )


def _runtime_strong_enough(
    info: PluginInfo, manifest: PluginManifest, policy: SecurityPolicy
) -> Iterator[Refusal]:
    runtime = at_least(manifest.spec.runtime, policy.runtime)
    if manifest.spec.runtime not in {None, runtime}:
        yield Refusal(
            rule="runtime_below_policy",
            field="spec.runtime",
            found=str(manifest.spec.runtime),
            expected=f"{runtime} or none (policy.runtime)",
        )
    for permission in manifest.spec.permissions:
        why = _NOT_ON_RUNSC.get(PermissionKind(permission.kind))
        if why is not None and runtime is Runtime.RUNSC:
            yield Refusal(
                rule="permission_not_on_runsc",
                field=f"spec.permissions.{permission.kind}",
                found=f"runtime runsc (gVisor), {why}",
                expected="no such permission, or runtime runc",
            )


def is_core_too_old(info: PluginInfo) -> bool:
    """Whether the plugin needs a newer orchestrator."""
    return older(CORE_VERSION, info.min_core_version)


def is_core_too_new(info: PluginInfo) -> bool:
    """Whether the plugin was made for an older one."""
    return info.max_core_version is not None and older(info.max_core_version, CORE_VERSION)


def _this_core(
    info: PluginInfo, manifest: PluginManifest, policy: SecurityPolicy
) -> Iterator[Refusal]:
    if is_core_too_old(info):
        yield Refusal(
            rule="core_too_old",
            field="plugin.yaml min_core_version",
            found=info.min_core_version,
            expected=f"at most {CORE_VERSION}, the version of this orchestrator",
        )
    if is_core_too_new(info):
        yield Refusal(
            rule="core_too_new",
            field="plugin.yaml max_core_version",
            found=str(info.max_core_version),
            expected=f"at least {CORE_VERSION}, the version of this orchestrator",
        )


def _same_name(
    info: PluginInfo, manifest: PluginManifest, policy: SecurityPolicy
) -> Iterator[Refusal]:
    if manifest.metadata.name != info.plugin_id:
        yield Refusal(
            rule="name_mismatch",
            field="metadata.name",
            found=repr(manifest.metadata.name),
            expected=f"{info.plugin_id!r}, the plugin_id of plugin.yaml",
        )


RULES: tuple[Rule, ...] = (
    _same_name,
    _this_core,
    _nothing_unasked,
    _nothing_required_missing,
    _allowed_by_policy,
    _shares_named_in_policy,
    _databases_named_in_policy,
    _public_unless_allowed,
    _known_secrets,
    _credentials_for_granted_hosts,
    _within_ceilings,
    _runtime_strong_enough,
)
