"""PluginSandbox: running handed-in code from Python, under the specification's names.

It speaks to the daemon, which holds every rule; what stands here is the caller's own, further
ceiling. The daemon's side of it is sandbox/code.py; the class of this name in sandbox/sandbox.py
is one running plugin's connections.
"""

import asyncio
from typing import Any

from pydantic import JsonValue

from orchestrator.client.client import DaemonClient
from orchestrator.errors import Kind, OrchestratorError
from orchestrator.model.manifest import LimitsOverride
from orchestrator.model.permissions import Permission
from orchestrator.model.policy import SecurityPolicy
from orchestrator.policy.grant import PermissionRefused, Refusal
from orchestrator.sandbox.code_result import CodeEnd


class CodeFailed(OrchestratorError):
    """The code was run and did not come to its end; `answer` holds its output and traceback."""

    kind, code = Kind.PLUGIN, "code_failed"

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(f"the code ended with {answer['reason']}: {answer['detail']}".rstrip(": "))
        self.answer = answer
        self.reason = CodeEnd(answer["reason"])


class PluginSandbox:
    """One caller's way into the code sandbox; every run is a sandbox of its own.

    Of `security_policy` it takes which permissions may be used at all and, where they are set, the
    limits of `code`; the daemon's own policy stands above both.
    """

    def __init__(
        self,
        security_policy: SecurityPolicy,
        *,
        daemon: DaemonClient,
        permissions: tuple[Permission, ...] = (),
    ) -> None:
        for permission in permissions:
            _check_allowed("code", permission.kind, security_policy)
        self.limits = _limits(security_policy)
        """What is asked of the daemon; a field that is not set is as its policy says."""
        self._policy = security_policy
        self._daemon = daemon
        self._permissions = permissions

    async def execute_plugin_code(self, code: str, context: JsonValue) -> Any:
        """The code's result. Raises CodeFailed, and DaemonProblem where nothing was run."""
        wish = {
            "code": code,
            "context": context,
            "permissions": [_as_sent(permission) for permission in self._permissions],
            "limits": self.limits.model_dump(exclude_none=True),
        }
        answer = await asyncio.to_thread(self._daemon.run_code, wish)
        if answer["reason"] != CodeEnd.OK:
            raise CodeFailed(answer)
        return answer["result"]

    def validate_permissions(self, plugin_id: str, permission: str) -> bool:
        """True if policy allows it and the plugin was granted it. Raises PermissionRefused.

        Raises DaemonProblem (plugin_not_found) for a plugin that is not deployed.
        """
        _check_allowed(plugin_id, permission, self._policy)
        granted = self._daemon.plugin(plugin_id)["deployment"]["permissions"]
        names = [each["kind"] for each in granted]
        if permission not in names:
            found = f"one that {plugin_id} was granted: {', '.join(names) or 'none'}"
            _refuse(plugin_id, "permission_not_granted", permission, found)
        return True


def _limits(policy: SecurityPolicy) -> LimitsOverride:
    """Those of `code` that were set, and not left at their defaults."""
    asked = {
        name: getattr(policy.code, field)
        for name, field in {
            "max_memory_mb": "max_memory_mb",
            "max_cpu_percent": "max_cpu_percent",
            "max_disk_mb": "max_disk_mb",
            "max_network_mb": "max_network_mb",
            "max_execution_time_sec": "timeout_seconds",
        }.items()
        if field in policy.code.model_fields_set
    }
    return LimitsOverride(**asked)


def _check_allowed(plugin_id: str, permission: str, policy: SecurityPolicy) -> None:
    if permission not in set(policy.permissions):
        allowed = f"one of policy.permissions: {', '.join(policy.permissions) or 'none'}"
        _refuse(plugin_id, "permission_forbidden", permission, allowed)


def _refuse(plugin_id: str, rule: str, permission: str, expected: str) -> None:
    refusal = Refusal(rule=rule, field="permission", found=repr(permission), expected=expected)
    raise PermissionRefused(plugin_id, (refusal,))


def _as_sent(permission: Permission) -> dict[str, JsonValue]:
    own = permission.model_dump(mode="json", exclude={"kind", "required", "reason"})
    return {permission.kind: own}
