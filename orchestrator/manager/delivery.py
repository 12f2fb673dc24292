"""Delivery: from the durable queues to the plugins, over their events lanes.

A subscriber is a plugin by its id: what waits for it outlives its container, its revision and the
daemon.
"""

from collections.abc import Callable, Sequence

from orchestrator.events.queue import Answer
from orchestrator.events.queues import EventQueues
from orchestrator.manager.actions import Sleep
from orchestrator.manager.fleet import Fleet
from orchestrator.model.events import EventName, PluginEvent, matches
from orchestrator.sandbox.call import CallFailure, FailureCode
from orchestrator.sandbox.sandbox import PluginSandbox, SandboxState
from orchestrator.store.event_values import Due

_AWAY = frozenset({FailureCode.PLUGIN_RESTARTED, FailureCode.PLUGIN_NOT_RUNNING})
"""It was stopped or replaced meanwhile: no fault of the event, nor of the plugin."""
_ARRIVALS = frozenset({EventName.PLUGIN_STARTED, EventName.PLUGIN_ADOPTED})


class FleetSubscribers:
    """Implements Subscribers over the fleet."""

    def __init__(self, fleet: Fleet, wake_loop: Callable[[], None]) -> None:
        self._fleet = fleet
        self._wake_loop = wake_loop

    def of(self, event_type: str, source: str) -> Sequence[str]:
        """Whoever subscribed, running or not; not the one that published."""
        earlier = self._fleet.earlier
        return [
            plugin_id
            for plugin_id, deployment in self._fleet.deployments.items()
            # First what costs least: most subscribe to nothing, and events may be many.
            if (deployment.inputs.info.subscribes or plugin_id in earlier)
            and self.wants(plugin_id, event_type)
            and source != f"plugin/{plugin_id}"
        ]

    def wants(self, subscriber: str, event_type: str) -> bool:
        """The wanted revision or, while it is being replaced, the one in service."""
        deployment = self._fleet.deployments.get(subscriber)
        if deployment is None:
            return True
        in_service = self._fleet.routes.get(subscriber, ())
        return _wants(deployment.inputs.info.subscribes, event_type) or any(
            _wants(sandbox.info.subscribes, event_type) for sandbox in in_service
        )

    def is_known(self, subscriber: str) -> bool:
        # Where nobody said what is wanted, or what was said is lost, this may be.
        fleet = self._fleet
        unsure = not fleet.told or fleet.rebuilt is not None
        return unsure or subscriber in fleet.deployments or subscriber in fleet.unread

    def carry(self, subscriber: str, due: Due, done: Callable[[Answer], None]) -> bool:
        sandbox = self._fleet.sandbox(subscriber)
        if sandbox is None:
            self._rouse(subscriber)
            return False
        if not _wants(sandbox.info.subscribes, due.type):
            return False  # an earlier revision; the next one subscribes to it
        sandbox.deliver(due.event_id, due.body, lambda end: done(_answer(end, sandbox)))
        return True

    def _rouse(self, subscriber: str) -> None:
        """An event wakes a plugin that sleeps, as a call does."""
        known = subscriber in self._fleet.deployments
        if known and self._fleet.sleep(subscriber)[0] is not Sleep.AWAKE:
            self._fleet.touch(subscriber)
            self._wake_loop()


def wake_on_arrival(queues: EventQueues) -> Callable[[PluginEvent], None]:
    """A listener on the bus: a plugin that has come up gets what waited for it."""

    def hear(event: PluginEvent) -> None:
        if event.type in _ARRIVALS:
            queues.wake(event.subject)

    return hear


def _wants(subscribes: Sequence[str], event_type: str) -> bool:
    return any(matches(subscription, event_type) for subscription in subscribes)


def _answer(end: int | CallFailure, sandbox: PluginSandbox) -> Answer:
    if isinstance(end, CallFailure):
        # One that crashed over it was ready until then.
        stopped = end.code in _AWAY or sandbox.state is not SandboxState.READY
        return Answer(taken=False, reason=f"{end.code}: {end.detail}", is_try=not stopped)
    if 200 <= end < 300:  # noqa: PLR2004 - success
        return Answer(taken=True)
    return Answer(taken=False, reason=f"it answered with status {end}")
