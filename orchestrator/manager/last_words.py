"""Listener: the last lines of a failed plugin's log and what may mend it, kept for `status`.

They are no part of an event: events reach the plugins that subscribe to them, the daemon's log and
the audit log, and what a plugin wrote is for its operator alone.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Final

from orchestrator.engine.base import Engine, LogLine, Probe
from orchestrator.errors import OrchestratorError
from orchestrator.manager.deployment import Deployment
from orchestrator.manager.desired import promised
from orchestrator.manager.fleet import Fleet
from orchestrator.manager.repairs import Failure, hints, repairs
from orchestrator.manager.secret_use import secrets_of
from orchestrator.manager.secrets import SecretReader
from orchestrator.model.container import ContainerPhase, ContainerState
from orchestrator.model.status import LastWords
from orchestrator.policy.admission import capacity_bytes, promised_to_code

MAX_LINES: Final = 20
MAX_LINE_CHARACTERS: Final = 300
GATHER_SECONDS: Final = 10.0
ROLLBACK_SECONDS: Final = 3.0
"""A way back waits no longer than that for words."""
SHORTEST_SECRET: Final = 6
"""Shorter ones would blacken half of what is said, and hide nothing."""
_MEBIBYTE: Final = 1 << 20


class Listener:
    """Reads logs; what they point to is said by repairs.py."""

    def __init__(
        self,
        *,
        fleet: Fleet,
        engine: Engine,
        probe: Probe,
        secrets: SecretReader,
    ) -> None:
        self._secrets = secrets
        self._fleet = fleet
        self._engine = engine
        self._probe = probe

    async def last_words(self, plugin_id: str) -> LastWords:
        """Of its last failure; an engine that does not answer takes lines away, no more."""
        deployment = self._fleet.deployments.get(plugin_id)
        history = self._fleet.plugin_history(plugin_id)
        if deployment is None or not history.reason:
            return LastWords()
        lines = await self._lines(plugin_id, deployment, self._ended(plugin_id))
        return await self._words(deployment, history.reason, lines)

    async def before_rollback(self, deployment: Deployment, *, gone: bool) -> LastWords:
        """Of a revision that failed, which need not have ended: it may never have been well.

        `gone` is whether its container goes. What comes too late is what was kept before.
        """
        name = deployment.plugin_id
        reason = self._fleet.plugin_history(name).reason
        try:
            async with asyncio.timeout(ROLLBACK_SECONDS):
                lines = await self._lines(name, deployment, self._revisions(deployment))
                return await self._words(deployment, reason, lines, gone=gone)
        except TimeoutError:
            return self._fleet.last_words.get(name, LastWords())

    async def _words(
        self, deployment: Deployment, reason: str, lines: tuple[str, ...], *, gone: bool = False
    ) -> LastWords:
        policy = self._fleet.policy
        failure = Failure(
            plugin_id=deployment.plugin_id,
            reason=reason,
            lines=lines,
            manifest=deployment.inputs.origin,
            limits=deployment.grant.limits,
            ceilings=policy.ceilings,
            start_deadline_seconds=policy.lifecycle.start_deadline_seconds,
            memory_room_mb=await self._room_mb(deployment.plugin_id)
            if reason == "oom_killed"
            else None,
            gone_back_from=gone,
        )
        return LastWords(lines=lines, hints=hints(failure), repairs=repairs(failure))

    async def _lines(
        self, plugin_id: str, deployment: Deployment, container: ContainerState | None
    ) -> tuple[str, ...]:
        if container is None:
            return self._fleet.last_words.get(plugin_id, LastWords()).lines
        # Of the run that ended, unless the next has begun.
        since = container.started_at if container.phase is ContainerPhase.EXITED else 0.0
        lines = self._engine.logs(container.container_id, follow=False, since=since, tail=MAX_LINES)
        found: list[LogLine] = []
        with contextlib.suppress(OrchestratorError, TimeoutError):
            async with asyncio.timeout(GATHER_SECONDS):
                found = [line async for line in lines]
        secrets = _secrets(deployment, self._secrets)
        return tuple(harmless(line.text, secrets) for line in found[-MAX_LINES:])

    def _revisions(self, deployment: Deployment) -> ContainerState | None:
        """That of the revision: the one that ended last, or one that has not."""
        mine = [
            sighting.container
            for sighting in self._fleet.seen().get(deployment.plugin_id, [])
            if sighting.digest == deployment.compiled.digest
        ]
        return max(mine, key=lambda container: container.finished_at, default=None)

    def _ended(self, plugin_id: str) -> ContainerState | None:
        """The one that ended last."""
        ended = [
            sighting.container
            for sighting in self._fleet.seen().get(plugin_id, [])
            if sighting.container.finished_at
        ]
        return max(ended, key=lambda container: container.finished_at, default=None)

    async def _room_mb(self, plugin_id: str) -> int | None:
        policy = self._fleet.policy
        try:
            host = await self._probe.info()
        except OrchestratorError:
            return None
        others = promised(self._fleet.deployments, first=())
        taken = sum(size for name, size in others if name != plugin_id)
        taken += promised_to_code(policy)[1]
        room = capacity_bytes(host.memory_bytes, policy.memory_overcommit) - taken
        return max(0, room // _MEBIBYTE)


def harmless(text: str, secrets: Mapping[str, str]) -> str:
    """A line that drives no terminal and shows no secret, cut."""
    for name, value in secrets.items():
        text = text.replace(value, f"[secret {name}]")
    shown = "".join(
        c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    )
    return shown[:MAX_LINE_CHARACTERS]


def _secrets(deployment: Deployment, reader: SecretReader) -> dict[str, str]:
    """Name → value as it is now; the longest first, as one may be part of another."""
    found = {}
    for name, reference in secrets_of(deployment.inputs).items():
        with contextlib.suppress(OrchestratorError):
            value = reader.value(reference).decode("utf-8", "replace").strip()
            if len(value) >= SHORTEST_SECRET:
                found[name] = value
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))
