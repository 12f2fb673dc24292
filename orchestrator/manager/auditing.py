"""What the fleet does, taken down in the audit log: a listener on the bus, and the decisions."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from pydantic import JsonValue

from orchestrator.clock import Clock
from orchestrator.errors import Kind, OrchestratorError
from orchestrator.manager.deployment import Deployment
from orchestrator.manager.held import HeldUpdate
from orchestrator.manager.resolve import ManifestsRefused
from orchestrator.model.audit import AuditAction, AuditEntry, Auditor, AuditOutcome, evidence_of
from orchestrator.model.events import EventName, PluginEvent
from orchestrator.model.policy import SecurityPolicy

MAX_WHY_CHARACTERS: Final = 2_000
_SHOWN_CHARACTERS: Final = 1_000
_SHORT_SHA: Final = 12
_TAKEN_DOWN: Final[Mapping[str, tuple[AuditAction, AuditOutcome]]] = MappingProxyType(
    {
        EventName.PLUGIN_STARTED: (AuditAction.PLUGIN_START, AuditOutcome.DONE),
        EventName.PLUGIN_ADOPTED: (AuditAction.PLUGIN_START, AuditOutcome.DONE),
        EventName.PLUGIN_START_FAILED: (AuditAction.PLUGIN_START, AuditOutcome.FAILED),
        EventName.PLUGIN_STOPPED: (AuditAction.PLUGIN_STOP, AuditOutcome.DONE),
        EventName.PLUGIN_DIED: (AuditAction.PLUGIN_FAILURE, AuditOutcome.FAILED),
        EventName.PLUGIN_STUCK: (AuditAction.PLUGIN_FAILURE, AuditOutcome.FAILED),
        EventName.PLUGIN_VANISHED: (AuditAction.PLUGIN_FAILURE, AuditOutcome.FAILED),
        EventName.PLUGIN_DRIFTED: (AuditAction.PLUGIN_DRIFT, AuditOutcome.DONE),
        EventName.PLUGIN_GAVE_UP: (AuditAction.PLUGIN_FAILURE, AuditOutcome.FAILED),
        EventName.PLUGIN_UNFIT: (AuditAction.PLUGIN_FAILURE, AuditOutcome.FAILED),
        EventName.ROLLOUT_COMPLETED: (AuditAction.ROLLOUT, AuditOutcome.DONE),
        EventName.ROLLOUT_FAILED: (AuditAction.ROLLOUT, AuditOutcome.FAILED),
        EventName.ROLLOUT_ROLLED_BACK: (AuditAction.ROLLOUT, AuditOutcome.DONE),
        EventName.GITOPS_SYNCED: (AuditAction.GIT_SYNC, AuditOutcome.DONE),
        EventName.GITOPS_FAILED: (AuditAction.GIT_SYNC, AuditOutcome.FAILED),
        EventName.GITOPS_REFUSED: (AuditAction.GIT_SYNC, AuditOutcome.REFUSED),
        EventName.GITOPS_ROLLED_BACK: (AuditAction.GIT_SYNC, AuditOutcome.DONE),
        EventName.GITOPS_HEALED: (AuditAction.GIT_SYNC, AuditOutcome.DONE),
        EventName.PLUGIN_OOM: (AuditAction.QUOTA, AuditOutcome.REFUSED),
        EventName.STATE_REBUILT: (AuditAction.STATE, AuditOutcome.FAILED),
        EventName.PLUGIN_QUOTA_EXCEEDED: (AuditAction.QUOTA, AuditOutcome.REFUSED),
    }
)


class Clerk:
    """Writes entries in the fleet's words."""

    def __init__(self, auditor: Auditor, clock: Clock) -> None:
        self.auditor = auditor
        self._clock = clock

    def hear(self, event: PluginEvent) -> None:
        """Take down what an event says; events of other kinds are passed over."""
        if event.type not in _TAKEN_DOWN:
            return
        action, outcome = _TAKEN_DOWN[event.type]
        data = dict(event.data)
        refused = data.pop("refused_by_policy", None)
        why = str(data.pop("why", "") or data.pop("reason", "") or data.get("detail", ""))
        why = why or _known(event)
        self._write(action, outcome, why=why, data=data, plugin_id=event.subject)
        for plugin_id, words in refused.items() if isinstance(refused, dict) else ():
            about = {"revision": data.get("revision", "")}
            self._refused_by_policy(plugin_id, str(words), about)

    def command(
        self, words: str, data: Mapping[str, JsonValue], *, who: str, why: str = ""
    ) -> None:
        """An operator's command that was carried out, or accepted to be."""
        told = {**data, **_from(who, why)}
        self._write(AuditAction.COMMAND, AuditOutcome.DONE, why=words, data=told, actor="operator")

    def refusal(self, words: str, error: OrchestratorError, *, who: str, why: str = "") -> None:
        """A command that was refused, and why."""
        data: dict[str, JsonValue] = {
            "command": words,
            **evidence_of(error),
            **_from(who, why),
        }
        self._write(
            AuditAction.COMMAND,
            AuditOutcome.REFUSED,
            why=str(error)[:MAX_WHY_CHARACTERS],
            data=data,
            actor="operator",
        )
        for one in error.errors if isinstance(error, ManifestsRefused) else (error,):
            if one.kind is Kind.DENIED and (plugin_id := str(getattr(one, "plugin_id", ""))):
                self._refused_by_policy(plugin_id, str(one), {"code": one.code, "user": who})

    def _refused_by_policy(self, plugin_id: str, why: str, data: Mapping[str, JsonValue]) -> None:
        """So that it is found where the plugin is looked for, too."""
        self._write(
            AuditAction.POLICY_DECISION,
            AuditOutcome.REFUSED,
            why=why[:MAX_WHY_CHARACTERS],
            data=data,
            plugin_id=plugin_id,
        )

    def call(self, plugin_id: str, tool: str, *, request_id: str, who: str) -> None:
        """An operator's call of a tool that is declared destructive, let through to the plugin."""
        self._write(
            AuditAction.COMMAND,
            AuditOutcome.ALLOWED,
            why=f"call {plugin_id} {tool}",
            data={"tool": tool, "request_id": request_id, "user": who},
            plugin_id=plugin_id,
            actor="operator",
        )

    def daemon(
        self, words: str, data: Mapping[str, JsonValue], *, who: str = "", why: str = ""
    ) -> None:
        """The daemon begins or ends; `who` is empty where no command said so."""
        told = {**data, **_from(who, why)} if who else data
        self._write(
            AuditAction.DAEMON,
            AuditOutcome.DONE,
            why=words,
            data=told,
            actor="operator" if who else "orchestrator",
        )

    def decisions(self, deployments: Iterable[Deployment]) -> None:
        """What policy gave each plugin."""
        for deployment in deployments:
            grant = deployment.grant
            data: dict[str, JsonValue] = {
                "granted": [permission.kind for permission in grant.permissions],
                "withheld": [held.permission for held in grant.withheld],
                "digest": deployment.compiled.digest,
                "image": deployment.inputs.image,
                "limits": grant.limits.model_dump(mode="json"),
            }
            self._write(
                AuditAction.POLICY_DECISION,
                AuditOutcome.ALLOWED,
                why="what the manifest grants is asked for and within policy",
                data=data,
                plugin_id=deployment.plugin_id,
            )

    def held(self, updates: Mapping[str, HeldUpdate]) -> None:
        """Updates that ask for more than before, and so wait."""
        for plugin_id, held in updates.items():
            data: dict[str, JsonValue] = {
                "update": held.update,
                "version": held.version,
                "differences": [*held.differences],
            }
            why = "the update asks for more than before: held until somebody grants it"
            self._write(
                AuditAction.POLICY_DECISION,
                AuditOutcome.REFUSED,
                why=why,
                data=data,
                plugin_id=plugin_id,
            )

    def permission(
        self,
        action: AuditAction,
        outcome: AuditOutcome,
        plugin_id: str,
        *,
        why: str,
        data: Mapping[str, JsonValue],
    ) -> None:
        """An operator's grant or revoke, whatever came of it."""
        self._write(action, outcome, why=why, data=data, plugin_id=plugin_id, actor="operator")

    def rollout(
        self,
        outcome: AuditOutcome,
        plugin_id: str,
        *,
        why: str,
        data: Mapping[str, JsonValue],
    ) -> None:
        """An operator's undo, pause or resume, whatever came of it."""
        self._write(
            AuditAction.ROLLOUT, outcome, why=why, data=data, plugin_id=plugin_id, actor="operator"
        )

    def _write(
        self,
        action: AuditAction,
        outcome: AuditOutcome,
        *,
        why: str,
        data: Mapping[str, JsonValue],
        plugin_id: str = "",
        actor: str = "orchestrator",
    ) -> None:
        self.auditor.record(
            AuditEntry(
                at=self._clock.now(),
                actor=actor,
                action=action,
                outcome=outcome,
                plugin_id=plugin_id,
                why=why,
                data=data,
            )
        )


def _known(event: PluginEvent) -> str:
    """Why, where nobody gave a reason: what led to it."""
    data = event.data
    match event.type:
        case EventName.ROLLOUT_COMPLETED:
            return f"revision {data.get('revision')}, version {data.get('version')}, does well"
        case EventName.GITOPS_SYNCED:
            sha = str(data.get("revision", ""))[:_SHORT_SHA]
            return f"git has revision {sha}: {data.get('subject', '')}"[:MAX_WHY_CHARACTERS]
        case _:
            return ""


def _from(who: str, reason: str) -> dict[str, JsonValue]:
    return {"user": who, "reason": reason} if reason else {"user": who}


def policy_told(
    config: Path | None, before: SecurityPolicy, after: SecurityPolicy
) -> dict[str, JsonValue]:
    """Under which policy a command was carried out, and what it changed of it. Pure."""
    was, now = before.model_dump(mode="json"), after.model_dump(mode="json")
    changed = [name for name in now if was.get(name) != now[name]]
    return {
        "config": str(config) if config is not None else "",
        "policy_digest": _digest(now),
        "policy_changed": {
            name: {"before": _shown(was.get(name)), "after": _shown(now[name])} for name in changed
        },
    }


def _shown(value: JsonValue) -> JsonValue:
    """A field of the policy, or its digest where it is too long for a record."""
    return value if len(json.dumps(value)) <= _SHOWN_CHARACTERS else f"sha256:{_digest(value)}"


def _digest(value: JsonValue) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
