"""Bringing one container up: socket, start boost, dial-in, initialize, ready.

The order matters. The socket is there before the container starts; the container starts with the
boosted CPU quota and has its own before `initialize` returns; and only an initialised plugin gets
calls.
"""

import asyncio
import json
from pathlib import Path
from typing import Final

from orchestrator.engine.base import Engine
from orchestrator.errors import Kind, OrchestratorError
from orchestrator.manager.deployment import Deployment
from orchestrator.model.policy import LifecyclePolicy
from orchestrator.policy.compile import initialize_context
from orchestrator.sandbox.call import CallFailure
from orchestrator.sandbox.sandbox import PluginSandbox
from orchestrator.version import CORE_VERSION

MAX_REASON_CHARACTERS: Final = 500
DIED_AT_START: Final = "died_at_start"


class StartFailed(OrchestratorError):
    """A plugin that did not come up, through its own fault."""

    kind, code = Kind.PLUGIN, "start_failed"

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


async def start_and_initialize(
    engine: Engine,
    sandbox: PluginSandbox,
    container_id: str,
    deployment: Deployment,
    policy: LifecyclePolicy,
) -> None:
    """From a stopped container, its quota boosted, to an initialised plugin.

    Raises StartFailed, and what `Engine.start` raises; the container is left as it is then.
    """
    compiled = deployment.compiled
    await sandbox.listen(Path(compiled.sockets_folder))
    await engine.start(container_id)
    await dial_in(sandbox, policy.start_deadline_seconds)
    async with asyncio.TaskGroup() as group:
        if compiled.start_cpu_percent != compiled.spec.cpu_percent:
            group.create_task(engine.set_cpu(container_id, cpu_percent=compiled.spec.cpu_percent))
        initialized = group.create_task(
            initialize(sandbox, deployment, policy.start_deadline_seconds)
        )
    problem = initialized.result()
    if problem is not None:
        raise problem


async def dial_in(sandbox: PluginSandbox, deadline_seconds: float) -> None:
    """Wait for the plugin on all its lanes. Raises StartFailed."""
    try:
        async with asyncio.timeout(deadline_seconds):
            connected = await sandbox.connected()
    except TimeoutError:
        raise StartFailed(
            "start_deadline",
            f"the plugin was not connected on its lanes within {deadline_seconds:g} s "
            f"({sandbox.lanes_in_words()})",
        ) from None
    if not connected:
        raise StartFailed(DIED_AT_START, sandbox.trouble or "the plugin ended before it dialled")


async def initialize(
    sandbox: PluginSandbox, deployment: Deployment, deadline_seconds: float
) -> StartFailed | None:
    """`POST /v1/initialize`; why it failed, or None."""
    grant = deployment.grant
    body = json.dumps(
        {
            "plugin_id": deployment.plugin_id,
            "instance_id": deployment.compiled.sandbox_id,
            "config": dict(grant.config),
            "context": {**initialize_context(grant), "core_version": CORE_VERSION},
        }
    ).encode()
    reply = await sandbox.control("POST", "/v1/initialize", body, deadline_seconds=deadline_seconds)
    if isinstance(reply, CallFailure):
        return StartFailed("initialize_failed", f"initialize: {reply.detail}")
    if reply.status >= 300:  # noqa: PLR2004 - anything but success
        return StartFailed(
            "initialize_refused", f"initialize: {in_words(reply.status, reply.body)}"
        )
    return None


def in_words(status: int, body: bytes) -> str:
    """A plugin's problem+json, shortened; its text is data, whatever it says."""
    try:
        problem = json.loads(body)
    except (ValueError, RecursionError):
        problem = None
    said = problem if isinstance(problem, dict) else {}
    texts = (said.get("detail"), said.get("title"), body.decode("utf-8", "replace"))
    text = next(each for each in texts if isinstance(each, str) and (each or each is texts[-1]))
    return f"status {status}: {plain(text, MAX_REASON_CHARACTERS)}"


def plain(text: str, most: int) -> str:
    """Cut, and without the halves of characters that JSON can hold and no file can."""
    return text[:most].encode("utf-8", "replace").decode()
