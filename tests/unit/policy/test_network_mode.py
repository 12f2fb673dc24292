"""network_access decided and compiled: it joins the pause, and nothing else differs."""

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.model.container import ContainerSpec
from orchestrator.model.permissions import NetworkAccess
from orchestrator.policy.compile import compile_spec
from orchestrator.policy.decide import decide
from orchestrator.policy.guard import NetworkRuleUnusable


@pytest.mark.parametrize(
    "permission",
    [NetworkAccess(), NetworkAccess(raw=True, low_ports=True), NetworkAccess(ports=(443,))],
)
def test_the_plugin_joins_its_own_pause_and_gets_no_capability(make: Any, permission: Any) -> None:
    without = make.deployment()
    found = make.deployment(permission)
    mode = "container:orchestrator-home-0a1b-notes-pause"

    assert found.compiled.spec.network_mode == mode
    assert found.compiled.spec.capabilities == ()
    assert without.compiled.spec.network_mode == "none"
    assert alike(found.compiled.spec) == alike(without.compiled.spec)


def alike(spec: ContainerSpec) -> ContainerSpec:
    """Without what is the plugin's own, or the permission's: its sockets are in the filter."""
    return replace(spec, network_mode="", environment=(), bind_mounts=(), seccomp_profile="")


def test_another_allow_is_another_digest_so_that_the_rules_are_loaded_anew(make: Any) -> None:
    def digest(*allow: str) -> str:
        grant = make.deployment(NetworkAccess(allow=allow)).grant
        return compile_spec(grant, make.policy(), make.site(), image="i").digest

    assert digest("192.175.48.7") != digest("192.175.48.8")


def test_an_allow_that_packets_cannot_be_told_by_is_refused_before_anything_starts(
    make: Any,
) -> None:
    allow = NetworkAccess(allow=("example.com",))

    with pytest.raises(NetworkRuleUnusable, match=r"network_access\.allow: found 'example\.com'"):
        decide(make.info(permissions=(allow,)), make.manifest(allow), make.policy(), config={})
