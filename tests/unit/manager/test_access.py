"""Hosts that no broker could hold are refused as errors of the manifest, before anything starts."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.manager.access import Access, HostUnusable, check_hosts
from orchestrator.manager.meters import Meters
from orchestrator.manager.secrets import SecretReader
from orchestrator.model.audit import AuditEntry
from orchestrator.model.permissions import ExternalApi, PermissionKind, PluginCommunication
from orchestrator.store.memory import MemoryStore


@pytest.mark.parametrize("host", ["a..b:80", "999.1.1.1:1", "0x7f.1:80", "127.1:80", "a:65536"])
def test_a_host_that_could_be_read_in_two_ways_is_refused(make: Any, host: str) -> None:
    grant = make.deployment(ExternalApi(hosts=(host,))).grant

    with pytest.raises(HostUnusable, match=r"external_api\.hosts: found"):
        check_hosts(grant, make.policy())


def test_proper_hosts_pass(make: Any) -> None:
    hosts = ("api.example.com:443", "*.example.com:443", "192.0.2.1:443")

    check_hosts(make.deployment(ExternalApi(hosts=hosts)).grant, make.policy())


# -- one permission cut ---------------------------------------------------------------------------


@pytest.fixture
def talker(make: Any, tmp_path: Path) -> Any:
    """A deployment with two brokers, and the folder of its sockets."""
    deployment = make.deployment(PluginCommunication(), ExternalApi(hosts=("a.example:443",)))
    compiled = replace(deployment.compiled, sockets_folder=str(tmp_path))
    return replace(deployment, compiled=compiled)


@pytest.fixture
def access(clock: Any) -> Iterator[Access]:
    class Nobody:
        """Neighbours, auditor and uplink that are never asked."""

        def record(self, entry: AuditEntry) -> None: ...

    nobody: Any = Nobody()
    access = Access(
        auditor=nobody,
        clock=clock,
        neighbours=nobody,
        uplink=nobody,
        meters=Meters(store=MemoryStore(), now=clock.now),
        secrets=SecretReader(),
    )
    yield access
    access.close_all()


def sockets(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_cut_closes_the_one_socket_and_its_connections_at_once(
    make: Any, access: Access, talker: Any, tmp_path: Path
) -> None:
    await access.open(talker, make.policy())
    reader, writer = await asyncio.open_unix_connection(tmp_path / "host.sock")
    await asyncio.sleep(0.05)  # until it was accepted
    access.cut("notes", PermissionKind.PLUGIN_COMMUNICATION)
    left = sockets(tmp_path)
    async with asyncio.timeout(10):
        ended = await reader.read()
    writer.close()

    assert (left, ended) == (["egress.sock"], b"")


async def test_a_cut_of_another_plugin_or_permission_closes_nothing(
    make: Any, access: Access, talker: Any, tmp_path: Path
) -> None:
    await access.open(talker, make.policy())
    access.cut("mail", PermissionKind.PLUGIN_COMMUNICATION)
    access.cut("notes", PermissionKind.USER_INTERFACE)

    assert sockets(tmp_path) == ["egress.sock", "host.sock"]


async def test_a_step_that_began_before_the_cut_does_not_open_it_again(
    make: Any, access: Access, talker: Any, tmp_path: Path
) -> None:
    access.cut("notes", PermissionKind.EXTERNAL_API)
    await access.open(talker, make.policy())
    shut = sockets(tmp_path)
    access.lift("notes", PermissionKind.EXTERNAL_API)
    await access.open(talker, make.policy())

    assert shut == ["host.sock"]
    assert sockets(tmp_path) == ["egress.sock", "host.sock"]


async def test_a_socket_that_is_being_opened_when_the_cut_comes_is_closed(
    make: Any, access: Access, talker: Any, tmp_path: Path
) -> None:
    async with asyncio.TaskGroup() as group:
        opening = group.create_task(access.open(talker, make.policy()))
        await asyncio.sleep(0)
        for kind in (PermissionKind.EXTERNAL_API, PermissionKind.PLUGIN_COMMUNICATION):
            access.cut("notes", kind)
        assert not opening.done()

    assert sockets(tmp_path) == []
