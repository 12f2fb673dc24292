"""decide: one exact row for each rule, and all of them at once."""

from typing import Any

import pytest

from orchestrator.errors import Kind
from orchestrator.model.permissions import (
    DatabaseAccess,
    ExternalApi,
    FileSystemRead,
    FileSystemWrite,
    NetworkAccess,
    SystemInfo,
    UserInterface,
)
from orchestrator.policy.decide import RULES, decide
from orchestrator.policy.grant import PermissionRefused

READ_DOCS = FileSystemRead(shares=("docs",))


def refusals(info: Any, manifest: Any, policy: Any) -> list[str]:
    with pytest.raises(PermissionRefused) as caught:
        decide(info, manifest, policy, config={})
    assert caught.value.plugin_id == info.plugin_id
    return [str(refusal) for refusal in caught.value.refusals]


Row = tuple[dict[str, Any], tuple[Any, ...], dict[str, Any], dict[str, Any], str]
# plugin.yaml, permissions granted, the rest of the manifest's spec, policy; and the refusal.
ROWS: list[Row] = [
    (
        {"permissions": (NetworkAccess(),)},
        (NetworkAccess(allow=("10.1.0.0/16", "10.2.0.1", "192.175.48.7")),),
        {},
        {"egress": {"allowed_private": ("10.2.0.0/24",)}},
        (
            "spec.permissions.network_access.allow: found 10.1.0.0/16, expected public addresses, "
            "or what policy.egress.allowed_private names [private_not_allowed]"
        ),
    ),
    (
        {"plugin_id": "other"},
        (),
        {},
        {},
        (
            "metadata.name: found 'notes', expected 'other', the plugin_id of plugin.yaml "
            "[name_mismatch]"
        ),
    ),
    (
        {"min_core_version": "99.0.0"},
        (),
        {},
        {},
        (
            "plugin.yaml min_core_version: found 99.0.0, expected at most 0.1.0, "
            "the version of this orchestrator [core_too_old]"
        ),
    ),
    (
        {"max_core_version": "0.0.9"},
        (),
        {},
        {},
        (
            "plugin.yaml max_core_version: found 0.0.9, expected at least 0.1.0, "
            "the version of this orchestrator [core_too_new]"
        ),
    ),
    (
        {},
        (SystemInfo(),),
        {},
        {},
        (
            "spec.permissions.system_info: found a grant that plugin.yaml does not ask for, "
            "expected at most no permission [permission_not_asked]"
        ),
    ),
    (
        {"permissions": (UserInterface(), SystemInfo())},
        (FileSystemWrite(),),
        {},
        {},
        (
            "spec.permissions.file_system_write: found a grant that plugin.yaml does not ask for, "
            "expected at most system_info, user_interface [permission_not_asked]"
        ),
    ),
    (
        {"permissions": (READ_DOCS,)},
        (FileSystemRead(shares=("work", "docs", "media")),),
        {},
        {},
        (
            "spec.permissions.file_system_read.shares: found media, work, expected at most docs "
            "[permission_wider_than_asked]"
        ),
    ),
    (
        {"permissions": (READ_DOCS,)},
        (FileSystemRead(any_owner=True),),
        {},
        {},
        (
            "spec.permissions.file_system_read.any_owner: found any_owner, "
            "expected at most nothing [permission_wider_than_asked]"
        ),
    ),
    (
        {"permissions": (NetworkAccess(ports=(443,)),)},
        (NetworkAccess(ports=(443, 80)),),
        {},
        {},
        (
            "spec.permissions.network_access.ports: found 80, expected at most 443 "
            "[permission_wider_than_asked]"
        ),
    ),
    (
        # No port named means all ports: leaving the list out grants more, not less.
        {"permissions": (NetworkAccess(ports=(443,)),)},
        (NetworkAccess(),),
        {},
        {},
        (
            "spec.permissions.network_access.ports: found anything, expected at most 443 "
            "[permission_wider_than_asked]"
        ),
    ),
    (
        {"permissions": (NetworkAccess(allow=("192.0.2.7",)),)},
        (NetworkAccess(),),
        {},
        {},
        (
            "spec.permissions.network_access.allow: found anything, expected at most 192.0.2.7 "
            "[permission_wider_than_asked]"
        ),
    ),
    (
        {"permissions": (SystemInfo(required=True, reason="to see"),)},
        (),
        {},
        {},
        (
            "spec.permissions: found no system_info, expected system_info, "
            "which notes cannot work without (to see) [required_permission_missing]"
        ),
    ),
    (
        {"permissions": (SystemInfo(),)},
        (SystemInfo(),),
        {},
        {"permissions": ["file_system_write", "file_system_read"]},
        (
            "spec.permissions.system_info: found a permission that policy.permissions leaves out, "
            "expected one of file_system_read, file_system_write [permission_forbidden]"
        ),
    ),
    (
        {"permissions": (SystemInfo(),)},
        (SystemInfo(),),
        {},
        {"permissions": []},
        (
            "spec.permissions.system_info: found a permission that policy.permissions leaves out, "
            "expected one of none [permission_forbidden]"
        ),
    ),
    (
        {"permissions": (FileSystemRead(shares=("nowhere",)),)},
        (FileSystemRead(shares=("nowhere",)),),
        {},
        {},
        (
            "spec.permissions.file_system_read.shares: found 'nowhere', "
            "expected a share of policy.shares: docs, media, work [share_unknown]"
        ),
    ),
    (
        {"permissions": (FileSystemWrite(shares=("nowhere",)),)},
        (FileSystemWrite(shares=("nowhere",)),),
        {},
        {"shares": {}},
        (
            "spec.permissions.file_system_write.shares: found 'nowhere', "
            "expected no share, as policy.shares is empty [share_unknown]"
        ),
    ),
    (
        {"permissions": (FileSystemWrite(shares=("docs",)),)},
        (FileSystemWrite(shares=("docs",)),),
        {},
        {},
        (
            "spec.permissions.file_system_write.shares: found 'docs', "
            "expected a share with policy.shares.docs.write: true [share_read_only]"
        ),
    ),
    (
        {"permissions": (DatabaseAccess(databases=("main", "nowhere")),)},
        (DatabaseAccess(databases=("main", "nowhere")),),
        {},
        {},
        (
            "spec.permissions.database_access.databases: found 'nowhere', "
            "expected a database of policy.databases: logs, main [database_unknown]"
        ),
    ),
    (
        {"permissions": (DatabaseAccess(databases=("main",)),)},
        (DatabaseAccess(databases=("main",)),),
        {},
        {"databases": {}},
        (
            "spec.permissions.database_access.databases: found 'main', "
            "expected no database, as policy.databases is empty [database_unknown]"
        ),
    ),
    (
        {"secrets": ("key",)},
        (),
        {"secrets": {"token": {"file": "t"}}},
        {},
        (
            "spec.secrets.token: found a secret that plugin.yaml does not declare, "
            "expected one of key [secret_not_asked]"
        ),
    ),
    (
        {},
        (),
        {"secrets": {"token": {"file": "t"}}},
        {},
        (
            "spec.secrets.token: found a secret that plugin.yaml does not declare, "
            "expected one of none [secret_not_asked]"
        ),
    ),
    (
        {},
        (),
        {"inject": {"a.example:443": {"file": "t"}}},
        {},
        (
            "spec.inject.a.example:443: found a credential for a host that is not granted, "
            "expected one of the hosts of external_api: none [credential_without_host]"
        ),
    ),
    (
        {"permissions": (ExternalApi(hosts=("*.b.example:443",)),)},
        (ExternalApi(hosts=("*.b.example:443",)),),
        {"inject": {"ab.example:443": {"file": "t"}, "a.b.example:443": {"file": "t"}}},
        {},
        (
            "spec.inject.ab.example:443: found a credential for a host that is not granted, "
            "expected one of the hosts of external_api: *.b.example:443 [credential_without_host]"
        ),
    ),
    (
        {},
        (),
        {"limits": {"max_memory_mb": 2049}},
        {},
        (
            "spec.limits.max_memory_mb: found 2049, expected at most 2048 "
            "(policy.ceilings.max_memory_mb) [limit_above_policy]"
        ),
    ),
    (
        {"limits": {"max_cpu_percent": 201}},
        (),
        {},
        {},
        (
            "plugin.yaml limits.max_cpu_percent: found 201, expected at most 200 "
            "(policy.ceilings.max_cpu_percent) [limit_above_policy]"
        ),
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=[row[-1][-60:] for row in ROWS])
def test_a_rule_says_where_it_says_no_with_what_it_found_and_expected(make: Any, row: Row) -> None:
    info, granted, spec, policy, refusal = row
    found = refusals(make.info(**info), make.manifest(*granted, **spec), make.policy(**policy))

    assert found == [refusal]


def test_every_rule_has_a_row() -> None:
    named = {refusal.rpartition("[")[2].rstrip("]") for *_, refusal in ROWS}

    assert len(RULES) == 12
    assert named == {
        "name_mismatch",
        "private_not_allowed",
        "core_too_old",
        "core_too_new",
        "permission_not_asked",
        "permission_wider_than_asked",
        "required_permission_missing",
        "permission_forbidden",
        "share_unknown",
        "share_read_only",
        "database_unknown",
        "secret_not_asked",
        "credential_without_host",
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
