"""decide held to laws by an oracle in the test's own words."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.model.permissions import (
    DatabaseAccess,
    ExternalApi,
    FileSystemRead,
    FileSystemWrite,
    NetworkAccess,
    PermissionKind,
    PluginCommunication,
    SystemInfo,
    UserInterface,
)
from orchestrator.policy.decide import decide
from orchestrator.policy.grant import Grant, PermissionRefused


def subsets(*names: Any) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(st.sampled_from(names), unique=True).map(tuple)


SHARES = subsets("docs", "media", "nowhere")
EACH: dict[str, st.SearchStrategy[Any]] = {
    "file_system_read": st.builds(FileSystemRead, shares=SHARES, any_owner=st.booleans()),
    "file_system_write": st.builds(FileSystemWrite, shares=SHARES),
    "network_access": st.builds(
        NetworkAccess,
        allow=subsets("192.175.48.1", "192.175.48.2"),
        ports=subsets(80, 443),
        raw=st.booleans(),
        low_ports=st.booleans(),
    ),
    "database_access": st.builds(DatabaseAccess, databases=subsets("main", "nowhere")),
    "system_info": st.just(SystemInfo()),
    "plugin_communication": st.builds(PluginCommunication, plugins=subsets("search", "mail")),
    "external_api": st.builds(ExternalApi, hosts=subsets("a.example:443", "*.b.example:443")),
    "user_interface": st.just(UserInterface()),
}
PERMISSIONS = st.fixed_dictionaries({}, optional=EACH).map(lambda chosen: tuple(chosen.values()))


def attempt(info: Any, manifest: Any, policy: Any) -> Grant | None:
    try:
        return decide(info, manifest, policy, config={})
    except PermissionRefused:
        return None


def within(granted: Any, asked: Any) -> bool:
    """Whether `granted` lets a plugin do nothing that `asked` did not wish for."""
    if type(granted) is not type(asked):
        return False
    for name in type(granted).model_fields:
        mine, wish = getattr(granted, name), getattr(asked, name)
        if name in {"kind", "required", "reason"}:
            continue
        if isinstance(mine, bool):
            fits = wish or not mine
        elif name in {"allow", "ports"}:
            # An empty list does not bound the network at all.
            fits = not wish or (bool(mine) and all(item in wish for item in mine))
        else:
            fits = all(item in wish for item in mine)
        if not fits:
            return False
    return True


def known_to_policy(permission: Any) -> bool:
    if isinstance(permission, FileSystemRead):
        return "nowhere" not in permission.shares
    if isinstance(permission, FileSystemWrite):
        return set(permission.shares) <= {"media"}
    if isinstance(permission, DatabaseAccess):
        return "nowhere" not in permission.databases
    return True


def wider(one: tuple[Any, ...], other: tuple[Any, ...]) -> tuple[Any, ...]:
    """All that either asks for."""
    asked = {permission.kind: permission for permission in one}
    for permission in other:
        mine = asked.get(permission.kind)
        if mine is None:
            asked[permission.kind] = permission
            continue
        union: dict[str, Any] = {}
        for name in type(permission).model_fields:
            left, right = getattr(mine, name), getattr(permission, name)
            if isinstance(left, bool):
                union[name] = left or right
            elif isinstance(left, tuple):
                unbounded = name in {"allow", "ports"} and not (left and right)
                union[name] = () if unbounded else tuple(dict.fromkeys(left + right))
        asked[permission.kind] = type(permission)(**union)
    return tuple(asked.values())


@given(asked=PERMISSIONS, granted=PERMISSIONS, allowed=st.sets(st.sampled_from(PermissionKind)))
def test_nothing_is_granted_that_is_not_asked_granted_and_allowed(
    make: Any, asked: tuple[Any, ...], granted: tuple[Any, ...], allowed: set[PermissionKind]
) -> None:
    grant = attempt(
        make.info(permissions=asked),
        make.manifest(*granted),
        make.policy(permissions=sorted(allowed)),
    )
    fits = all(
        any(within(permission, wish) for wish in asked)
        and permission.kind in allowed
        and known_to_policy(permission)
        for permission in granted
    )

    assert (grant is not None) == fits
    if grant is not None:
        assert sorted(grant.permissions, key=str) == sorted(granted, key=str)


@given(asked=PERMISSIONS, granted=PERMISSIONS)
def test_what_is_granted_and_what_is_withheld_make_up_what_was_asked(
    make: Any, asked: tuple[Any, ...], granted: tuple[Any, ...]
) -> None:
    grant = attempt(make.info(permissions=asked), make.manifest(*granted), make.policy())
    if grant is None:
        return
    got = [permission.kind for permission in grant.permissions]
    held = [str(held.permission) for held in grant.withheld]

    assert sorted(got + held) == sorted(permission.kind for permission in asked)


@given(asked=PERMISSIONS, more=PERMISSIONS, data=st.data())
def test_asking_for_more_never_gets_more(
    make: Any, asked: tuple[Any, ...], more: tuple[Any, ...], data: st.DataObject
) -> None:
    granted = data.draw(st.lists(st.sampled_from(asked), unique=True) if asked else st.just([]))
    before = attempt(make.info(permissions=asked), make.manifest(*granted), make.policy())
    after = attempt(
        make.info(permissions=wider(asked, more)), make.manifest(*granted), make.policy()
    )

    if before is not None:
        assert after is not None
        assert after.permissions == before.permissions


@given(wish=st.integers(8, 4_096), override=st.none() | st.integers(8, 4_096))
def test_no_limit_is_granted_above_its_ceiling(make: Any, wish: int, override: int | None) -> None:
    manifest = make.manifest(limits={} if override is None else {"max_memory_mb": override})
    grant = attempt(make.info(limits={"max_memory_mb": wish}), manifest, make.policy())
    wanted = wish if override is None else override

    assert (grant.limits.max_memory_mb if grant else None) == (wanted if wanted <= 2_048 else None)
