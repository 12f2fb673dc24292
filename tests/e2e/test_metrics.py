"""Metrics, logs and traces of real plugins: what Prometheus, and whoever follows a call, gets."""

import http.client
import json
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.instance import Instance, eventually
from tests.support.workshop import Workshop

pytestmark = pytest.mark.docker

FRONT, BACK = "e2e-front", "e2e-back"
TRACE = "0af7651916cd43dd8448eb211c80319c"
ASKS = f"""\
from orchestrator_sdk import PluginInterface, PluginStatus

class Plugin(PluginInterface):
    def execute(self, input_data):
        self.context.logger.info("asking")
        return self.context.host.call("{BACK}", input_data)
"""
WORKS = """\
import os
from orchestrator_sdk import PluginInterface, PluginStatus

class Plugin(PluginInterface):
    def execute(self, input_data):
        self.context.logger.info("working")
        with open(self.context.data_dir / "data", "wb") as file:
            file.write(os.urandom(1 << 20))
            os.fsync(file.fileno())
        self.kept = bytearray(8 << 20)
        return sum(number * number for number in range(200_000))

    def get_status(self):
        return PluginStatus("ready", "", {"documents": 12, "Not A Name": 1})
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
    return port


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def up(shared_instance: Instance, shared_workshop: Workshop, port: int) -> Instance:
    talks: dict[str, Any] = {"permissions": ["plugin_communication"], "dependencies": [BACK]}
    keeps: dict[str, Any] = {"permissions": ["file_system_write"]}
    shared_workshop.script(FRONT, ASKS, info=talks, permissions=["plugin_communication"])
    shared_workshop.script(BACK, WORKS, info=keeps, permissions=["file_system_write"])
    config = {
        "policy": {"lifecycle": {"status_interval_seconds": 1}},
        "monitoring": {"listen": f"127.0.0.1:{port}"},
    }
    shared_instance.config.write_text(yaml.safe_dump(config))
    shared_instance.variables["ORCHESTRATOR_LOG"] = "json"
    shared_instance.up("--config", str(shared_instance.config))
    return shared_instance


def ask(instance: Instance, path: str, **more: Any) -> bytes:
    """curl to daemon.sock."""
    headers = [part for name, value in more.items() for part in ("-H", f"{name}: {value}")]
    sock = instance.home / instance.name / "daemon.sock"
    body = ["-d", "{}"] if path.endswith("execute") else []
    done = subprocess.run(
        ["curl", "-sS", "--fail", "--unix-socket", sock, *headers, *body, f"http://o{path}"],
        capture_output=True,
        check=True,
    )
    return done.stdout


def get(port: int, path: str, **headers: str) -> tuple[int, bytes]:
    """Over TCP: (status, body)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def series(text: bytes) -> dict[str, float]:
    rows = (line.rpartition(" ") for line in text.decode().splitlines() if line[:1] != "#")
    return {name: float(value) for name, _, value in rows}


def of(name: str, plugin: str = BACK) -> str:
    return f'orchestrator_plugin_{name}{{plugin="{plugin}"}}'


def test_a_real_scrape_is_clean_and_tells_what_a_container_uses(up: Instance, port: int) -> None:
    ask(up, f"/v1/plugins/{FRONT}/execute", traceparent=f"00-{TRACE}-b7ad6b7169203331-01")
    first = series(ask(up, "/metrics"))
    assert first[f'orchestrator_plugin_calls_total{{plugin="{BACK}",outcome="ok"}}'] == 1

    def told() -> bool:
        """Within ten seconds all is sampled and the plugin was asked how it does."""
        found = series(ask(up, "/metrics"))
        custom = f'orchestrator_plugin_custom_documents{{plugin="{BACK}",replica="0"}}'
        return found.get(of("disk_bytes"), 0) > 1 << 20 and custom in found

    eventually(told)
    _, text = get(port, "/metrics")
    found = series(text)
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, check=False
    )

    assert (checked.stdout, checked.stderr, checked.returncode) == (b"", b"", 0)
    assert 8 << 20 < found[of("memory_bytes")] < found[of("memory_limit_bytes")] == 100 << 20
    assert 0.01 < found[of("cpu_seconds_total")] < 60
    assert found[of("disk_bytes")] < found[of("disk_limit_bytes")] == 50 << 20
    assert 1 <= found[of("pids")] < found[of("pids_limit")] == 128
    assert found[of("cpu_periods_total")] > 0
    assert (
        found[f'orchestrator_plugin_caller_calls_total{{plugin="{BACK}",caller="plugin:{FRONT}"}}']
        == 1
    )
    assert not any("Not A Name" in name for name in found)
    assert found["orchestrator_engine_up"] == 1
    assert found["orchestrator_host_memory_admitted_bytes"] > 1 << 28


def test_nothing_but_metrics_is_there_and_no_page_may_read_them(up: Instance, port: int) -> None:
    assert get(port, "/v1/plugins")[0] == 404
    assert get(port, "/metrics", Host=f"evil.example:{port}")[0] == 421


def test_one_call_is_found_in_the_logs_of_both_plugins_and_its_bucket(up: Instance) -> None:
    ask(
        up,
        f"/v1/plugins/{FRONT}/execute",
        traceparent=f"00-{TRACE}-b7ad6b7169203331-01",
        **{"X-Request-Id": "r-77"},
    )
    by_trace = {
        plugin: up.run("logs", plugin, "--call", TRACE, "--json", "--tail", "1").stdout
        for plugin in (FRONT, BACK)
    }
    by_request = up.run("logs", FRONT, "--call", "r-77", "--json").stdout
    open_metrics = ask(up, "/metrics", Accept="application/openmetrics-text; version=1.0.0")

    lines = {plugin: json.loads(text)["line"] for plugin, text in by_trace.items()}
    assert {plugin: line["message"] for plugin, line in lines.items()} == {
        FRONT: "asking",
        BACK: "working",
    }
    assert {line["trace_id"] for line in lines.values()} == {TRACE}
    assert lines[FRONT]["request_id"] == "r-77"
    assert [json.loads(text)["line"]["message"] for text in by_request.splitlines()] == ["asking"]
    assert f'# {{trace_id="{TRACE}"}}'.encode() in open_metrics


def test_the_daemons_log_is_json_and_names_the_plugins(up: Instance) -> None:
    path: Path = up.home / up.name / "daemon.log"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    started = [row for row in rows if row.get("event") == "orchestrator.plugin.started"]

    assert {row["plugin"] for row in started} >= {FRONT, BACK}
    assert all({"at", "level", "logger", "message"} <= row.keys() for row in rows)
