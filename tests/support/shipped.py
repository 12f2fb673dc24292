"""Shipped: a plugin of plugin_images/ outside its container, with the host played for its tools.

A plugin's conftest calls `importable` before it imports the plugin, and gives what `Shipped.start`
returns to its tests: a tool called by name, that keeps to the schemas of plugin.yaml both ways.
"""

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jsonschema_rs
import yaml


def importable(plugin: Path) -> None:
    """Puts the plugin's folder and the SDK on the import path, as they are in a container."""
    for folder in (plugin.parent / "sdk", plugin):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))


def info_of(plugin: Path) -> dict[str, Any]:
    """plugin.yaml as it is."""
    info: dict[str, Any] = yaml.safe_load((plugin / "plugin.yaml").read_text())
    return info


class Shipped:
    """What it started ends with it."""

    def __init__(self, info: dict[str, Any]) -> None:
        self._info = info
        self._tools = {tool["name"]: tool for tool in info["tools"]}
        self._started = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._started.__exit__(kind, error, traceback)

    def start(self, plugin: type, config: dict[str, Any], **granted: Any) -> Callable[..., Any]:
        """With plugin.yaml's defaults under `config`; `granted` is what PluginTester takes."""
        # Found by the path that `importable` laid.
        from orchestrator_sdk.testing import PluginTester  # noqa: PLC0415

        schema = self._info["config_schema"]
        defaults = {name: found["default"] for name, found in schema["properties"].items()}
        whole = {**defaults, **config}
        jsonschema_rs.validate(schema, whole)
        tester = self._started.enter_context(PluginTester(plugin, config=whole, **granted))

        def call(name: str, /, **arguments: object) -> Any:
            jsonschema_rs.validate(self._tools[name]["input_schema"], arguments)
            answer = tester.tool(name, **arguments)
            sent = json.loads(json.dumps(answer))
            jsonschema_rs.validate(self._tools[name]["output_schema"], sent)
            return answer

        call.tester = tester  # type: ignore[attr-defined]
        return call
