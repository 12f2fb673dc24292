"""Which runtime a plugin gets, and what follows from it for its container."""

import json
from typing import Any

import pytest

from orchestrator.model.limits import ResourceLimits
from orchestrator.model.permissions import NetworkAccess, SystemInfo
from orchestrator.model.runtime import Runtime, at_least
from orchestrator.policy.compile import Compiled, compile_spec
from orchestrator.policy.decide import decide
from orchestrator.policy.grant import PermissionRefused
from orchestrator.policy.seccomp import filter_for, seccomp_profile

NOT_ON_RUNSC = (
    "spec.permissions.system_info: found runtime runsc (gVisor), which cannot show the host, "
    "expected no such permission, or runtime runc [permission_not_on_runsc]"
)


def compiled(make: Any, *, site: dict[str, Any] | None = None, **spec: Any) -> Compiled:
    policy = make.policy(lifecycle={"start_cpu_percent": 100})
    info = make.info(limits=ResourceLimits(max_cpu_percent=10))
    grant = decide(info, make.manifest(**spec), policy, config={})
    return compile_spec(grant, policy, make.site(**(site or {})), image="sha256:1")


@pytest.mark.parametrize(
    ("wish", "least", "runtime"),
    [
        (None, Runtime.RUNC, Runtime.RUNC),
        (None, Runtime.RUNSC, Runtime.RUNSC),
        (Runtime.RUNC, Runtime.RUNC, Runtime.RUNC),
        (Runtime.RUNSC, Runtime.RUNC, Runtime.RUNSC),
        (Runtime.RUNC, Runtime.RUNSC, Runtime.RUNSC),
    ],
)
def test_a_wish_makes_it_stronger_and_never_weaker_than_the_policy(
    wish: Runtime | None, least: Runtime, runtime: Runtime
) -> None:
    assert at_least(wish, least) is runtime


@pytest.mark.parametrize(
    ("spec", "policy", "runtime"),
    [
        ({}, {}, Runtime.RUNC),
        ({"runtime": "runsc"}, {}, Runtime.RUNSC),
        ({}, {"runtime": "runsc"}, Runtime.RUNSC),
    ],
)
def test_manifest_or_policy_puts_a_plugin_on_gvisor(
    make: Any, spec: dict[str, Any], policy: dict[str, Any], runtime: Runtime
) -> None:
    grant = decide(make.info(), make.manifest(**spec), make.policy(**policy), config={})
    found = compile_spec(grant, make.policy(**policy), make.site(), image="sha256:1")

    assert (grant.runtime, found.spec.runtime) == (runtime, runtime)


def test_the_runtime_changes_the_digest(make: Any) -> None:
    assert compiled(make).digest != compiled(make, runtime="runsc").digest


def test_on_gvisor_no_start_is_boosted(make: Any) -> None:
    assert compiled(make).start_cpu_percent == 100
    assert compiled(make, runtime="runsc").start_cpu_percent == 10


def test_on_gvisor_the_filter_says_not_there_in_the_way_that_gvisor_understands(make: Any) -> None:
    ours = seccomp_profile()
    found = compiled(make, runtime="runsc", site={"seccomp_profile": ours}).spec.seccomp_profile
    before, after = json.loads(ours), json.loads(found)
    changed = [
        (old, new)
        for old, new in zip(before["syscalls"], after["syscalls"], strict=True)
        if old != new
    ]

    assert changed == [
        (
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
            {"names": ["clone3"], "action": "SCMP_ACT_TRACE"},
        )
    ]
    assert {**before, "syscalls": []} == {**after, "syscalls": []}
    # A tracer would be asked: there must be none.
    allowed = [
        name
        for rule in after["syscalls"]
        if rule["action"] == "SCMP_ACT_ALLOW"
        for name in rule["names"]
    ]
    assert "ptrace" not in allowed


def test_on_runc_the_filter_stays_as_it_is() -> None:
    assert filter_for(Runtime.RUNC, seccomp_profile()) == seccomp_profile()


@pytest.mark.parametrize(
    ("permissions", "spec", "policy", "refusal"),
    [
        (
            (),
            {"runtime": "runc"},
            {"runtime": "runsc"},
            (
                "spec.runtime: found runc, expected runsc or none (policy.runtime) "
                "[runtime_below_policy]"
            ),
        ),
        ((SystemInfo(),), {"runtime": "runsc"}, {}, NOT_ON_RUNSC),
        ((SystemInfo(),), {}, {"runtime": "runsc"}, NOT_ON_RUNSC),
        (
            (NetworkAccess(),),
            {},
            {"runtime": "runsc"},
            (
                "spec.permissions.network_access: found runtime runsc (gVisor), whose own network "
                "no guard could hold, expected no such permission, or runtime runc "
                "[permission_not_on_runsc]"
            ),
        ),
    ],
    ids=["weaker than the policy", "system_info by manifest", "system_info by policy", "network"],
)
def test_what_does_not_go_with_the_runtime_is_refused(
    make: Any, permissions: Any, spec: dict[str, Any], policy: dict[str, Any], refusal: str
) -> None:
    info, manifest = make.info(permissions=permissions), make.manifest(*permissions, **spec)
    with pytest.raises(PermissionRefused) as caught:
        decide(info, manifest, make.policy(**policy), config={})

    assert list(map(str, caught.value.refusals)) == [refusal]
