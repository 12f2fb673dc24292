"""Databases: names become targets, and no address leads to what no plugin may reach."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.manager.databases import (
    ENGINE_SOCKETS,
    DatabaseAddressUnusable,
    check_databases,
    database_targets,
)
from orchestrator.model.databases import DatabaseKind, TcpAddress, UnixAddress
from orchestrator.model.permissions import DatabaseAccess
from orchestrator.sandbox.database_target import DatabaseTarget


def refusal(make: Any, address: object, home: Path, **policy: Any) -> str:
    """What `check_databases` says to this address of `main`; empty if nothing."""
    databases = {"main": {"kind": "postgresql", "address": str(address)}}
    grant = make.deployment(DatabaseAccess(databases=("main",))).grant
    try:
        check_databases(grant, make.policy(databases=databases, **policy), home=home)
    except DatabaseAddressUnusable as error:
        return str(error)
    return ""


def test_each_name_becomes_the_target_that_policy_says_once(make: Any) -> None:
    policy = make.policy(
        databases={
            "main": {"kind": "postgresql", "address": "db:5432"},
            "cache": {"kind": "redis", "address": "/run/redis.sock"},
            "other": {"kind": "mysql", "address": "db:3306"},
        }
    )
    found = database_targets(("main", "cache", "main"), policy)

    assert found == (
        DatabaseTarget(
            name="cache", kind=DatabaseKind.REDIS, address=UnixAddress(path="/run/redis.sock")
        ),
        DatabaseTarget(
            name="main", kind=DatabaseKind.POSTGRESQL, address=TcpAddress(host="db", port=5432)
        ),
    )


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (DatabaseKind.POSTGRESQL, "db/x/.s.PGSQL.5432"),
        (DatabaseKind.MYSQL, "db/x/mysqld.sock"),
        (DatabaseKind.REDIS, "db/x/redis.sock"),
    ],
)
def test_each_driver_finds_the_socket_it_expects(kind: DatabaseKind, path: str) -> None:
    target = DatabaseTarget(name="x", kind=kind, address=UnixAddress(path="/x"))

    assert target.socket_path == path


@pytest.mark.parametrize("address", ["db:5432", "/run/postgresql/.s.PGSQL.5432", "/nowhere"])
def test_an_ordinary_address_passes_though_nobody_listens_there(
    make: Any, home: Path, address: str
) -> None:
    assert refusal(make, address, home) == ""


@pytest.mark.parametrize("name", ENGINE_SOCKETS)
def test_the_engines_socket_is_no_database(make: Any, home: Path, name: str) -> None:
    found = refusal(make, f"/run/{name}", home)

    assert found == (
        f"policy.databases.main.address: found '/run/{name}', a socket of the engine, "
        "expected a socket of a database: the engine's makes one root"
    )


def test_the_engines_socket_behind_a_link_is_no_database(
    make: Any, tmp_path: Path, home: Path
) -> None:
    (tmp_path / "postgres").symlink_to("/run/docker.sock")

    assert "a socket of the engine" in refusal(make, tmp_path / "postgres", home)


def test_the_orchestrators_own_sockets_are_no_databases(
    make: Any, tmp_path: Path, home: Path
) -> None:
    (tmp_path / "link").symlink_to(home)
    for path in (home / "default" / "daemon.sock", tmp_path / "link" / "daemon.sock"):
        assert "the orchestrator's own folder" in refusal(make, path, home)


def test_no_database_lies_where_a_plugin_may_put_a_link(
    make: Any, tmp_path: Path, home: Path
) -> None:
    shares = {
        name: {"path": str(tmp_path / name), "write": name == "mine"} for name in ("mine", "ours")
    }
    found = refusal(make, tmp_path / "mine" / "pg" / "socket", home, shares=shares)

    assert "outside share mine" in found
    assert refusal(make, tmp_path / "ours" / "socket", home, shares=shares) == ""
