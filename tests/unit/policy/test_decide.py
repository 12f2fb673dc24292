"""decide: one exact row for each rule, and laws held by an oracle in the test's own words."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import Kind
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
from orchestrator.policy.decide import RULES, decide
from orchestrator.policy.grant import Grant, PermissionRefused, Withheld

READ_DOCS = FileSystemRead(shares=("docs",))


def subsets(*names: Any) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(st.sampled_from(names), unique=True).map(tuple)


SHARES = subsets("docs", "media", "nowhere")
EACH: dict[str, st.SearchStrategy[Any]] = {
    "file_system_read": st.builds(FileSystemRead, shares=SHARES, any_owner=st.booleans()),
    "file_system_write": st.builds(FileSystemWrite, shares=SHARES),
    "network_access": st.builds(
        NetworkAccess,
        allow=subsets("192.0.2.1", "192.0.2.2"),
        ports=subsets(80, 443),
        raw=st.booleans(),
        low_ports=st.booleans(),
    ),
    "database_access": st.builds(DatabaseAccess, databases=subsets("main", "logs")),
    "system_info": st.just(SystemInfo()),
    "plugin_communication": st.builds(PluginCommunication, plugins=subsets("search", "mail")),
    "external_api": st.builds(ExternalApi, hosts=subsets("a.example:443", "*.b.example:443")),
    "user_interface": st.just(UserInterface()),
}
PERMISSIONS = st.fixed_dictionaries({}, optional=EACH).map(lambda chosen: tuple(chosen.values()))


def refusals(info: Any, manifest: Any, policy: Any) -> list[str]:
    with pytest.raises(PermissionRefused) as caught:
        decide(info, manifest, policy, config={})
    assert caught.value.plugin_id == info.plugin_id
    return [str(refusal) for refusal in caught.value.refusals]


def attempt(info: Any, manifest: Any, policy: Any) -> Grant | None:
    try:
        return decide(info, manifest, policy, config={})
    except PermissionRefused:
        return None


def test_a_plugin_gets_what_is_both_asked_and_granted(make: Any) -> None:
    info = make.info(permissions=(READ_DOCS, SystemInfo(required=True, reason="to see")))
    grant = decide(info, make.manifest(SystemInfo()), make.policy(), config={"a": 1})

    assert grant.permissions == (SystemInfo(),)
    assert grant.info is info
    assert grant.config == {"a": 1}


def test_what_is_asked_and_not_granted_is_withheld_with_the_plugins_reason(make: Any) -> None:
    info = make.info(permissions=(FileSystemRead(reason="finds notes"), SystemInfo()))
    grant = decide(info, make.manifest(), make.policy(), config={})

    assert grant.permissions == ()
    assert grant.withheld == (
        Withheld(permission=PermissionKind.FILE_SYSTEM_READ, reason="finds notes"),
        Withheld(permission=PermissionKind.SYSTEM_INFO, reason=""),
    )


def test_granted_permissions_come_in_one_order_whatever_the_manifest_has(make: Any) -> None:
    asked = (SystemInfo(), UserInterface(), READ_DOCS)
    info = make.info(permissions=asked)
    grants = [
        decide(info, make.manifest(*order), make.policy(), config={}).permissions
        for order in (asked, asked[::-1])
    ]

    assert grants == [(READ_DOCS, SystemInfo(), UserInterface())] * 2


def test_the_operators_limits_come_before_the_plugins_wish(make: Any) -> None:
    info = make.info(limits={"max_memory_mb": 200, "max_cpu_percent": 50})
    manifest = make.manifest(limits={"max_memory_mb": 64, "max_disk_mb": 80})
    limits = decide(info, manifest, make.policy(), config={}).limits

    assert (limits.max_memory_mb, limits.max_cpu_percent, limits.max_disk_mb) == (64, 50, 80)


def test_granted_secrets_are_those_of_the_manifest_sorted(make: Any) -> None:
    info = make.info(secrets=("token", "key", "unused"))
    manifest = make.manifest(secrets={"token": {"file": "t"}, "key": {"file": "k"}})

    assert decide(info, manifest, make.policy(), config={}).secrets == ("key", "token")


ROWS: list[tuple[dict[str, Any], tuple[Any, ...], dict[str, Any], dict[str, Any], str]] = [
    (
        {"plugin_id": "other"},
        (),
        {},
        {},
        "metadata.name: found 'notes', expected 'other', the plugin_id of plugin.yaml "
        "[name_mismatch]",
    ),
    (
        {"min_core_version": "99.0.0"},
        (),
        {},
        {},
        "plugin.yaml min_core_version: found 99.0.0, expected at most 0.1.0, "
        "the version of this orchestrator [core_too_old]",
    ),
    (
        {"max_core_version": "0.0.9"},
        (),
        {},
        {},
        "plugin.yaml max_core_version: found 0.0.9, expected at least 0.1.0, "
        "the version of this orchestrator [core_too_new]",
    ),
    (
        {},
        (SystemInfo(),),
        {},
        {},
        "spec.permissions.system_info: found a grant that plugin.yaml does not ask for, "
        "expected at most no permission [permission_not_asked]",
    ),
    (
        {"permissions": (UserInterface(), SystemInfo())},
        (FileSystemWrite(),),
        {},
        {},
        "spec.permissions.file_system_write: found a grant that plugin.yaml does not ask for, "
        "expected at most system_info, user_interface [permission_not_asked]",
    ),
    (
        {"permissions": (READ_DOCS,)},
        (FileSystemRead(shares=("work", "docs", "media")),),
        {},
        {},
        "spec.permissions.file_system_read.shares: found media, work, expected at most docs "
        "[permission_wider_than_asked]",
    ),
    (
        {"permissions": (READ_DOCS,)},
        (FileSystemRead(any_owner=True),),
        {},
        {},
        "spec.permissions.file_system_read.any_owner: found any_owner, expected at most nothing "
        "[permission_wider_than_asked]",
    ),
    (
        {"permissions": (NetworkAccess(ports=(443,)),)},
        (NetworkAccess(ports=(443, 80)),),
        {},
        {},
        "spec.permissions.network_access.ports: found 80, expected at most 443 "
        "[permission_wider_than_asked]",
    ),
    (
        # No port named means all ports: leaving the list out grants more, not less.
        {"permissions": (NetworkAccess(ports=(443,)),)},
        (NetworkAccess(),),
        {},
        {},
        "spec.permissions.network_access.ports: found anything, expected at most 443 "
        "[permission_wider_than_asked]",
    ),
    (
        {"permissions": (NetworkAccess(allow=("192.0.2.7",)),)},
        (NetworkAccess(),),
        {},
        {},
        "spec.permissions.network_access.allow: found anything, expected at most 192.0.2.7 "
        "[permission_wider_than_asked]",
    ),
    (
        {"permissions": (SystemInfo(required=True, reason="to see"),)},
        (),
        {},
        {},
        "spec.permissions: found no system_info, expected system_info, "
        "which notes cannot work without (to see) [required_permission_missing]",
    ),
    (
        {"permissions": (SystemInfo(),)},
        (SystemInfo(),),
        {},
        {"permissions": ["file_system_write", "file_system_read"]},
        "spec.permissions.system_info: found a permission that policy.permissions leaves out, "
        "expected one of file_system_read, file_system_write [permission_forbidden]",
    ),
    (
        {"permissions": (SystemInfo(),)},
        (SystemInfo(),),
        {},
        {"permissions": []},
        "spec.permissions.system_info: found a permission that policy.permissions leaves out, "
        "expected one of none [permission_forbidden]",
    ),
    (
        {"permissions": (FileSystemRead(shares=("nowhere",)),)},
        (FileSystemRead(shares=("nowhere",)),),
        {},
        {},
        "spec.permissions.file_system_read.shares: found 'nowhere', "
        "expected a share of policy.shares: docs, media, work [share_unknown]",
    ),
    (
        {"permissions": (FileSystemWrite(shares=("nowhere",)),)},
        (FileSystemWrite(shares=("nowhere",)),),
        {},
        {"shares": {}},
        "spec.permissions.file_system_write.shares: found 'nowhere', "
        "expected no share, as policy.shares is empty [share_unknown]",
    ),
    (
        {"permissions": (FileSystemWrite(shares=("docs",)),)},
        (FileSystemWrite(shares=("docs",)),),
        {},
        {},
        "spec.permissions.file_system_write.shares: found 'docs', "
        "expected a share with policy.shares.docs.write: true [share_read_only]",
    ),
    (
        {"secrets": ("key",)},
        (),
        {"secrets": {"token": {"file": "t"}}},
        {},
        "spec.secrets.token: found a secret that plugin.yaml does not declare, "
        "expected one of key [secret_not_asked]",
    ),
    (
        {},
        (),
        {"secrets": {"token": {"file": "t"}}},
        {},
        "spec.secrets.token: found a secret that plugin.yaml does not declare, "
        "expected one of none [secret_not_asked]",
    ),
    (
        {},
        (),
        {"limits": {"max_memory_mb": 2049}},
        {},
        "spec.limits.max_memory_mb: found 2049, expected at most 2048 "
        "(policy.ceilings.max_memory_mb) [limit_above_policy]",
    ),
    (
        {"limits": {"max_cpu_percent": 201}},
        (),
        {},
        {},
        "plugin.yaml limits.max_cpu_percent: found 201, expected at most 200 "
        "(policy.ceilings.max_cpu_percent) [limit_above_policy]",
    ),
]


@pytest.mark.parametrize(
    ("info", "granted", "spec", "policy", "refusal"), ROWS, ids=[row[-1][-60:] for row in ROWS]
)
def test_a_rule_says_where_it_says_no_with_what_it_found_and_expected(
    make: Any,
    info: dict[str, Any],
    granted: tuple[Any, ...],
    spec: dict[str, Any],
    policy: dict[str, Any],
    refusal: str,
) -> None:
    found = refusals(make.info(**info), make.manifest(*granted, **spec), make.policy(**policy))

    assert found == [refusal]


def test_every_rule_has_a_row() -> None:
    named = {refusal.rpartition("[")[2].rstrip("]") for *_, refusal in ROWS}

    assert len(RULES) == 8
    assert named == {
        "name_mismatch",
        "core_too_old",
        "core_too_new",
        "permission_not_asked",
        "permission_wider_than_asked",
        "required_permission_missing",
        "permission_forbidden",
        "share_unknown",
        "share_read_only",
        "secret_not_asked",
        "limit_above_policy",
    }


def test_all_refusals_of_all_rules_come_at_once(make: Any) -> None:
    info = make.info(
        plugin_id="other",
        min_core_version="2.0.0",
        permissions=(UserInterface(required=True), FileSystemRead(shares=("docs",))),
    )
    manifest = make.manifest(
        SystemInfo(),
        FileSystemRead(shares=("nowhere",)),
        limits={"max_memory_mb": 9_000, "max_disk_mb": 9_000},
        secrets={"b": {"file": "b"}, "a": {"file": "a"}},
    )
    with pytest.raises(PermissionRefused) as caught:
        decide(info, manifest, make.policy(permissions=["file_system_read"]), config={})

    error = caught.value
    assert [refusal.rule for refusal in error.refusals] == [
        "name_mismatch",
        "core_too_old",
        "permission_not_asked",
        "permission_wider_than_asked",
        "required_permission_missing",
        "permission_forbidden",
        "share_unknown",
        "secret_not_asked",
        "secret_not_asked",
        "limit_above_policy",
        "limit_above_policy",
    ]
    assert str(error).splitlines()[0] == "other: refused by policy:"
    assert str(error).splitlines()[1:] == [f"  {refusal}" for refusal in error.refusals]
    assert (error.kind, error.code) == (Kind.DENIED, "permission_refused")


def test_what_is_just_at_its_bound_is_granted(make: Any) -> None:
    info = make.info(
        min_core_version="0.1.0", max_core_version="0.1.0", limits={"max_memory_mb": 2_048}
    )
    manifest = make.manifest(limits={"max_cpu_percent": 200})

    assert attempt(info, manifest, make.policy()) is not None


def test_a_limit_lowered_to_the_ceiling_makes_a_greedy_plugin_acceptable(make: Any) -> None:
    info = make.info(limits={"max_memory_mb": 4_096})
    manifest = make.manifest(limits={"max_memory_mb": 2_048})
    grant = decide(info, manifest, make.policy(), config={})

    assert grant.limits.max_memory_mb == 2_048


def test_naming_ports_of_a_network_that_was_asked_for_whole_is_granted(make: Any) -> None:
    narrower = NetworkAccess(ports=(443,), allow=("192.0.2.7",))
    grant = decide(
        make.info(permissions=(NetworkAccess(),)),
        make.manifest(narrower),
        make.policy(),
        config={},
    )

    assert grant.permissions == (narrower,)


# -- laws ---------------------------------------------------------------------------------------


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


def shares_exist(permission: Any) -> bool:
    if isinstance(permission, FileSystemRead):
        return "nowhere" not in permission.shares
    if isinstance(permission, FileSystemWrite):
        return set(permission.shares) <= {"media"}
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
        and shares_exist(permission)
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
