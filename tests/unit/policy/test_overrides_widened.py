"""widened: an update that asks for more than before says so, in words."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.model.permissions import (
    DatabaseAccess,
    ExternalApi,
    FileSystemRead,
    NetworkAccess,
    Permission,
    SystemInfo,
    UserInterface,
)
from orchestrator.policy.decide import decide
from orchestrator.policy.grant import PermissionRefused
from orchestrator.policy.overrides import widened

A, B = "a.example:443", "b.example:443"


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


def differences(make: Any, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [str(one) for one in widened(make.info(**before), make.info(**after))]


def asks(*permissions: Any) -> dict[str, Any]:
    return {"permissions": permissions}


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (
            asks(),
            asks(SystemInfo()),
            "asks for the permission system_info (before: not asked, now: asked)",
        ),
        (
            asks(ExternalApi(hosts=(A,))),
            asks(ExternalApi(hosts=(A, B))),
            f"asks for {B} in external_api.hosts (before: {A}, now: {A}, {B})",
        ),
        (
            asks(FileSystemRead()),
            asks(FileSystemRead(any_owner=True)),
            "asks for any_owner in file_system_read.any_owner (before: nothing, now: any_owner)",
        ),
        (
            asks(NetworkAccess(allow=("8.8.8.0/24",))),
            asks(NetworkAccess()),
            "asks for anything in network_access.allow (before: 8.8.8.0/24, now: anything)",
        ),
        (
            {"limits": {"max_memory_mb": 100}},
            {"limits": {"max_memory_mb": 200}},
            "asks for a larger max_memory_mb (before: 100, now: 200)",
        ),
        (
            {"secrets": ("one",)},
            {"secrets": ("one", "two")},
            "asks for two in secrets (before: one, now: one, two)",
        ),
        (
            {},
            {"publishes": ("notes.made",)},
            "asks for notes.made in publishes (before: nothing, now: notes.made)",
        ),
        (
            {},
            {"subscribes": ("mail.*",)},
            "asks for mail.* in subscribes (before: nothing, now: mail.*)",
        ),
        (
            {"dependencies": ("mail@^1.0",)},
            {"dependencies": ("mail@^2.0", "search")},
            "asks for search in dependencies (before: mail, now: mail, search)",
        ),
    ],
)
def test_what_an_update_asks_for_more_is_told_in_words_and_less_is_not(
    make: Any, before: dict[str, Any], after: dict[str, Any], text: str
) -> None:
    assert differences(make, before, after) == [text]
    assert differences(make, after, before) == []


def test_narrowing_what_was_open_is_no_widening(make: Any) -> None:
    assert differences(make, asks(NetworkAccess()), asks(NetworkAccess(ports=(80,)))) == []


def test_words_alone_are_no_widening(make: Any) -> None:
    after = {**asks(SystemInfo(reason="other")), "version": "2.0.0", "description": "Other."}

    assert differences(make, asks(SystemInfo(reason="one")), after) == []


@given(before=PERMISSIONS, after=PERMISSIONS)
def test_an_update_that_nothing_is_said_of_gets_nothing_that_was_not_asked_before(
    make: Any, before: tuple[Permission, ...], after: tuple[Permission, ...]
) -> None:
    """The oracle is decide: all of the new wish, granted, would have been within the old one."""
    old, new = make.info(permissions=before), make.info(permissions=after)
    policy = make.policy(
        shares={name: {"path": "/srv", "write": True} for name in ("docs", "nowhere")},
        egress={"allowed_private": ("192.0.2.0/24",)},
    )
    try:
        decide(old, make.manifest(*after), policy, config={})
    except PermissionRefused:
        within = False
    else:
        within = True

    found = widened(old, new)
    if _places(before) == () and _places(after):
        assert found or within  # stricter than decide: a private address is no internet
    else:
        assert (found == ()) == within


def _places(permissions: tuple[Permission, ...]) -> tuple[str, ...] | None:
    return next((it.allow for it in permissions if isinstance(it, NetworkAccess)), None)


@pytest.mark.parametrize(
    "place",
    [
        *("10.0.0.5", "192.168.0.0/16", "0.0.0.0/0", "nonsense"),
        "8.8.8.8",  # were it the host's own, the internet would not include it
    ],
)
def test_an_address_after_the_internet_is_a_widening(make: Any, place: str) -> None:
    found = widened(
        make.info(permissions=(NetworkAccess(),)),
        make.info(permissions=(NetworkAccess(allow=(place,)),)),
    )

    assert [difference.field for difference in found] == ["permissions.network_access.allow"]
    assert place in str(found[0])
