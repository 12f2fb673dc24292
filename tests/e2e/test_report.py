"""Figures of a real plugin: told by report and top, measured by the kernel, kept over a kill."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator.client.analytics import AnalyticsClient
from tests.support.instance import Instance, eventually
from tests.support.workshop import Workshop

pytestmark = pytest.mark.docker

NAME = "e2e-figures"


def _client(instance: Instance) -> AnalyticsClient:
    return AnalyticsClient(instance.home / instance.name / "daemon.sock")


def _calls(instance: Instance, count: int, tool: str, body: bytes) -> None:
    """So many, four at a time."""
    client = _client(instance)

    def call(_: int) -> int:
        done = client.call(
            NAME, body, content_type="application/json", tool=tool, timeout_seconds=20.0
        )
        return done.status

    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(call, range(count))) == {200}


def test_what_a_plugin_did_is_told_and_outlives_the_daemons_kill(
    shared_instance: Instance, shared_workshop: Workshop, tmp_path: Path
) -> None:
    instance = shared_instance
    writes = ["file_system_write"]
    shared_workshop.small(NAME, info={"permissions": writes}, permissions=writes)
    instance.up()

    _calls(instance, 30, "echo", b'{"text": "a"}')
    client = _client(instance)
    eventually(lambda: _measured(client), seconds=30.0, every=0.5)
    before = client.generate_report("15m")

    assert before["summary"]["calls"] == 30
    [plugin] = before["plugins"]
    assert [(tool["name"], tool["calls"]) for tool in plugin["usage"]["tools"]] == [("echo", 30)]
    memory = plugin["performance"]["memory_bytes"]
    assert 0 < memory["p95"] <= memory["max"] < memory["limit"]
    assert plugin["performance"]["disk_bytes"]["limit"] == 50 << 20
    assert plugin["performance"]["execution_seconds"]["p95"] < 5.0

    os.kill(instance.daemon_pid(), signal.SIGKILL)
    instance.run("daemon", "start")
    _calls(instance, 5, "echo", b'{"text": "b"}')
    after = client.generate_report("15m")

    assert after["summary"]["calls"] == 35
    assert after["plugins"][0]["health"]["restarts"] == 0
    cpu = after["plugins"][0]["performance"]["cpu_percent"]["max"] or 0.0
    assert cpu <= 100.0  # what an earlier daemon saw of its life is not used again

    page = tmp_path / "report.html"
    instance.run("report", "--timeframe", "15m", "--format", "html", "--output", str(page))
    assert f"<b>{NAME}</b>" in page.read_text()
    shown = instance.run("top", "--once", "--interval", "0.5").stdout
    assert f"● {NAME}" in shown


def _measured(client: AnalyticsClient) -> bool:
    told = client.get_plugin_metrics(NAME, "15m")
    return told["performance"]["memory_bytes"]["max"] is not None
