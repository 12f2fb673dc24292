"""manifest_widening: what one manifest gives beyond another, in words for people who review it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.model.manifest import PluginManifest
from orchestrator.policy.widening import manifest_widening


def manifest(**spec: Any) -> PluginManifest:
    return PluginManifest.model_validate(
        {
            "apiVersion": "orchestrator/v1",
            "kind": "Plugin",
            "metadata": {"name": "echo"},
            "spec": {"source": {"image": "echo:1"}, **spec},
        },
        strict=False,
    )


def told(before: dict[str, Any] | None, after: dict[str, Any]) -> list[str]:
    old = manifest(**before) if before is not None else None
    return [str(one) for one in manifest_widening(old, manifest(**after))]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (
            {},
            {"permissions": [{"external_api": {"hosts": ["a.example:443"]}}]},
            (
                "is granted the permission external_api, hosts a.example:443 "
                "(before: not granted, now: granted)"
            ),
        ),
        (
            {"permissions": [{"external_api": {"hosts": ["a.example:443"]}}]},
            {"permissions": [{"external_api": {"hosts": ["b.example:443", "a.example:443"]}}]},
            (
                "is granted b.example:443 in external_api.hosts "
                "(before: a.example:443, now: a.example:443, b.example:443)"
            ),
        ),
        (
            {"permissions": [{"network_access": {"ports": [443]}}]},
            {"permissions": ["network_access"]},
            "is granted anything in network_access.ports (before: 443, now: anything)",
        ),
        (
            {"limits": {"max_memory_mb": 64}},
            {"limits": {"max_memory_mb": 65}},
            "asks for a larger max_memory_mb (before: 64, now: 65)",
        ),
        (
            {},
            {"limits": {"max_memory_mb": 64}},
            "asks for a max_memory_mb of its manifest's (before: the plugin's own, now: 64)",
        ),
        (
            {},
            {"secrets": {"token": {"file": "t"}}},
            "is given token in secrets (before: nothing, now: token)",
        ),
        (
            {},
            {"inject": {"a.example:443": {"file": "t"}}},
            "is given a.example:443 in inject (before: nothing, now: a.example:443)",
        ),
        (
            {"runtime": "runsc"},
            {},
            "asks for less than gVisor (before: runsc, now: the policy's)",
        ),
    ],
)
def test_what_is_more_is_told(before: Any, after: Any, expected: str) -> None:
    assert told(before, after) == [expected]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"permissions": ["system_info"]}, {}),
        ({"limits": {"max_memory_mb": 64}}, {"limits": {"max_memory_mb": 63}}),
        ({"limits": {"max_memory_mb": 64}}, {}),
        ({"runtime": "runc"}, {"runtime": "runsc"}),
        ({"secrets": {"token": {"file": "t"}}}, {"secrets": {"token": {"file": "u"}}}),
        ({}, {"config": {"a": 1}}),
    ],
)
def test_what_is_less_or_another_thing_is_not(before: Any, after: Any) -> None:
    assert told(before, after) == []


def test_of_a_new_plugin_all_that_it_is_given_is_told() -> None:
    after = {"permissions": ["system_info"], "secrets": {"token": {"file": "t"}}}

    assert [text.partition(" (")[0] for text in told(None, after)] == [
        "is granted the permission system_info",
        "is given token in secrets",
    ]


HOSTS = st.lists(st.sampled_from(["a.example:443", "b.example:443"]), unique=True)


@given(HOSTS, HOSTS)
def test_it_is_silent_exactly_where_nothing_was_added(before: list[str], after: list[str]) -> None:
    def hosts(names: list[str]) -> dict[str, Any]:
        return {"permissions": [{"external_api": {"hosts": names}}]}

    assert bool(told(hosts(before), hosts(after))) == bool(set(after) - set(before))
