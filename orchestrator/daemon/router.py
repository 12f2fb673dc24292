"""ManagerRouter: from a plugin's id to the sandbox that takes its calls."""

from orchestrator.manager.auditing import Clerk
from orchestrator.manager.manager import PluginManager
from orchestrator.sandbox.call import Call, CallFailure, FailureCode
from orchestrator.sandbox.lobby import Lobby
from orchestrator.sandbox.sandbox import PluginSandbox


class ManagerRouter:
    """Routes calls to the sandbox of a plugin."""

    def __init__(self, manager: PluginManager, clerk: Clerk | None = None) -> None:
        self._manager = manager
        self._clerk = clerk
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

    def dispatching(self, plugin_id: str, call: Call, user: str) -> None:
        """Only what is declared destructive is taken down: reading must stay as quick as it is."""
        deployment = self._manager.fleet.deployments.get(plugin_id)
        if deployment is None or self._clerk is None:
            return
        for tool in deployment.inputs.info.tools:
            if tool.name == call.tool and tool.destructive:
                self._clerk.call(plugin_id, call.tool, request_id=call.request_id, who=user)

    def refused(self, plugin_id: str, call: Call, failure: CallFailure) -> None:
        self._doors.observer.ended(plugin_id, call, failure.code, 0.0, 0.0)
