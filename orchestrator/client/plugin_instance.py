"""PluginInstance: the handle of one deployed plugin, under the specification's name."""

import json
import time
from typing import Any, Final

from pydantic import JsonValue

from orchestrator.client.client import CallResult, DaemonClient
from orchestrator.client.problem import problem_of
from orchestrator.client.settled import is_failed, settled
from orchestrator.errors import Kind, OrchestratorError
from orchestrator.model.info import PluginInfo
from orchestrator.model.status import PluginState

LOAD_SECONDS: Final = 1_800.0
"""Longest wait for a plugin: base image and its own image built from nothing."""
_POLL_SECONDS: Final = 0.1
_OK_BELOW: Final = 300
_OURS: Final = "urn:orchestrator:error:"


class PluginNotReady(OrchestratorError):
    """It was deployed and did not come to take calls; `row` is its status."""

    kind, code = Kind.PLUGIN, "plugin_not_ready"

    def __init__(self, row: dict[str, Any], expected: str) -> None:
        super().__init__(
            f"{row['plugin_id']}: found {row['status']} ({row['detail']}), expected {expected}"
        )
        self.row = row


class PluginFailed(OrchestratorError):
    """The plugin answered a call with a problem of its own."""

    kind, code = Kind.PLUGIN, "plugin_failed"

    def __init__(self, plugin_id: str, status: int, problem: dict[str, Any]) -> None:
        words = problem.get("detail") or problem.get("title") or "no words"
        super().__init__(f"{plugin_id} answered {status}: {str(words)[:1_000]}")
        self.status = status
        self.problem = problem


class PluginInstance:
    """One per plugin, however many containers it has; made by `PluginRegistry.load_plugin`."""

    def __init__(self, info: PluginInfo, daemon: DaemonClient) -> None:
        self.info = info
        self._daemon = daemon

    @property
    def plugin_id(self) -> str:
        return self.info.plugin_id

    @property
    def status(self) -> PluginState:
        """Now. Raises DaemonProblem (plugin_not_found) when it was unloaded."""
        return PluginState(self._daemon.plugin(self.plugin_id)["status"])

    def execute(
        self,
        input_data: JsonValue,
        *,
        tool: str | None = None,
        timeout_seconds: float | None = None,
    ) -> Any:
        """What the plugin makes of it.

        Raises DaemonProblem where it could not be called or passed its limits, PluginFailed where
        it answered with a problem of its own.
        """
        result = self._daemon.call(
            self.plugin_id,
            json.dumps(input_data).encode(),
            content_type="application/json",
            tool=tool,
            timeout_seconds=timeout_seconds,
        )
        return _answer(self.plugin_id, result)

    def wait(
        self, state: PluginState = PluginState.ACTIVE, *, seconds: float = LOAD_SECONDS
    ) -> dict[str, Any]:
        """Its status once it takes calls, or is stopped. Raises PluginNotReady."""
        until = time.monotonic() + seconds
        while True:
            row = self._daemon.plugin(self.plugin_id)
            if settled(row) and row["status"] == state and not is_failed(row):
                return row
            hopeless = settled(row) and is_failed(row)
            if hopeless or time.monotonic() > until:
                raise PluginNotReady(row, f"it to be {state}")
            time.sleep(_POLL_SECONDS)


def execute_plugin_safely(
    plugin: PluginInstance, input_data: JsonValue, *, timeout_seconds: float | None = None
) -> Any:
    """Call it under the limits that it was granted: time, memory and CPU of its container.

    `timeout_seconds` can only shorten `max_execution_time_sec`. Raises what `execute` raises.
    """
    return plugin.execute(input_data, timeout_seconds=timeout_seconds)


def _answer(plugin_id: str, result: CallResult) -> Any:
    if result.status < _OK_BELOW:
        if result.content_type.startswith("application/json"):
            return json.loads(result.body)
        return result.body
    problem = problem_of(result.status, result.body)
    if str(problem.problem.get("type", "")).startswith(_OURS):
        raise problem
    raise PluginFailed(plugin_id, result.status, problem.problem)
