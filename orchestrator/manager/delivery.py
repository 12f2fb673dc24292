"""Delivery: events from the bus to the plugins that subscribed, in memory and in order.

An event goes to a plugin's events lane, one at a time; an answer other than 2xx is tried again a
few times and then given up. What must survive the daemon is not this module's promise.
"""

import json
from datetime import UTC, datetime

from pydantic import JsonValue

from orchestrator.manager.fleet import Fleet
from orchestrator.model.events import PluginEvent
from orchestrator.sandbox.sandbox import PluginSandbox, SandboxState


def matches(subscription: str, event_type: str) -> bool:
    """`a.b.*` fits everything below `a.b`; anything else fits itself."""
    if subscription.endswith(".*"):
        return event_type.startswith(subscription[:-1])
    return subscription == event_type


def as_cloud_event(event: PluginEvent) -> dict[str, JsonValue]:
    """In the CloudEvents JSON format's words."""
    return {
        "specversion": "1.0",
        "id": event.event_id,
        "type": event.type,
        "source": event.source,
        "subject": event.subject,
        "time": datetime.fromtimestamp(event.at, tz=UTC).isoformat(),
        "datacontenttype": "application/json",
        "data": dict(event.data),
    }


class Delivery:
    """A listener on the bus."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def hear(self, event: PluginEvent) -> None:
        """Send it to every running plugin that subscribed; not back to the one that published."""
        body: bytes | None = None
        for sandbox in self._fleet.sandboxes.values():
            if self._wants(sandbox, event):
                body = body or json.dumps(as_cloud_event(event)).encode()
                sandbox.deliver(event.event_id, body)

    def _wants(self, sandbox: PluginSandbox, event: PluginEvent) -> bool:
        info = sandbox.info
        return (
            sandbox.state is SandboxState.READY
            and event.source != f"plugin/{info.plugin_id}"
            and any(matches(subscription, event.type) for subscription in info.subscribes)
        )
