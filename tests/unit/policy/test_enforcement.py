"""enforcement and explanation: each rule says what holds it, and nothing untrue is claimed."""

import json
from dataclasses import fields
from typing import Any

import pytest

from orchestrator.model.container import ContainerSpec
from orchestrator.model.limits import ResourceLimits
from orchestrator.model.permissions import (
    ExternalApi,
    FileSystemRead,
    FileSystemWrite,
    NetworkAccess,
    PermissionKind,
    SystemInfo,
    UserInterface,
)
from orchestrator.model.runtime import Runtime
from orchestrator.policy.enforcement import BASELINE, LIMITS, ON_GVISOR, PERMISSIONS
from orchestrator.policy.explanation import Explanation, explain_full, lines, to_json
from orchestrator.policy.grant import Grant, Withheld
from orchestrator.policy.rating import ImageOrigin, Rating, RatingReason, Surroundings

RATING = Rating(score=5, reasons=(RatingReason(rule="database", points=2, text="has a database"),))
RULES = {**PERMISSIONS, **LIMITS, **BASELINE}
NO_RULE = {"plugin_id", "image", "command", "environment", "working_dir"}
"""Fields of a container that hold a plugin to nothing."""


def explained(
    make: Any,
    *permissions: Any,
    asked: tuple[Any, ...] = (),
    withheld: tuple[Withheld, ...] = (),
    secrets: tuple[str, ...] = (),
    **around: Any,
) -> Explanation:
    grant = Grant(
        info=make.info(permissions=asked),
        permissions=permissions,
        withheld=withheld,
        limits=ResourceLimits(),
        config={},
        secrets=secrets,
    )
    plain: dict[str, Any] = {
        "image": ImageOrigin.BUILT_HERE,
        "runtime": Runtime.RUNC,
        "disk_enforced_by": "loop ext4",
        "limits_enforced": True,
    }
    return explain_full(grant, RATING, Surroundings(**plain | around))


def held(explanation: Explanation) -> dict[str, str]:
    return {limit.limit: limit.held_by for limit in explanation.limits} | {
        rule.rule: rule.held_by for rule in explanation.baseline
    }


def test_every_permission_and_every_limit_says_what_holds_it() -> None:
    assert set(PERMISSIONS) == set(PermissionKind)
    assert set(LIMITS) == set(ResourceLimits.model_fields)
    assert all(rule.does and rule.held_by for rule in RULES.values())


def test_every_setting_of_a_container_is_told_by_a_rule() -> None:
    told = {name for rule in RULES.values() for name in rule.settings}

    assert told == {field.name for field in fields(ContainerSpec)} - NO_RULE


def test_a_permission_is_told_with_the_plugins_reason_and_what_holds_it(make: Any) -> None:
    asked = ExternalApi(hosts=("a.example:443", "b.example:443"), reason="reads feeds")
    [told] = explained(make, ExternalApi(hosts=("a.example:443",)), asked=(asked,)).permissions

    assert told.permission == "external_api"
    assert told.may == "may send HTTP requests to a.example:443"
    assert told.why == "reads feeds"
    assert told.held_by.startswith("egress broker: resolves the name, checks the address")


@pytest.mark.parametrize(
    ("permission", "missing"),
    [
        (None, set()),
        (UserInterface(), set()),
        (NetworkAccess(), {"no_network"}),
        (NetworkAccess(raw=True), {"no_network"}),
        (NetworkAccess(low_ports=True), {"no_network"}),
        (FileSystemRead(any_owner=True), {"no_capabilities"}),
        (FileSystemRead(), set()),
        (SystemInfo(), {"host_hidden"}),
    ],
)
def test_a_rule_that_a_permission_lifts_is_not_claimed(
    make: Any, permission: Any, missing: set[str]
) -> None:
    told = explained(make, *([permission] if permission else []))

    assert {rule.rule for rule in told.baseline} == set(BASELINE) - missing


@pytest.mark.parametrize(
    ("permission", "limits"),
    [
        (None, set()),
        (FileSystemWrite(), {"max_disk_mb"}),
        (NetworkAccess(), {"max_network_mb"}),
        (ExternalApi(), {"max_network_mb"}),
    ],
)
def test_a_limit_of_what_the_plugin_has_not_is_left_out(
    make: Any, permission: Any, limits: set[str]
) -> None:
    told = {limit.limit for limit in explained(make, *([permission] if permission else [])).limits}
    always = {
        "max_memory_mb",
        "max_cpu_percent",
        "max_execution_time_sec",
        "max_concurrent_requests",
    }

    assert told == always | limits


def test_what_the_engine_does_not_hold_is_said_so(make: Any) -> None:
    here = held(explained(make, FileSystemWrite()))
    elsewhere = held(explained(make, FileSystemWrite(), disk_enforced_by="", limits_enforced=False))
    unheld = {name for name, text in elsewhere.items() if "NOTHING" in text}

    assert here["max_disk_mb"] == "loop ext4"
    assert not [name for name, text in here.items() if "NOTHING" in text]
    assert unheld == {"max_disk_mb", "max_memory_mb", "max_cpu_percent", "processes"}


def test_the_isolation_is_named(make: Any) -> None:
    assert "runc" in explained(make).isolation
    assert "gVisor" in explained(make, runtime=Runtime.RUNSC).isolation


def test_on_gvisor_it_says_what_holds_there_instead(make: Any) -> None:
    here, there = held(explained(make)), held(explained(make, runtime=Runtime.RUNSC))

    assert {name for name in here if here[name] != there[name]} == set(ON_GVISOR)
    assert "number of files is held by memory alone" in there["temporary_files"]


def test_as_text_it_reads_from_the_rating_to_the_baseline(make: Any) -> None:
    wanted = Withheld(permission=PermissionKind.SYSTEM_INFO, reason="shows load")
    text = lines(explained(make, FileSystemWrite(), withheld=(wanted,), secrets=("key",)))

    assert text[:9] == (
        "notes 1.2.3: security rating 5 of 8",
        "  -2  has a database [database]",
        "It",
        "  may keep up to 50 MiB of its own under /data",
        "    why: it gives no reason",
        "    held by: kernel: mounts; nothing else is writable but /tmp",
        "  is given the secret key",
        "  asked for system_info and does not get it (wanted: shows load)",
        "Its limits",
    )
    assert "Always, on the host's kernel (runc), it" in text
    assert text[-1] == "    held by: engine: SIGKILL"


def test_a_plugin_without_permissions_computes(make: Any) -> None:
    assert "  may compute, and nothing else" in lines(explained(make))


def test_as_json_it_holds_the_same(make: Any) -> None:
    told = to_json(explained(make, UserInterface(), secrets=("key",)))

    assert json.loads(json.dumps(told)) == told
    assert told["rating"] == {
        "score": 5,
        "reasons": [{"rule": "database", "points": 2, "text": "has a database"}],
    }
    assert told["secrets"] == ["key"]
    assert told["permissions"] == [
        {
            "permission": "user_interface",
            "may": "may show pages under /plugins/notes/ui/",
            "why": "",
            "does": PERMISSIONS[PermissionKind.USER_INTERFACE].does,
            "held_by": PERMISSIONS[PermissionKind.USER_INTERFACE].held_by,
        }
    ]
