"""Hooks: calls of plugins' tools before and after a revision is taken up."""

import json
from collections.abc import Mapping

from pydantic import JsonValue

from orchestrator.engine.command import clean_line
from orchestrator.errors import Kind, OrchestratorError
from orchestrator.manager.doors import Doors
from orchestrator.model.git import SyncHook
from orchestrator.sandbox.call import Call, CallFailure
from orchestrator.sandbox.desk import invoke

MAX_WORDS = 300
_REFUSED = 400


class GitHookFailed(OrchestratorError):
    """A hook's plugin does not run, or its tool answered with an error."""

    kind, code = Kind.PLUGIN, "git_hook_failed"


class Hooks:
    """Calls as any caller's: the tool's schema, the plugin's limits and its deadline hold."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors

    async def call(self, hook: SyncHook, *, request_id: str, words: Mapping[str, str]) -> None:
        """`words` stand in for `$NAME` in the input. Raises GitHookFailed.

        A daemon that is killed meanwhile calls again, with the same request id.
        """
        name = f"hook {hook.plugin} {hook.tool}"
        door = self._doors.door(hook.plugin)
        if door is None:
            raise GitHookFailed(f"{name}: found no such plugin running")
        body = json.dumps(_filled(hook.input, words)).encode()
        call = Call(
            request_id=request_id,
            deadline_seconds=door.deadline_seconds(hook.timeout_seconds),
            tool=hook.tool,
            content_length=len(body),
            caller="orchestrator",
        )
        reply = await invoke(door, call, body)
        if isinstance(reply, CallFailure):
            raise GitHookFailed(f"{name}: {reply.code}: {clean_line(reply.detail)[:MAX_WORDS]}")
        if reply.status >= _REFUSED:
            said = clean_line(reply.body[:MAX_WORDS].decode(errors="replace"))
            raise GitHookFailed(f"{name}: it answered {reply.status}: {said}")


def _filled(value: JsonValue, words: Mapping[str, str]) -> JsonValue:
    if isinstance(value, dict):
        return {key: _filled(item, words) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, words) for item in value]
    return words.get(value, value) if isinstance(value, str) else value
