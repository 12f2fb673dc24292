"""AuditEntry: one thing that somebody did, was allowed or was refused; and who takes it down."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

from pydantic import JsonValue

from orchestrator.errors import OrchestratorError


class AuditAction(StrEnum):
    """What was done or tried; docs/audit.md explains each."""

    COMMAND = "command"
    """An operator's command that changes something."""
    POLICY_DECISION = "policy_decision"
    PLUGIN_START = "plugin_start"
    PLUGIN_STOP = "plugin_stop"
    PLUGIN_FAILURE = "plugin_failure"
    ROLLOUT = "rollout"
    GIT_SYNC = "git_sync"
    """What became of a revision of the git repository, or of a change by hand."""
    PLUGIN_DRIFT = "plugin_drift"
    """Somebody changed a running container behind the orchestrator's back."""
    PERMISSION_GRANT = "permission_grant"
    PERMISSION_REVOKE = "permission_revoke"
    PERMISSION_RESET = "permission_reset"
    EGRESS = "egress"
    DATABASE = "database"
    HOST_CALL = "host_call"
    HOST_EVENT = "host_event"
    QUOTA = "quota"
    CODE_RUN = "code_run"
    STATE = "state"
    """What became of the orchestrator's own state: rebuilt, backed up, restored."""
    AUDIT_LOG = "audit_log"
    """The log's own notes: a torn line, entries that could not be written."""


class AuditOutcome(StrEnum):
    DONE = "done"
    ALLOWED = "allowed"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Who, what, when, why and how it ended. `data` holds no secret and no body."""

    at: float
    """Seconds since the epoch."""
    actor: str
    """`operator`, `orchestrator`, or `plugin:<id>`."""
    action: AuditAction
    outcome: AuditOutcome
    plugin_id: str = ""
    why: str = ""
    data: Mapping[str, JsonValue] = field(default_factory=lambda: MappingProxyType({}))


def evidence_of(error: OrchestratorError) -> dict[str, JsonValue]:
    """What an entry says of an error beside its words."""
    return {"code": error.code, "kind": error.kind}


class Auditor(Protocol):
    """Takes entries down in the order in which they come."""

    def record(self, entry: AuditEntry) -> None:
        """Quick; never raises: what cannot be written is counted and told by `status`."""
