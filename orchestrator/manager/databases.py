"""Databases: from names in the policy to the targets of a broker, checked before anything starts.

The broker passes every byte on, so an address must never lead to what no plugin may reach: the
engine's socket (root on the host), the daemon's own, or one that a plugin could put there itself.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.model.databases import UnixAddress, parse_address
from orchestrator.model.permissions import DatabaseAccess
from orchestrator.model.policy import SecurityPolicy
from orchestrator.policy.grant import Grant
from orchestrator.sandbox.database_target import DatabaseTarget

ENGINE_SOCKETS: Final = ("containerd.sock", "crio.sock", "docker.sock", "podman.sock")
"""Whoever may write to one of these is root on the host."""


class DatabaseAddressUnusable(OrchestratorError):
    """Policy gives a database an address that no plugin may ever reach."""

    kind, code = Kind.INVALID, "database_address_unusable"


def database_targets(names: Iterable[str], policy: SecurityPolicy) -> tuple[DatabaseTarget, ...]:
    """The named databases as their broker takes them; `decide` has refused unknown ones."""
    return tuple(
        DatabaseTarget(
            name=name,
            kind=policy.databases[name].kind,
            address=parse_address(policy.databases[name].address),
        )
        for name in sorted(set(names))
    )


def check_databases(grant: Grant, policy: SecurityPolicy, *, home: Path) -> None:
    """`home` is the orchestrator's own folder. Raises DatabaseAddressUnusable."""
    for permission in grant.permissions:
        if isinstance(permission, DatabaseAccess):
            for target in database_targets(permission.databases, policy):
                if isinstance(target.address, UnixAddress):
                    _check(target.name, target.address.path, policy, home)


def _check(name: str, path: str, policy: SecurityPolicy, home: Path) -> None:
    """Both where the path lies and where its links lead to."""
    for place in {Path(os.path.normpath(path)), Path(os.path.realpath(path))}:
        for found, expected in _objections(place, policy, home):
            raise DatabaseAddressUnusable(
                f"policy.databases.{name}.address: found {path!r}{found}, expected {expected}"
            )


def _objections(place: Path, policy: SecurityPolicy, home: Path) -> Iterator[tuple[str, str]]:
    if place.name in ENGINE_SOCKETS:
        yield ", a socket of the engine", "a socket of a database: the engine's makes one root"
    if home.resolve() in place.parents:
        yield "", f"a socket outside {home.resolve()}, the orchestrator's own folder"
    for share, folder in sorted(policy.shares.items()):
        if folder.write and Path(os.path.realpath(folder.path)) in place.parents:
            yield "", f"a socket outside share {share}, which plugins may be allowed to write"
