"""PluginSandbox: the specification's names over the daemon's API."""

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.client.client import DaemonClient
from orchestrator.client.plugin_sandbox import CodeFailed, PluginSandbox
from orchestrator.client.problem import DaemonProblem
from orchestrator.model.permissions import FileSystemRead, PermissionKind, SystemInfo
from orchestrator.model.policy import CodePolicy, SecurityPolicy
from orchestrator.policy.grant import PermissionRefused
from orchestrator.sandbox.code_result import CodeEnd
from orchestrator.server.code_route import _parse
from tests.unit.cli.fake_daemon import FakeDaemon

ANSWER = {"reason": "ok", "result": {"sum": 3}, "detail": ""}
NO_READING = SecurityPolicy(permissions=(PermissionKind.SYSTEM_INFO,))


@pytest.fixture
def client(daemon: FakeDaemon, tmp_path: Path) -> DaemonClient:
    daemon.answer("/v1/code", ANSWER)
    granted = [{"kind": "file_system_read", "shares": ["docs"]}]
    daemon.answer("/v1/plugins/notes", {"deployment": {"permissions": granted}})
    return DaemonClient(tmp_path / "home" / "default" / "daemon.sock")


def asked(daemon: FakeDaemon) -> Any:
    return json.loads(daemon.asked[-1].body)


async def test_code_and_context_go_in_and_the_result_comes_out(
    daemon: FakeDaemon, client: DaemonClient
) -> None:
    sandbox = PluginSandbox(SecurityPolicy(), daemon=client)
    result = await sandbox.execute_plugin_code("sum(context)", [1, 2])

    assert result == {"sum": 3}
    assert (asked(daemon)["code"], asked(daemon)["context"]) == ("sum(context)", [1, 2])
    assert asked(daemon)["limits"] == {}


async def test_limits_that_its_policy_sets_are_asked_for(
    daemon: FakeDaemon, client: DaemonClient
) -> None:
    policy = SecurityPolicy(code=CodePolicy(max_memory_mb=64, timeout_seconds=2))
    sandbox = PluginSandbox(policy, daemon=client)
    await sandbox.execute_plugin_code("1", None)

    assert asked(daemon)["limits"] == {"max_memory_mb": 64, "max_execution_time_sec": 2}


async def test_what_it_sends_is_what_the_daemon_reads(
    daemon: FakeDaemon, client: DaemonClient
) -> None:
    wish = (FileSystemRead(shares=("docs",)),)
    sandbox = PluginSandbox(SecurityPolicy(), daemon=client, permissions=wish)
    await sandbox.execute_plugin_code("1", None)

    assert _parse(daemon.asked[-1].body).permissions == wish


async def test_code_that_fails_is_an_error_with_what_it_left(
    daemon: FakeDaemon, client: DaemonClient
) -> None:
    answer = {"reason": "exception", "result": None, "detail": "ValueError: no", "stdout": "x"}
    daemon.answer("/v1/code", answer)
    with pytest.raises(CodeFailed, match="exception: ValueError: no") as caught:
        await PluginSandbox(SecurityPolicy(), daemon=client).execute_plugin_code("1", None)

    assert caught.value.reason is CodeEnd.EXCEPTION
    assert caught.value.answer["stdout"] == "x"


async def test_code_that_was_not_run_is_the_daemons_own_problem(
    daemon: FakeDaemon, client: DaemonClient
) -> None:
    daemon.answer("/v1/code", {"code": "code_overloaded", "kind": "overloaded"}, status=429)
    with pytest.raises(DaemonProblem) as caught:
        await PluginSandbox(SecurityPolicy(), daemon=client).execute_plugin_code("1", None)

    assert caught.value.remote_code == "code_overloaded"


def test_a_permission_beyond_its_own_policy_is_not_even_sent(client: DaemonClient) -> None:
    with pytest.raises(PermissionRefused, match="permission_forbidden"):
        PluginSandbox(NO_READING, daemon=client, permissions=(FileSystemRead(),))

    PluginSandbox(NO_READING, daemon=client, permissions=(SystemInfo(),))


def test_a_permission_is_valid_if_policy_allows_it_and_the_plugin_has_it(
    client: DaemonClient,
) -> None:
    sandbox = PluginSandbox(SecurityPolicy(), daemon=client)
    with pytest.raises(PermissionRefused, match="permission_not_granted"):
        sandbox.validate_permissions("notes", "network_access")
    with pytest.raises(PermissionRefused, match="permission_forbidden"):
        sandbox.validate_permissions("notes", "root")
    with pytest.raises(PermissionRefused, match="permission_forbidden"):
        PluginSandbox(NO_READING, daemon=client).validate_permissions("notes", "file_system_read")
    with pytest.raises(DaemonProblem):
        sandbox.validate_permissions("nobody", "file_system_read")

    assert sandbox.validate_permissions("notes", "file_system_read") is True
