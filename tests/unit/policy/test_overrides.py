"""Overrides: a revoke wins over everything, and a grant stays within bounds."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from orchestrator.model.permissions import (
    DatabaseAccess,
    ExternalApi,
    FileSystemRead,
    FileSystemWrite,
    NetworkAccess,
    PermissionKind,
    SystemInfo,
    UserInterface,
)
from orchestrator.policy.decide import decide
from orchestrator.policy.grant import PermissionRefused
from orchestrator.policy.guard import guard_rules
from orchestrator.policy.overrides import (
    Effective,
    Override,
    OverrideState,
    apply_overrides,
)

TEST_NETWORK = {"allowed_private": ("192.0.2.0/24",)}
A, B = "a.example:443", "b.example:443"
ASKED = (
    ExternalApi(hosts=(A, B), reason="reads feeds"),
    FileSystemRead(shares=("docs", "work", "nowhere"), required=True),
    FileSystemWrite(shares=("docs", "work")),
    NetworkAccess(),
)


def override(kind: str, *, revoke: bool = False, **fields: Any) -> Override:
    plain: dict[str, Any] = {
        "plugin_id": "notes",
        "permission": PermissionKind(kind),
        "state": OverrideState.REVOKED if revoke else OverrideState.GRANTED,
        "who": "operator",
        "when": 1.0,
        "why": "because",
    }
    return Override(**plain | fields)


def grant_of(permission: Any, **fields: Any) -> Override:
    return override(permission.kind, parameters=permission, **fields)


def applied(
    make: Any, granted: tuple[Any, ...], *overrides: Override, policy: dict[str, Any] | None = None
) -> Effective:
    return apply_overrides(
        make.info(permissions=ASKED),
        make.manifest(*granted),
        make.policy(**{"egress": TEST_NETWORK, **(policy or {})}),
        overrides,
    )


def test_without_overrides_the_manifest_holds(make: Any) -> None:
    effective = applied(make, (FileSystemRead(shares=("docs",)), ExternalApi(hosts=(A,))))

    assert effective == Effective(
        permissions=(ExternalApi(hosts=(A,)), FileSystemRead(shares=("docs",)))
    )


def test_a_revoke_takes_away_what_the_manifest_grants(make: Any) -> None:
    brake = override("external_api", revoke=True)
    effective = applied(make, (FileSystemRead(), ExternalApi(hosts=(A,))), brake)

    assert effective.permissions == (FileSystemRead(),)
    assert (effective.revoked, effective.unmet) == ((brake,), ())


@pytest.mark.parametrize("granted_at", [0.0, 1.0, 2.0])
def test_a_revoke_wins_over_a_grant_whichever_came_later(make: Any, granted_at: float) -> None:
    brake = override("external_api", revoke=True)
    grant = grant_of(ExternalApi(hosts=(A,)), when=granted_at)
    effective = applied(make, (), grant, brake)

    assert (effective.permissions, effective.granted) == ((), ())
    assert applied(make, (), brake, grant) == effective


def test_a_revoke_of_what_is_not_granted_still_holds(make: Any) -> None:
    assert applied(make, (), override("system_info", revoke=True)).revoked != ()


def test_a_revoke_of_what_the_plugin_cannot_work_without_is_told(make: Any) -> None:
    brake = override("file_system_read", revoke=True)

    assert applied(make, (FileSystemRead(),), brake).unmet == (PermissionKind.FILE_SYSTEM_READ,)


def test_an_override_of_another_plugin_does_not_matter(make: Any) -> None:
    others = (
        override("external_api", revoke=True, plugin_id="mail"),
        override("network_access", plugin_id="mail"),
    )

    assert applied(make, (ExternalApi(),), *others) == applied(make, (ExternalApi(),))


def test_a_grant_adds_to_the_manifest(make: Any) -> None:
    grant = grant_of(ExternalApi(hosts=(B,)))
    effective = applied(make, (FileSystemRead(), ExternalApi(hosts=(A,))), grant)

    assert effective.permissions == (ExternalApi(hosts=(A, B)), FileSystemRead())
    assert (effective.granted, effective.refusals) == ((grant,), ())


def test_a_grant_without_parameters_is_all_that_the_plugin_asks(make: Any) -> None:
    assert applied(make, (), override("external_api")).permissions == (ExternalApi(hosts=(A, B)),)


@pytest.mark.parametrize(
    ("manifest", "grant", "both"),
    [
        (NetworkAccess(ports=(80,)), NetworkAccess(ports=(443,)), NetworkAccess(ports=(80, 443))),
        (NetworkAccess(ports=(80,)), NetworkAccess(), NetworkAccess()),
        (NetworkAccess(), NetworkAccess(ports=(443,)), NetworkAccess()),
        (NetworkAccess(raw=True), NetworkAccess(), NetworkAccess(raw=True)),
        (
            NetworkAccess(allow=("192.0.2.1",), ports=(1,)),
            NetworkAccess(allow=("192.0.2.2",)),
            NetworkAccess(allow=("192.0.2.1", "192.0.2.2")),
        ),
        # Without `allow` it is the internet, to which these addresses do not belong.
        (
            NetworkAccess(allow=("192.0.2.1",), ports=(1,)),
            NetworkAccess(ports=(2,)),
            NetworkAccess(allow=("internet", "192.0.2.1"), ports=(1, 2)),
        ),
        (
            NetworkAccess(),
            NetworkAccess(allow=("192.0.2.0/24",)),
            NetworkAccess(allow=("internet", "192.0.2.0/24")),
        ),
        (NetworkAccess(allow=("dns",)), NetworkAccess(), NetworkAccess()),
    ],
)
def test_a_grant_takes_nothing_away(make: Any, manifest: Any, grant: Any, both: Any) -> None:
    assert applied(make, (manifest,), grant_of(grant)).permissions == (both,)


@pytest.mark.parametrize(
    ("grant", "policy", "rule", "field"),
    [
        (override("system_info"), {}, "permission_not_asked", "override.system_info"),
        (grant_of(SystemInfo()), {}, "permission_not_asked", "override.system_info"),
        (
            grant_of(NetworkAccess(allow=("10.0.0.1",))),
            {},
            "private_not_allowed",
            "override.network_access.allow",
        ),
        (
            grant_of(ExternalApi(hosts=("evil.example:443",))),
            {},
            "permission_wider_than_asked",
            "override.external_api.hosts",
        ),
        (
            grant_of(NetworkAccess(raw=True)),
            {},
            "permission_wider_than_asked",
            "override.network_access.raw",
        ),
        (
            override("external_api"),
            {"permissions": ["system_info"]},
            "permission_forbidden",
            "override.external_api",
        ),
        (
            grant_of(FileSystemRead(shares=("nowhere",))),
            {},
            "share_unknown",
            "override.file_system_read.shares",
        ),
        (
            grant_of(FileSystemWrite(shares=("docs",))),
            {},
            "share_read_only",
            "override.file_system_write.shares",
        ),
    ],
)
def test_a_grant_beyond_what_is_asked_and_allowed_is_refused_and_adds_nothing(
    make: Any, grant: Override, policy: dict[str, Any], rule: str, field: str
) -> None:
    effective = applied(make, (), grant, policy=policy)
    [refusal] = effective.refusals

    assert (refusal.rule, refusal.field) == (rule, field)
    assert (effective.permissions, effective.granted) == ((), ())


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"parameters": SystemInfo()}, "found parameters of system_info"),
        ({"parameters": ExternalApi(), "revoke": True}, "parameters of a revoke"),
    ],
)
def test_parameters_that_do_not_belong_to_an_override_are_refused(
    fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        override("external_api", **fields)


def test_an_override_can_be_stored_and_read_back() -> None:
    adapter = TypeAdapter(Override)
    for one in (grant_of(ExternalApi(hosts=(A,))), override("external_api", revoke=True)):
        assert adapter.validate_python(adapter.dump_python(one, mode="json"), strict=False) == one


# -- laws ---------------------------------------------------------------------------------------


def subsets(*items: Any) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(st.sampled_from(items), unique=True).map(tuple)


PERMISSION = st.one_of(
    st.builds(ExternalApi, hosts=subsets(A, B)),
    st.builds(FileSystemRead, shares=subsets("docs", "nowhere"), any_owner=st.booleans()),
    st.builds(NetworkAccess, allow=subsets("192.0.2.1", "192.0.2.2"), raw=st.booleans()),
    st.builds(DatabaseAccess, databases=subsets("main", "logs")),
    st.just(UserInterface()),
)
PERMISSIONS = st.lists(PERMISSION, unique_by=lambda p: p.kind).map(tuple)
OVERRIDES = st.lists(
    st.one_of(
        st.builds(grant_of, PERMISSION, when=st.floats(0, 9)),
        st.builds(
            override,
            st.sampled_from([kind.value for kind in PermissionKind]),
            revoke=st.booleans(),
            when=st.floats(0, 9),
        ),
    ),
    max_size=5,
    unique_by=lambda one: one.when,
)


@given(asked=PERMISSIONS, granted=PERMISSIONS, overrides=OVERRIDES, data=st.data())
def test_overrides_never_get_past_decide_and_their_order_does_not_matter(
    make: Any, asked: tuple[Any, ...], granted: tuple[Any, ...], overrides: Any, data: Any
) -> None:
    info, manifest = make.info(permissions=asked), make.manifest(*granted)
    policy = make.policy(egress=TEST_NETWORK)
    effective = apply_overrides(info, manifest, policy, overrides)
    shuffled = data.draw(st.permutations(overrides))
    revoked = {one.permission for one in overrides if one.state == "revoked"}

    assert apply_overrides(info, manifest, policy, shuffled) == effective
    assert not revoked & {permission.kind for permission in effective.permissions}
    try:
        decide(info, manifest, policy, config={})
    except PermissionRefused:
        return
    # What was within bounds without overrides is so with them.
    decide(info, effective.over(manifest), policy, config={})


NETWORKS = st.builds(
    NetworkAccess,
    allow=subsets("192.0.2.1", "192.0.2.0/24", "8.8.8.8", "internet", "dns"),
    ports=subsets(1, 2),
    raw=st.booleans(),
)


@given(granted=NETWORKS, more=NETWORKS)
def test_whom_manifest_or_grant_lets_reach_both_together_let_reach(
    make: Any, granted: NetworkAccess, more: NetworkAccess
) -> None:
    """Told by the rules that the guard holds."""
    wish = NetworkAccess(raw=True)
    effective = apply_overrides(
        make.info(permissions=(wish,)),
        make.manifest(granted),
        make.policy(egress=TEST_NETWORK),
        [grant_of(more)],
    )
    [both] = effective.permissions
    limits = make.info().limits
    together = guard_rules(both, limits)
    apart = [guard_rules(granted, limits), guard_rules(more, limits)]

    for name in ("addresses", "networks"):
        named = {place for rules in apart for place in getattr(rules, name)}
        assert set(getattr(together, name)) == named
    for name in ("internet", "names", "icmp"):
        assert getattr(together, name) == any(getattr(rules, name) for rules in apart)
    anything = not all(rules.ports for rules in apart)
    assert set(together.ports) == (set() if anything else {*apart[0].ports, *apart[1].ports})
