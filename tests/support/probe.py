"""Probe: the hostile plugin of tests/plugins/probe, built under any name and called from afar."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.client.client import CallResult, DaemonClient
from tests.support.instance import PLUGINS, Instance, engine

SOURCE = PLUGINS / "probe"


class Probe:
    """One probe's tools, called from the host."""

    def __init__(self, instance: Instance, plugin_id: str) -> None:
        self.instance = instance
        self.plugin_id = plugin_id
        self._client = DaemonClient(instance.home / instance.name / "daemon.sock")

    def __call__(self, tool: str, **arguments: Any) -> Any:
        """The tool's answer; the call itself must succeed."""
        result = self.result(tool, **arguments)
        assert result.status == 200, result.body[:2_000]
        return json.loads(result.body)

    def result(self, tool: str, **arguments: Any) -> CallResult:
        """Whatever the call comes to."""
        return self._client.call(
            self.plugin_id,
            json.dumps(arguments).encode(),
            content_type="application/json",
            tool=tool,
            timeout_seconds=None,
        )

    def answers(self) -> bool:
        """Whether a call goes through right now."""
        return self.result("limits").status == 200

    def status(self) -> dict[str, Any]:
        return self._client.plugin(self.plugin_id)

    def events(self, name: str) -> list[dict[str, Any]]:
        """What `status` tells of events of that type, the oldest first."""
        wanted = f"orchestrator.plugin.{name}"
        return [event["data"] for event in self.status()["events"] if event["type"] == wanted]

    def inspect(self) -> dict[str, Any]:
        """`docker inspect`, now."""
        with engine() as client:
            found: dict[str, Any] = client.inspect_container(self.status()["container_id"])
        return found


def become_root(folder: Path) -> Path:
    """A program that says whom it became, compiled into `folder`."""
    program = folder / "become-root"
    source = SOURCE / "become_root.c"
    subprocess.run(["gcc", "-static", "-Os", "-s", "-o", program, source], check=True)
    return program


def probe_builder(made: Path) -> Callable[[str], Path]:
    """Gives the probe's folder under a plugin id, below `made`: one line of metadata differs."""
    program = become_root(made)

    def folder(plugin_id: str) -> Path:
        copy = made / plugin_id
        shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy2(program, copy / "become-root")
        metadata = (copy / "plugin.yaml").read_text(encoding="utf-8")
        (copy / "plugin.yaml").write_text(
            metadata.replace("plugin_id: probe", f"plugin_id: {plugin_id}"), encoding="utf-8"
        )
        return copy

    return folder
