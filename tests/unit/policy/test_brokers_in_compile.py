"""Permissions that a broker holds: the container stays as it is, but for how to find the broker."""

import json
from typing import Any

import pytest

from orchestrator.model.permissions import DatabaseAccess, ExternalApi, PluginCommunication
from orchestrator.policy.compile import Compiled, compile_spec


def compiled(make: Any, *permissions: Any) -> Compiled:
    deployment = make.deployment(*permissions)
    return compile_spec(deployment.grant, make.policy(), make.site(), image="sha256:1")


def test_external_api_adds_the_forwarders_address_and_nothing_else(make: Any) -> None:
    plain, granted = compiled(make).spec, compiled(make, ExternalApi()).spec
    added = dict(set(granted.environment) - set(plain.environment))

    assert {
        name: value for name, value in added.items() if "PROXY" in name.upper()
    } == dict.fromkeys(
        ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:3128"
    )
    assert granted.network_mode == "none"
    assert [m.target for m in granted.bind_mounts] == [m.target for m in plain.bind_mounts]


@pytest.mark.parametrize(
    ("permissions", "networked"),
    [
        ((), False),
        ((PluginCommunication(),), False),
        ((ExternalApi(),), True),
        ((ExternalApi(), PluginCommunication()), True),
    ],
)
def test_sockets_of_networks_come_with_a_permission_that_leads_to_one(
    make: Any, permissions: tuple[Any, ...], *, networked: bool
) -> None:
    profile = json.loads(compiled(make, *permissions).spec.seccomp_profile)
    families = {
        rule["args"][0]["valueTwo"]
        for rule in profile.get("syscalls", [])
        if rule["names"] == ["socket"]
    }

    assert families == ({2, 10} if networked else set())


@pytest.mark.parametrize(
    "permission", [PluginCommunication(), DatabaseAccess(databases=("main",))], ids=lambda p: p.kind
)
def test_a_socket_more_adds_nothing_to_the_container(make: Any, permission: Any) -> None:
    plain, granted = compiled(make).spec, compiled(make, permission).spec

    assert [name for name, _ in granted.environment] == [name for name, _ in plain.environment]
    assert granted.network_mode == "none"
    assert [m.target for m in granted.bind_mounts] == [m.target for m in plain.bind_mounts]
