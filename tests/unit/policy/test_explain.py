"""explain: one row for each permission, in the words that an operator reads."""

from typing import Any

import pytest

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
from orchestrator.policy.explain import explain
from orchestrator.policy.grant import Grant, Withheld

ROWS = [
    (FileSystemRead(shares=("docs", "media")), "may read the shares docs, media under /mnt"),
    (FileSystemRead(), "may read the shares (none) under /mnt"),
    (FileSystemWrite(), "may keep up to 50 MiB of its own under /data"),
    (
        FileSystemWrite(shares=("work",)),
        "may keep up to 50 MiB of its own under /data and change the shares work under /mnt",
    ),
    (NetworkAccess(), "may open network connections to public addresses"),
    (
        NetworkAccess(allow=("192.0.2.7",), ports=(80, 443)),
        "may open network connections to 192.0.2.7 on ports 80, 443",
    ),
    (DatabaseAccess(databases=("main",)), "may talk to the databases main"),
    (
        SystemInfo(),
        "may see the host's load, memory, processors and counters (read-only)",
    ),
    (PluginCommunication(), "may publish events and call its dependencies"),
    (
        PluginCommunication(plugins=("mail",)),
        "may publish events and call its dependencies and mail",
    ),
    (ExternalApi(hosts=("a.example:443",)), "may send HTTP requests to a.example:443"),
    (UserInterface(), "may show pages under /plugins/notes/ui/"),
]


def explained(make: Any, *permissions: Any, withheld: tuple[Withheld, ...] = ()) -> tuple[str, ...]:
    return explain(
        Grant(
            info=make.info(),
            permissions=permissions,
            withheld=withheld,
            limits=ResourceLimits(),
            config={},
        )
    )


@pytest.mark.parametrize(("permission", "sentence"), ROWS, ids=[text for _, text in ROWS])
def test_each_permission_has_its_sentence(make: Any, permission: Any, sentence: str) -> None:
    assert explained(make, permission) == (sentence,)


def test_every_permission_has_a_row() -> None:
    assert {permission.kind for permission, _ in ROWS} == set(PermissionKind)


def test_a_plugin_without_permissions_may_compute(make: Any) -> None:
    assert explained(make) == ("may compute, and nothing else",)


def test_what_was_withheld_is_told_after_what_was_granted(make: Any) -> None:
    withheld = (
        Withheld(permission=PermissionKind.EXTERNAL_API, reason="reads feeds"),
        Withheld(permission=PermissionKind.SYSTEM_INFO, reason=""),
    )

    assert explained(make, UserInterface(), withheld=withheld) == (
        "may show pages under /plugins/notes/ui/",
        "asked for external_api and does not get it (wanted: reads feeds)",
        "asked for system_info and does not get it",
    )
