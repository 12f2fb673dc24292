"""PluginEvent: a CloudEvent 1.0. Everything that happens is one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType

from pydantic import JsonValue


class EventName(StrEnum):
    """The orchestrator's own event types, in the past tense; docs/events.md explains each."""

    PLUGIN_STARTED = "orchestrator.plugin.started"
    PLUGIN_ADOPTED = "orchestrator.plugin.adopted"
    PLUGIN_STOPPED = "orchestrator.plugin.stopped"
    PLUGIN_START_FAILED = "orchestrator.plugin.start_failed"
    PLUGIN_DIED = "orchestrator.plugin.died"
    PLUGIN_STUCK = "orchestrator.plugin.stuck"
    PLUGIN_VANISHED = "orchestrator.plugin.vanished"
    PLUGIN_DRIFTED = "orchestrator.plugin.drifted"
    PLUGIN_GAVE_UP = "orchestrator.plugin.gave_up"
    PLUGIN_DEGRADED = "orchestrator.plugin.degraded"
    PLUGIN_RECOVERED = "orchestrator.plugin.recovered"
    PLUGIN_UNFIT = "orchestrator.plugin.unfit"
    PLUGIN_OOM = "orchestrator.plugin.oom"
    PLUGIN_QUOTA_EXCEEDED = "orchestrator.plugin.quota_exceeded"
    DESIRED_CHANGED = "orchestrator.desired.changed"
    STATE_REBUILT = "orchestrator.state.rebuilt"
    EVENT_DEAD = "orchestrator.event.dead"
    EVENT_DROPPED = "orchestrator.event.dropped"
    ROLLOUT_STARTED = "orchestrator.rollout.started"
    ROLLOUT_COMPLETED = "orchestrator.rollout.completed"
    ROLLOUT_FAILED = "orchestrator.rollout.failed"
    ROLLOUT_ROLLED_BACK = "orchestrator.rollout.rolled_back"
    ROLLOUT_PAUSED = "orchestrator.rollout.paused"
    ROLLOUT_RESUMED = "orchestrator.rollout.resumed"
    GITOPS_STARTED = "orchestrator.gitops.started"
    GITOPS_SYNCED = "orchestrator.gitops.synced"
    GITOPS_FAILED = "orchestrator.gitops.failed"
    GITOPS_REFUSED = "orchestrator.gitops.refused"
    GITOPS_ROLLED_BACK = "orchestrator.gitops.rolled_back"
    GITOPS_HEALED = "orchestrator.gitops.healed"
    GITOPS_UNREACHABLE = "orchestrator.gitops.unreachable"
    GITOPS_REACHED = "orchestrator.gitops.reached"
    GITOPS_SUSPENDED = "orchestrator.gitops.suspended"
    GITOPS_RESUMED = "orchestrator.gitops.resumed"
    ENGINE_LOST = "orchestrator.engine.lost"
    ENGINE_FOUND = "orchestrator.engine.found"
    ORPHANS_REMOVED = "orchestrator.orphans.removed"
    DAEMON_TASK_FAILED = "orchestrator.daemon.task_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginEvent:
    """Flat and frozen; `data` is the only part that differs by type."""

    event_id: str
    type: str
    source: str
    at: float
    """Seconds since the epoch."""
    subject: str = ""
    """The plugin it is about."""
    data: Mapping[str, JsonValue] = field(default_factory=lambda: MappingProxyType({}))
    traceparent: str = ""
    """Of the call in which it was published; CloudEvents' extension for traces."""


def matches(subscription: str, event_type: str) -> bool:
    """`a.b.*` fits everything below `a.b`; anything else fits itself."""
    if subscription.endswith(".*"):
        return event_type.startswith(subscription[:-1])
    return subscription == event_type


def as_cloud_event(event: PluginEvent) -> dict[str, JsonValue]:
    """In the CloudEvents JSON format's words."""
    trace: dict[str, JsonValue] = {"traceparent": event.traceparent} if event.traceparent else {}
    return {
        "specversion": "1.0",
        "id": event.event_id,
        "type": event.type,
        "source": event.source,
        "subject": event.subject,
        "time": datetime.fromtimestamp(event.at, tz=UTC).isoformat(),
        "datacontenttype": "application/json",
        **trace,
        "data": dict(event.data),
    }
