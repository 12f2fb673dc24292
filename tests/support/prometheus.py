"""A Prometheus of a test's own, from Debian's package: it scrapes each second, with our rules."""

import contextlib
import json
import re
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.instance import ROOT, eventually

RATE_INTERVAL = "10s"
"""What $__rate_interval stands for where each second is scraped."""
INTERVAL = "5s"
"""What a bar stands for there."""
_RULES = ROOT / "grafana" / "prometheus" / "rules"


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody has; they may be taken in the next moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


class Prometheus:
    """Somebody's HTTP API."""

    def __init__(self, address: str) -> None:
        self.address = address

    def ask(self, path: str, **parameters: str) -> Any:
        """`data` of the answer."""
        url = f"{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression has now, those that are no number left out."""
        found = self.ask("query", query=expression)["result"]
        return [series for series in found if series["value"][1] != "NaN"]

    def value(self, expression: str) -> float:
        """Of an expression with one series."""
        [series] = self.query(expression)
        return float(series["value"][1])

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@contextlib.contextmanager
def prometheus(folder: Path, *, target: str, instance: str) -> Iterator[Prometheus]:
    """Runs until the block ends."""
    [port] = free_ports(1)
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [f"{_RULES}/*.yaml"],
        "scrape_configs": [
            {
                "job_name": "orchestrator",
                "static_configs": [{"targets": [target], "labels": {"instance": instance}}],
            }
        ],
    }
    file = folder / "prometheus.json"
    file.write_text(json.dumps(config))
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={file}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                "--enable-feature=exemplar-storage",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        made = Prometheus(f"http://127.0.0.1:{port}")
        eventually(made.ready, seconds=30)
        yield made
    finally:
        process.terminate()
        process.wait(timeout=30)


def plain(expression: str, plugin: str) -> str:
    """As Grafana would ask it, with every instance and this plugin chosen."""
    values = {
        "$__rate_interval": RATE_INTERVAL,
        "$__interval": INTERVAL,
        "$instance": ".*",
        "$plugin": plugin,
    }
    for name, value in values.items():
        expression = expression.replace(name, value)
    labels = re.fullmatch(r"label_values\((.*), (\w+)\)", expression)
    asked = re.fullmatch(r"query_result\((.*)\)", expression)
    if asked:
        return asked[1]
    return f"count by ({labels[2]}) ({labels[1]})" if labels else expression


def until(check: Any, *, seconds: float) -> bool:
    """Whether `check` came true within the seconds."""
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            return False
        time.sleep(0.5)
    return True
