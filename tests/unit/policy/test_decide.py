"""decide: what a grant is made of."""

from typing import Any

from orchestrator.model.permissions import (
    FileSystemRead,
    NetworkAccess,
    PermissionKind,
    SystemInfo,
    UserInterface,
)
from orchestrator.policy.decide import decide
from orchestrator.policy.grant import Withheld

READ_DOCS = FileSystemRead(shares=("docs",))


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


def test_what_is_just_at_its_bound_is_granted(make: Any) -> None:
    info = make.info(
        min_core_version="0.1.0", max_core_version="0.1.0", limits={"max_memory_mb": 2_048}
    )
    manifest = make.manifest(limits={"max_cpu_percent": 200})

    assert decide(info, manifest, make.policy(), config={}).limits.max_cpu_percent == 200


def test_a_limit_lowered_to_the_ceiling_makes_a_greedy_plugin_acceptable(make: Any) -> None:
    info = make.info(limits={"max_memory_mb": 4_096})
    manifest = make.manifest(limits={"max_memory_mb": 2_048})
    grant = decide(info, manifest, make.policy(), config={})

    assert grant.limits.max_memory_mb == 2_048


def test_naming_ports_of_a_network_that_was_asked_for_whole_is_granted(make: Any) -> None:
    narrower = NetworkAccess(ports=(443,), allow=("192.175.48.7",))
    grant = decide(
        make.info(permissions=(NetworkAccess(),)),
        make.manifest(narrower),
        make.policy(),
        config={},
    )

    assert grant.permissions == (narrower,)
