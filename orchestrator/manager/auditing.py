"""What the fleet does, taken down in the audit log: a listener on the bus, and the decisions."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from pydantic import JsonValue

from orchestrator.clock import Clock
from orchestrator.errors import OrchestratorError
from orchestrator.manager.deployment import Deployment
from orchestrator.manager.held import HeldUpdate
from orchestrator.model.audit import AuditAction, AuditEntry, Auditor, AuditOutcome, evidence_of
from orchestrator.model.events import EventName, PluginEvent

MAX_WHY_CHARACTERS: Final = 2_000
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
        self._auditor = auditor
        self._clock = clock

    def hear(self, event: PluginEvent) -> None:
        """Take down what an event says; events of other kinds are passed over."""
        if event.type not in _TAKEN_DOWN:
            return
        action, outcome = _TAKEN_DOWN[event.type]
        data = dict(event.data)
        why = str(data.pop("why", "") or data.pop("reason", "") or data.get("detail", ""))
        self._write(action, outcome, why=why, data=data, plugin_id=event.subject)

    def command(self, words: str, data: Mapping[str, JsonValue]) -> None:
        """An operator's command that was carried out, or accepted to be."""
        self._write(AuditAction.COMMAND, AuditOutcome.DONE, why=words, data=data, actor="operator")

    def refusal(self, words: str, error: OrchestratorError) -> None:
        """A command that was refused, and why."""
        data: dict[str, JsonValue] = {"command": words, **evidence_of(error)}
        self._write(
            AuditAction.COMMAND,
            AuditOutcome.REFUSED,
            why=str(error)[:MAX_WHY_CHARACTERS],
            data=data,
            actor="operator",
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
        self._auditor.record(
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
