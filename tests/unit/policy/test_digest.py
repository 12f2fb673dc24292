"""The digest tells a revision from any other: it follows what a plugin was made from, only that."""

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.model.limits import ResourceLimits
from orchestrator.model.permissions import (
    DatabaseAccess,
    FileSystemRead,
    FileSystemWrite,
    PermissionKind,
)
from orchestrator.policy.compile import compile_spec
from orchestrator.policy.grant import Grant, Withheld


class Revision:
    """One compilation, each part of which a row below changes."""

    def __init__(self, make: Any) -> None:
        self.make = make
        self.info: dict[str, Any] = {}
        self.grant: dict[str, Any] = {
            "permissions": (FileSystemRead(shares=("docs",)), FileSystemWrite()),
            "withheld": (),
            "limits": ResourceLimits(),
            "config": {"depth": 1},
            "secrets": ("key",),
        }
        self.policy: dict[str, Any] = {}
        self.site: dict[str, Any] = {}
        self.image = "sha256:1"

    def digest(self) -> str:
        grant = Grant(info=self.make.info(**self.info), **self.grant)
        policy, site = self.make.policy(**self.policy), self.make.site(**self.site)
        return compile_spec(grant, policy, site, image=self.image).digest


@pytest.fixture
def revision(make: Any) -> Revision:
    return Revision(make)


@pytest.mark.parametrize("limit", ResourceLimits.model_fields)
def test_every_limit_changes_the_digest(revision: Revision, limit: str) -> None:
    before = revision.digest()
    revision.grant["limits"] = ResourceLimits().model_copy(update={limit: 77})

    assert revision.digest() != before


@pytest.mark.parametrize(
    "config",
    [{}, {"depth": 2}, {"depth": 1, "more": None}, {"depth": "1"}, {"depth": True}, {"DEPTH": 1}],
    ids=str,
)
def test_every_change_of_the_configuration_changes_the_digest(
    revision: Revision, config: dict[str, Any]
) -> None:
    before = revision.digest()
    revision.grant["config"] = config

    assert revision.digest() != before


@pytest.mark.parametrize(
    "permissions",
    [
        (),
        (FileSystemRead(shares=("docs",)),),
        (FileSystemWrite(),),
        (FileSystemRead(shares=("media",)), FileSystemWrite()),
        (FileSystemRead(shares=("docs",)), FileSystemWrite(shares=("docs",))),
    ],
)
def test_every_change_of_a_permission_changes_the_digest(
    revision: Revision, permissions: tuple[Any, ...]
) -> None:
    before = revision.digest()
    revision.grant["permissions"] = permissions

    assert revision.digest() != before


@pytest.mark.parametrize("secrets", [(), ("token",), ("key", "token")], ids=str)
def test_the_names_of_secrets_change_the_digest(
    revision: Revision, secrets: tuple[str, ...]
) -> None:
    before = revision.digest()
    revision.grant["secrets"] = secrets

    assert revision.digest() != before


@pytest.mark.parametrize(
    "about",
    [
        {"version": "1.2.4"},
        {"entry_point": "notes:Other"},
        {"plugin_id": "other"},
        {"subscribes": ("a.b",)},
    ],
    ids=str,
)
def test_what_runs_changes_the_digest(revision: Revision, about: dict[str, Any]) -> None:
    before = revision.digest()
    revision.info = about

    assert revision.digest() != before


def test_the_image_changes_the_digest(revision: Revision) -> None:
    before = revision.digest()
    revision.image = "sha256:2"

    assert revision.digest() != before


@pytest.mark.parametrize(
    "site",
    [
        {"shares": {"docs": "/elsewhere/docs", "media": "/srv/media"}},
        {"seccomp_profile": "{}"},
        {"prefix": "orchestrator-other"},
    ],
    ids=str,
)
def test_what_the_site_puts_into_the_container_changes_the_digest(
    revision: Revision, site: dict[str, Any]
) -> None:
    before = revision.digest()
    revision.site = site

    assert revision.digest() != before


@pytest.mark.parametrize(
    "policy",
    [
        {"container": {"pids_limit": 9}},
        {"container": {"open_files": 99}},
        {"container": {"tmp_mb": 9}},
        {"container": {"log_mb": 9}},
        {"lifecycle": {"stop_grace_seconds": 9}},
    ],
    ids=str,
)
def test_what_the_policy_puts_into_the_container_changes_the_digest(
    revision: Revision, policy: dict[str, Any]
) -> None:
    before = revision.digest()
    revision.policy = policy

    assert revision.digest() != before


MAIN = {"kind": "postgresql", "address": "db:5432"}


@pytest.mark.parametrize("change", [{"kind": "mysql"}, {"address": "other:5432"}], ids=str)
def test_a_granted_database_that_moved_changes_the_digest_and_no_other_does(
    revision: Revision, change: dict[str, str]
) -> None:
    revision.grant["permissions"] = (DatabaseAccess(databases=("main",)),)
    revision.policy = {"databases": {"main": MAIN, "other": MAIN}}
    before = revision.digest()
    revision.policy = {"databases": {"main": MAIN, "other": MAIN | change}}
    unfelt = revision.digest()
    revision.policy = {"databases": {"main": MAIN | change, "other": MAIN}}

    assert unfelt == before
    assert revision.digest() != before


UNFELT: list[tuple[str, Any]] = [
    ("info", {"name": "Other"}),
    ("info", {"author": "Nobody"}),
    ("info", {"description": "Does something else."}),
    ("info", {"category": "security"}),
    ("info", {"deprecated": "use other"}),
    ("info", {"secrets": ("unused",)}),
    ("policy", {"calls": {"max_queue": 1}}),
    ("policy", {"ceilings": {"max_memory_mb": 4_096}}),
    ("policy", {"permissions": []}),
    ("policy", {"lifecycle": {"start_cpu_percent": 0}}),
    ("policy", {"build": {"network": True}}),
    ("site", {"sockets_root": "/elsewhere"}),
    ("site", {"shares": {"docs": "/srv/docs", "unused": "/srv/unused"}}),
]


@pytest.mark.parametrize(("part", "change"), UNFELT, ids=map(str, UNFELT))
def test_what_a_running_plugin_does_not_feel_leaves_the_digest(
    revision: Revision, part: str, change: Any
) -> None:
    before = revision.digest()
    setattr(revision, part, change)

    assert revision.digest() == before


def test_what_was_withheld_leaves_the_digest(revision: Revision) -> None:
    before = revision.digest()
    held = Withheld(permission=PermissionKind.SYSTEM_INFO, reason="to see")
    revision.grant["withheld"] = (held, replace(held, reason=""))

    assert revision.digest() == before


def test_the_order_of_configuration_keys_leaves_the_digest(revision: Revision) -> None:
    revision.grant["config"] = {"a": {"x": 1, "y": 2}, "b": 2}
    before = revision.digest()
    revision.grant["config"] = {"b": 2, "a": {"y": 2, "x": 1}}

    assert revision.digest() == before
