"""ManagerRouter: from a plugin's id to the sandbox that takes its calls."""

from orchestrator.manager.manager import PluginManager
from orchestrator.sandbox.call import Call, CallFailure, FailureCode
from orchestrator.sandbox.lobby import Lobby
from orchestrator.sandbox.sandbox import PluginSandbox


class ManagerRouter:
    """Routes calls to the sandbox of a plugin."""

    def __init__(self, manager: PluginManager) -> None:
        self._manager = manager
        self._doors = manager.loop.doors

    @property
    def max_request_bytes(self) -> int:
        return self._manager.policy.calls.max_request_mb << 20

    def route(self, plugin_id: str) -> PluginSandbox | Lobby | CallFailure:
        door = self._doors.door(plugin_id)
        if door is not None:
            return door
        self._manager.deployment(plugin_id)
        return CallFailure(
            code=FailureCode.PLUGIN_NOT_RUNNING,
            detail=f"{plugin_id} is not running; `orchestrator status {plugin_id}` says why",
            repeat="safe",
        )

    def admitted(self, plugin_id: str) -> PluginSandbox | Lobby | CallFailure:
        return self.route(plugin_id)

    def refused(self, plugin_id: str, call: Call, failure: CallFailure) -> None:
        self._doors.observer.ended(plugin_id, call, failure.code, 0.0, 0.0)
