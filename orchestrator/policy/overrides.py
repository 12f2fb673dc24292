"""Overrides: what was granted or revoked by command, laid over the manifest. Pure.

A revoke wins over everything until it is lifted (its record deleted). A grant adds to the
manifest, and is held to the same rules as the manifest's own: at most what the plugin asks and
policy allows. `widened` tells what an update asks for more, so that somebody can decide first.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import IPv4Network
from typing import Self

from orchestrator.model.info import PluginInfo
from orchestrator.model.manifest import PluginManifest
from orchestrator.model.permissions import Permission, PermissionKind
from orchestrator.model.policy import SecurityPolicy
from orchestrator.policy.decide import RULES, parameters
from orchestrator.policy.grant import Refusal
from orchestrator.policy.guard import INTERNET, NAMES, NOT_GLOBAL

_OPEN_WHEN_EMPTY = frozenset({"allow", "ports"})


class OverrideState(StrEnum):
    GRANTED = "granted"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """One decision about one permission of one plugin; the newest of a kind replaces it."""

    plugin_id: str
    permission: PermissionKind
    state: OverrideState
    who: str
    when: float
    """Seconds since the epoch."""
    why: str
    parameters: Permission | None = None
    """What exactly is granted; None is all that the plugin asks. A revoke takes it whole."""

    def __post_init__(self) -> None:
        """Raises ValueError for parameters of another permission, or of a revoke."""
        if self.parameters is None:
            return
        if self.state is OverrideState.REVOKED:
            raise ValueError("found parameters of a revoke, expected none: it takes all")
        if self.parameters.kind != self.permission:
            raise ValueError(
                f"found parameters of {self.parameters.kind}, expected those of {self.permission}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """What holds after the overrides, and how it differs from the manifest (the drift)."""

    permissions: tuple[Permission, ...]
    """Sorted by name."""
    granted: tuple[Override, ...] = ()
    """That took effect."""
    revoked: tuple[Override, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    """Of grants, which then add nothing."""
    void: tuple[Override, ...] = ()
    """Those grants."""
    unmet: tuple[PermissionKind, ...] = ()
    """Revoked, though the plugin cannot work without: it must not run."""

    def over(self, manifest: PluginManifest) -> PluginManifest:
        """The manifest as it holds, for `decide`."""
        changed: dict[str, object] = {"permissions": self.permissions}
        if any(o.permission is PermissionKind.EXTERNAL_API for o in self.revoked):
            changed["inject"] = {}  # without hosts there is nothing to add a credential to
        spec = manifest.spec.model_copy(update=changed)
        return manifest.model_copy(update={"spec": spec})


def apply_overrides(
    info: PluginInfo,
    manifest: PluginManifest,
    policy: SecurityPolicy,
    overrides: Sequence[Override],
) -> Effective:
    """The effective permissions; overrides of other plugins do not matter, nor does their order."""
    mine = sorted((o for o in overrides if o.plugin_id == info.plugin_id), key=lambda o: o.when)
    revoked = {o.permission: o for o in mine if o.state is OverrideState.REVOKED}
    permissions = {PermissionKind(p.kind): p for p in manifest.spec.permissions}
    granted: list[Override] = []
    void: list[Override] = []
    refusals: list[Refusal] = []
    for override in mine:
        if override.permission in revoked:
            continue
        wish = _wish(info, override)
        found = tuple(_refusals(info, manifest, policy, override.permission, wish))
        refusals.extend(found)
        if found:
            void.append(override)
        if wish is not None and not found:
            granted.append(override)
            permissions[override.permission] = _both(permissions.get(override.permission), wish)
    return Effective(
        permissions=tuple(permissions[kind] for kind in sorted(permissions.keys() - revoked)),
        granted=tuple(granted),
        revoked=tuple(revoked[kind] for kind in sorted(revoked)),
        refusals=tuple(refusals),
        void=tuple(void),
        unmet=tuple(
            PermissionKind(p.kind) for p in info.permissions if p.required and p.kind in revoked
        ),
    )


def _wish(info: PluginInfo, override: Override) -> Permission | None:
    """What an override grants; None if the plugin does not ask for it."""
    if override.parameters is not None:
        return _bare(override.parameters)
    return next((_bare(p) for p in info.permissions if p.kind == override.permission), None)


def _bare(permission: Permission) -> Permission:
    """Without what only the plugin says."""
    return permission.model_copy(update={"required": False, "reason": ""})


def _refusals(
    info: PluginInfo,
    manifest: PluginManifest,
    policy: SecurityPolicy,
    kind: PermissionKind,
    wish: Permission | None,
) -> Iterator[Refusal]:
    """What decide's own rules say of this one permission."""
    if wish is None:
        asked = ", ".join(sorted(p.kind for p in info.permissions)) or "no permission"
        yield Refusal(
            rule="permission_not_asked",
            field=f"override.{kind}",
            found="a grant that plugin.yaml does not ask for",
            expected=f"at most {asked}",
        )
        return
    alone = Effective(permissions=(wish,)).over(manifest)
    for rule in RULES:
        for refusal in rule(info, alone, policy):
            # The others speak of the manifest as a whole, which is weighed elsewhere.
            if refusal.field.startswith(f"spec.permissions.{kind}"):
                field = refusal.field.replace("spec.permissions", "override", 1)
                yield replace(refusal, field=field)


def _both(one: Permission | None, other: Permission) -> Permission:
    """Whatever either allows."""
    if one is None:
        return other
    union = {
        name: _either(name, getattr(one, name), getattr(other, name)) for name in parameters(other)
    }
    return other.model_copy(update=union)


def _either(name: str, one: object, other: object) -> object:
    if not (isinstance(one, tuple) and isinstance(other, tuple)):
        return bool(one) or bool(other)
    if (one and other) or name not in _OPEN_WHEN_EMPTY:
        return tuple(dict.fromkeys(one + other))
    if name == "allow" and set(one + other) - {INTERNET, NAMES}:
        # Nothing said is the internet and no more: what is named beside it stays named.
        return tuple(dict.fromkeys((INTERNET, *one, *other)))
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that an update asks for more than before."""

    field: str
    """In plugin.yaml: `permissions.external_api.hosts`, `limits.max_memory_mb`."""
    before: str
    after: str
    text: str
    """In plain words."""

    @classmethod
    def of(cls, field: str, before: str, after: str, what: str) -> Self:
        return cls(
            field=field,
            before=before,
            after=after,
            text=f"asks for {what} (before: {before}, now: {after})",
        )

    def __str__(self) -> str:
        return self.text


def widened(old: PluginInfo, new: PluginInfo) -> tuple[Difference, ...]:
    """What `new` asks for beyond `old`, in a fixed order; asking for less harms nobody."""
    asked = wider(old.permissions, new.permissions)
    return (*asked, *_limits(old, new), *_names(old, new))


def wider(old: Iterable[Permission], new: Iterable[Permission]) -> Iterator[Difference]:
    """What the permissions `new` allow beyond `old`, by name."""
    before = {permission.kind: permission for permission in old}
    for now in sorted(new, key=lambda permission: permission.kind):
        field = f"permissions.{now.kind}"
        if now.kind not in before:
            yield Difference.of(field, "not asked", "asked", f"the permission {now.kind}")
            continue
        was = parameters(before[now.kind])
        for name, values in parameters(now).items():
            if more := _more(name, was[name], values):
                what = f"{more} in {now.kind}.{name}"
                yield Difference.of(
                    f"{field}.{name}", _shown(name, was[name]), _shown(name, values), what
                )


def _more(name: str, before: frozenset[str], after: frozenset[str]) -> str:
    if name == "allow" and not before:
        # Nothing said is the internet, and no private network.
        return ", ".join(sorted(place for place in after if not _on_the_internet(place)))
    if name in _OPEN_WHEN_EMPTY and not before:
        return ""
    if name in _OPEN_WHEN_EMPTY and not after:
        return "anything"
    return ", ".join(sorted(after - before))


def _on_the_internet(place: str) -> bool:
    if place in {INTERNET, NAMES}:
        return True
    try:
        network = IPv4Network(place)
    except ValueError:
        return False
    # A single address may be the host's own, which only naming it opens.
    alone = network.prefixlen == network.max_prefixlen
    return not alone and not any(network.overlaps(IPv4Network(other)) for other in NOT_GLOBAL)


def _shown(name: str, values: frozenset[str]) -> str:
    return ", ".join(sorted(values)) or ("anything" if name in _OPEN_WHEN_EMPTY else "nothing")


def _limits(old: PluginInfo, new: PluginInfo) -> Iterator[Difference]:
    for name, (after, before) in new.limits.exceeding(old.limits).items():
        yield Difference.of(f"limits.{name}", str(before), str(after), f"a larger {name}")


def _names(old: PluginInfo, new: PluginInfo) -> Iterator[Difference]:
    """Lists that widen what a plugin gets, sees or says."""
    for field, before, after in (
        ("secrets", old.secrets, new.secrets),
        ("publishes", old.publishes, new.publishes),
        ("subscribes", old.subscribes, new.subscribes),
        ("dependencies", _ids(old), _ids(new)),
    ):
        was, now = frozenset(before), frozenset(after)
        if more := _more(field, was, now):
            yield Difference.of(field, _shown(field, was), _shown(field, now), f"{more} in {field}")


def _ids(info: PluginInfo) -> tuple[str, ...]:
    """Who may be called; another range of versions is no wider reach."""
    return tuple(text.partition("@")[0] for text in info.dependencies)
