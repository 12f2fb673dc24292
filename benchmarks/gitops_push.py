# ruff: noqa: INP001, T201 - a script that prints
"""How long a push takes: from the webhook to the new version's first answer to a caller.

    python benchmarks/gitops_push.py [--runs 5]

Each run commits another configuration of a Python plugin whose image is there, sends the signed
message as a forge would, and calls the plugin until the answer is the new one. Once with the
default policy, which lets a new version take calls when it was well for two seconds, and once with
`min_healthy_seconds: 0`. Needs git and a Docker engine; makes an instance of its own, removes it.
"""

import argparse
import hashlib
import hmac
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from orchestrator.client.gitops import GitOpsClient

SECRET = b"a secret of the benchmark's own"
PLUGIN = "bench-push"
MOST_SECONDS = 60.0
CODE = """\
from orchestrator_sdk import PluginInterface


class Plugin(PluginInterface):
    def initialize(self, config, context):
        self.number = config["number"]
        return True

    def execute(self, input_data):
        return {"number": self.number}
"""
INFO = {
    "plugin_id": PLUGIN,
    "name": "Push",
    "version": "1.0.0",
    "author": "The orchestrator's authors",
    "description": "Says which configuration it has.",
    "category": "integration",
    "entry_point": "main:Plugin",
    "config_schema": {"type": "object", "properties": {"number": {"type": "integer"}}},
}


class Forge:
    """A repository with the plugin, and an instance that follows it."""

    def __init__(self, folder: Path, min_healthy_seconds: float) -> None:
        self.folder, self.repo = folder, folder / "repo"
        self.name = f"bench{os.getpid()}"
        self.client = GitOpsClient(folder / "home" / self.name / "daemon.sock")
        (folder / "secret").write_bytes(SECRET)
        (self.repo / "manifests").mkdir(parents=True)
        (self.repo / "plugin").mkdir()
        (self.repo / "plugin" / "plugin.yaml").write_text(json.dumps(INFO))
        (self.repo / "plugin" / "main.py").write_text(CODE)
        rollout = {"min_healthy_seconds": min_healthy_seconds}
        git = {
            "url": str(self.repo),
            "poll_seconds": 3_600,
            "webhook": {"port": 0, "secret": {"file": "secret"}},
        }
        config = {"policy": {"rollout": rollout}, "git": git}
        (folder / "orchestrator.yaml").write_text(json.dumps(config))
        self.git("init", "-q", "-b", "main")
        self.commit(0)

    def git(self, *arguments: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *who, *arguments], cwd=self.repo, check=True)  # noqa: S603, S607

    def commit(self, number: int) -> None:
        manifest = {
            "apiVersion": "orchestrator/v1",
            "kind": "Plugin",
            "metadata": {"name": PLUGIN},
            "spec": {"source": {"build": "../plugin"}, "config": {"number": number}},
        }
        (self.repo / "manifests" / "push.yaml").write_text(json.dumps(manifest))
        self.git("add", "-A")
        self.git("commit", "-q", "-m", f"Number {number}")

    def orchestrator(self, *arguments: str) -> None:
        environment = {
            **os.environ,
            "ORCHESTRATOR_HOME": str(self.folder / "home"),
            "ORCHESTRATOR_INSTANCE": self.name,
        }
        command = [sys.executable, "-m", "orchestrator", *arguments]
        subprocess.run(  # noqa: S603 - our own arguments
            command, cwd=self.folder, env=environment, check=True, stdout=subprocess.DEVNULL
        )

    def webhook_port(self) -> int:
        """It is opened within a second."""
        for _ in range(100):
            port: int = self.client.gitops()["webhook_port"]
            if port:
                return port
            time.sleep(0.1)
        raise SystemExit("the webhook was not opened within 10 s")

    def push(self, port: int) -> None:
        """What a forge sends."""
        body = b'{"ref": "refs/heads/main"}'
        digest = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        headers = {"X-Hub-Signature-256": f"sha256={digest}"}
        connection.request("POST", "/v1/gitops/webhook", body=body, headers=headers)
        status = connection.getresponse().status
        connection.close()
        if status != http.client.ACCEPTED:
            raise SystemExit(f"the webhook answered {status}")

    def number(self) -> int:
        """Of the configuration that takes calls now."""
        answer = self.client.call(
            PLUGIN, b"{}", content_type="application/json", tool=None, timeout_seconds=30
        )
        found: int = json.loads(answer.body).get("number", -1)
        return found


def measure(runs: int, min_healthy_seconds: float) -> list[float]:
    """Seconds from each webhook to the new version's answer."""
    found = []
    with tempfile.TemporaryDirectory(prefix="bench-push-") as folder:
        forge = Forge(Path(folder), min_healthy_seconds)
        forge.orchestrator("up", "--detach", "--wait")
        try:
            port = forge.webhook_port()
            for number in range(1, runs + 1):
                time.sleep(2.0)
                forge.commit(number)
                started = time.perf_counter()
                forge.push(port)
                while forge.number() != number:
                    if time.perf_counter() - started > MOST_SECONDS:
                        raise SystemExit(f"not served: {forge.client.gitops()}")
                    time.sleep(0.01)
                found.append(time.perf_counter() - started)
                while forge.client.gitops()["moving"]:
                    time.sleep(0.1)
        finally:
            forge.orchestrator("down", "--volumes")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    for name, seconds in (("default", 2.0), ("min_healthy_seconds=0", 0.0)):
        row = measure(runs, seconds)
        print(name, *(f"{value:.2f}" for value in row))
        print(f"{name}: p50 {statistics.median(row):.2f} s, most {max(row):.2f} s")


if __name__ == "__main__":
    main()
