"""The units that are shipped for systemd: valid, and in agreement with the daemon they start."""

import shlex
import subprocess
from pathlib import Path

import click
import pytest

from orchestrator.cli.main import cli
from orchestrator.client.spawn import FOLLOW_SECONDS
from orchestrator.daemon.run import LOCK_SECONDS
from orchestrator.daemon.settings import settings_from
from orchestrator.model.policy import LifecyclePolicy
from tests.unit.pages import ROOT

UNITS = ROOT / "packaging" / "systemd"
SERVICE, SOCKET = UNITS / "orchestrator@.service", UNITS / "orchestrator@.socket"


def _values(unit: Path, key: str) -> list[str]:
    lines = unit.read_text().splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{key}=")]


def _value(unit: Path, key: str) -> str:
    [value] = _values(unit, key)
    return value


def _verify(folder: Path) -> subprocess.CompletedProcess[str]:
    """systemd's own word on the units; the rest of the machine's must not matter."""
    return subprocess.run(
        ["systemd-analyze", "verify", "orchestrator@a.service", "orchestrator@a.socket"],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "SYSTEMD_UNIT_PATH": f"{folder}:"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """As they are installed, but for the program, which is not on this machine."""
    program = tmp_path / "orchestrator"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for unit in (SERVICE, SOCKET):
        text = unit.read_text().replace("/opt/orchestrator/bin/orchestrator", str(program))
        (tmp_path / unit.name).write_text(text)
    return tmp_path


def test_systemd_finds_no_fault_in_the_units(units: Path) -> None:
    done = _verify(units)

    assert [line for line in done.stderr.splitlines() if "orchestrator@" in line] == []
    assert done.returncode == 0


def test_a_fault_in_a_unit_would_be_found(units: Path) -> None:
    service = units / SERVICE.name
    service.write_text(service.read_text().replace("RestartSec=100ms", "RestartSec=soon"))

    assert "Failed to parse sec value, ignoring: soon" in _verify(units).stderr


def test_the_service_runs_a_command_that_exists() -> None:
    _, name, *arguments = shlex.split(_value(SERVICE, "ExecStart").replace("%i", "default"))
    group = cli.get_command(click.Context(cli), name)
    assert isinstance(group, click.Group)
    context = group.make_context(name, list(arguments))

    assert group.get_command(context, "run") is not None
    assert arguments == ["--instance", "default", "run"]


def test_the_socket_is_where_the_daemon_and_its_clients_look() -> None:
    home = _value(SERVICE, "Environment").split()[0].partition("=")
    assert home[0] == "ORCHESTRATOR_HOME"
    found = settings_from(
        {home[0]: home[2]}, instance="mine", user_home=Path("/root"), is_root=True
    )

    assert _value(SOCKET, "ListenStream").replace("%i", "mine") == str(found.socket)
    assert _value(SOCKET, "SocketMode") == "0600"
    assert _value(SOCKET, "DirectoryMode") == "0700"


def test_whoever_waits_for_the_daemons_end_waits_longer_than_it_may_take_to_drain() -> None:
    [most] = [
        bound.le
        for bound in LifecyclePolicy.model_fields["drain_seconds"].metadata
        if hasattr(bound, "le")
    ]

    assert most < int(_value(SERVICE, "TimeoutStopSec")) < LOCK_SECONDS < FOLLOW_SECONDS


def test_the_service_sees_the_mounts_that_the_engine_sees() -> None:
    """Each of these would part the two, and with them go the shares without programs."""
    private = (
        *("PrivateTmp", "PrivateDevices", "PrivateMounts", "ProtectSystem", "ProtectHome"),
        *("ProtectKernelTunables", "ProtectKernelModules", "ProtectKernelLogs"),
        *("ProtectControlGroups", "ReadWritePaths", "InaccessiblePaths", "ReadOnlyPaths"),
    )

    assert [key for key in private if _values(SERVICE, key)] == []
