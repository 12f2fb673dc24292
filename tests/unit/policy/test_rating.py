"""rate: one row for each rule, and the law that more never makes a rating better."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.model.limits import ResourceLimits
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
from orchestrator.model.policy import SecurityPolicy
from orchestrator.policy.grant import Grant, Injected
from orchestrator.policy.rating import (
    RULES,
    ImageOrigin,
    Rating,
    Runtime,
    Surroundings,
    rate,
)

SAFE = Surroundings(
    image=ImageOrigin.BUILT_HERE,
    runtime=Runtime.RUNC,
    disk_enforced_by="loop ext4",
    limits_enforced=True,
)
KEY = Injected(host="a.example:443", header="Authorization", prefix="", file="key")
NARROW = {"allow": ("192.0.2.7",), "ports": (443,)}


def rated(
    make: Any,
    *permissions: Any,
    policy: SecurityPolicy | None = None,
    secrets: tuple[str, ...] = (),
    injected: tuple[Injected, ...] = (),
    limits: ResourceLimits | None = None,
    **surroundings: Any,
) -> Rating:
    grant = Grant(
        info=make.info(),
        permissions=permissions,
        withheld=(),
        limits=limits or ResourceLimits(),
        config={},
        secrets=secrets,
        injected=injected,
    )
    plain = {name: getattr(SAFE, name) for name in Surroundings.__slots__}
    return rate(grant, policy or SecurityPolicy(), Surroundings(**plain | surroundings))


def names(rating: Rating) -> set[str]:
    return {reason.rule for reason in rating.reasons}


ROWS: list[tuple[tuple[Any, ...], int, set[str]]] = [
    ((), 8, set()),
    ((FileSystemRead(),), 8, set()),
    ((FileSystemRead(shares=("docs",)),), 7, {"reads_shares"}),
    (
        (FileSystemRead(shares=("docs",), any_owner=True),),
        5,
        {"reads_shares", "reads_any_owner"},
    ),
    ((FileSystemWrite(),), 7, {"own_volume"}),
    (
        (FileSystemWrite(shares=("work",)),),
        4,
        {"own_volume", "reads_shares", "writes_shares"},
    ),
    ((NetworkAccess(**NARROW),), 6, {"network"}),
    ((NetworkAccess(allow=("192.0.2.7",)),), 5, {"network", "any_port"}),
    ((NetworkAccess(ports=(443,)),), 4, {"network", "network_to_everything"}),
    (
        (NetworkAccess(allow=("0.0.0.0/1",), ports=(1,)),),
        4,
        {"network", "network_to_everything"},
    ),
    ((NetworkAccess(allow=("::/3",), ports=(1,)),), 4, {"network", "network_to_everything"}),
    ((NetworkAccess(allow=("10.1.0.0/16", "2001:db8::/48"), ports=(1,)),), 6, {"network"}),
    ((NetworkAccess(**NARROW, raw=True),), 4, {"network", "raw_sockets"}),
    ((NetworkAccess(**NARROW, low_ports=True),), 5, {"network", "low_ports"}),
    (
        (NetworkAccess(raw=True, low_ports=True),),
        1,
        {"network", "network_to_everything", "any_port", "raw_sockets", "low_ports"},
    ),
    ((ExternalApi(hosts=("a.example:443",)),), 7, {"external_api"}),
    ((ExternalApi(hosts=("*.example:443",)),), 6, {"external_api", "wildcard_hosts"}),
    ((DatabaseAccess(databases=("main",)),), 6, {"database"}),
    ((SystemInfo(),), 6, {"system_info"}),
    ((PluginCommunication(),), 7, {"plugin_communication"}),
    ((UserInterface(),), 7, {"user_interface"}),
    (
        (DatabaseAccess(databases=("main",)), ExternalApi(hosts=("a.example:443",))),
        4,
        {"database", "external_api", "could_leak"},
    ),
    (
        (FileSystemRead(shares=("docs",)), UserInterface()),
        5,
        {"reads_shares", "user_interface", "could_leak"},
    ),
    ((FileSystemWrite(), UserInterface()), 6, {"own_volume", "user_interface"}),
]


@pytest.mark.parametrize(("permissions", "score", "rules"), ROWS, ids=[str(row[0]) for row in ROWS])
def test_permissions_lower_the_rating_each_with_its_reason(
    make: Any, permissions: tuple[Any, ...], score: int, rules: set[str]
) -> None:
    rating = rated(make, *permissions)

    assert (rating.score, names(rating)) == (score, rules)


AROUND: list[tuple[dict[str, Any], int, set[str]]] = [
    ({"image": ImageOrigin.PINNED}, 7, {"image_from_elsewhere"}),
    ({"image": ImageOrigin.UNPINNED}, 6, {"image_from_elsewhere", "image_not_pinned"}),
    ({"limits_enforced": False}, 5, {"limits_not_held"}),
    ({"disk_enforced_by": ""}, 8, set()),
    ({"runtime": Runtime.RUNSC}, 8, {"gvisor"}),
    ({"runtime": Runtime.RUNSC, "limits_enforced": False}, 6, {"gvisor", "limits_not_held"}),
    ({"secrets": ("key",)}, 7, {"secrets"}),
    ({"injected": (KEY,)}, 7, {"credentials"}),
    ({"limits": ResourceLimits(max_memory_mb=1_024, max_cpu_percent=100)}, 8, set()),
    ({"limits": ResourceLimits(max_execution_time_sec=300)}, 8, set()),
    ({"limits": ResourceLimits(max_memory_mb=1_025)}, 7, {"raised_limits"}),
    ({"limits": ResourceLimits(max_cpu_percent=101)}, 7, {"raised_limits"}),
    ({"limits": ResourceLimits(max_execution_time_sec=301)}, 7, {"raised_limits"}),
    (
        {"policy": SecurityPolicy.model_validate({"container": {"pids_limit": 1_025}})},
        7,
        {"raised_limits"},
    ),
    (
        {"policy": SecurityPolicy.model_validate({"build": {"network": True}})},
        7,
        {"build_with_network"},
    ),
]


@pytest.mark.parametrize(("around", "score", "rules"), AROUND, ids=[str(r[0]) for r in AROUND])
def test_what_is_around_a_plugin_counts_too(
    make: Any, around: dict[str, Any], score: int, rules: set[str]
) -> None:
    rating = rated(make, **around)

    assert (rating.score, names(rating)) == (score, rules)


def test_a_volume_whose_size_nothing_holds_costs_more(make: Any) -> None:
    rating = rated(make, FileSystemWrite(), disk_enforced_by="")

    assert (rating.score, names(rating)) == (5, {"own_volume", "disk_not_held"})


def test_a_secret_with_a_way_out_could_leak(make: Any) -> None:
    assert "could_leak" in names(rated(make, PluginCommunication(), secrets=("key",)))


def test_every_rule_has_a_row_and_a_name_of_its_own() -> None:
    shown = {rule for _, _, rules in ROWS + AROUND for rule in rules} | {"disk_not_held"}

    assert shown == {rule.name for rule in RULES}
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_a_reason_is_told_with_its_points(make: Any) -> None:
    rating = rated(make, SystemInfo(), runtime=Runtime.RUNSC)

    assert [str(reason) for reason in rating.reasons] == [
        "-2  sees the host's load, memory, processors, disk and network counters [system_info]",
        "+1  runs on gVisor, which stands between it and the host's kernel [gvisor]",
    ]


# -- laws ---------------------------------------------------------------------------------------


def subsets(*items: Any) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(st.sampled_from(items), unique=True).map(tuple)


SHARES = subsets("docs", "media")
EACH: dict[str, st.SearchStrategy[Any]] = {
    "file_system_read": st.builds(FileSystemRead, shares=SHARES, any_owner=st.booleans()),
    "file_system_write": st.builds(FileSystemWrite, shares=SHARES),
    "network_access": st.builds(
        NetworkAccess,
        allow=subsets("192.0.2.1", "10.0.0.0/8", "2001:db8::1", "a.example"),
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
PERMISSIONS = st.fixed_dictionaries({}, optional=EACH)
LIMITS = st.builds(
    ResourceLimits,
    max_memory_mb=st.integers(8, 4_096),
    max_cpu_percent=st.integers(1, 400),
    max_execution_time_sec=st.integers(1, 900),
)
AROUNDS = st.fixed_dictionaries(
    {
        "image": st.sampled_from(ImageOrigin),
        "runtime": st.sampled_from(Runtime),
        "disk_enforced_by": st.sampled_from(["", "loop ext4"]),
        "limits_enforced": st.booleans(),
        "secrets": subsets("key", "token"),
    }
)


def wider(one: Any, other: Any) -> Any:
    """What either permission allows, in the test's own words."""
    if one is None or other is None:
        return one or other
    union: dict[str, Any] = {}
    for name in type(one).model_fields:
        left, right = getattr(one, name), getattr(other, name)
        if isinstance(left, bool):
            union[name] = left or right
        elif isinstance(left, tuple):
            # Without names the network is open to everything.
            everything = name in {"allow", "ports"} and (not left or not right)
            union[name] = () if everything else tuple(dict.fromkeys(left + right))
    return type(one)(**union)


def test_the_laws_know_every_permission() -> None:
    assert set(EACH) == set(PermissionKind)


@given(few=PERMISSIONS, more=PERMISSIONS, limits=LIMITS, around=AROUNDS)
def test_one_permission_more_or_wider_never_raises_a_rating(
    make: Any, few: dict[str, Any], more: dict[str, Any], limits: Any, around: dict[str, Any]
) -> None:
    many = {kind: wider(few.get(kind), more.get(kind)) for kind in {**few, **more}}
    before = rated(make, *few.values(), limits=limits, **around)
    after = rated(make, *many.values(), limits=limits, **around)

    assert 1 <= after.score <= before.score <= 8
    assert names(before) <= names(after)


@given(permissions=PERMISSIONS, less=LIMITS, more=LIMITS, around=AROUNDS)
def test_a_higher_limit_never_raises_a_rating(
    make: Any, permissions: dict[str, Any], less: Any, more: Any, around: dict[str, Any]
) -> None:
    most = ResourceLimits(
        **{name: max(value, getattr(more, name)) for name, value in less.model_dump().items()}
    )
    before = rated(make, *permissions.values(), limits=less, **around)

    assert rated(make, *permissions.values(), limits=most, **around).score <= before.score


@given(permissions=PERMISSIONS, around=AROUNDS, data=st.data())
def test_the_order_of_permissions_does_not_matter(
    make: Any, permissions: dict[str, Any], around: dict[str, Any], data: Any
) -> None:
    shuffled = data.draw(st.permutations(list(permissions.values())))

    assert rated(make, *shuffled, **around) == rated(make, *permissions.values(), **around)


@given(permissions=PERMISSIONS, around=AROUNDS)
def test_gvisor_never_lowers_a_rating(
    make: Any, permissions: dict[str, Any], around: dict[str, Any]
) -> None:
    scores = [
        rated(make, *permissions.values(), **around | {"runtime": runtime}).score
        for runtime in (Runtime.RUNC, Runtime.RUNSC)
    ]

    assert scores[0] <= scores[1]
