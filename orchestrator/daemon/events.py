"""The durable half of the event bus, put together."""

import asyncio
import logging
from contextlib import AsyncExitStack

from orchestrator.clock import Clock
from orchestrator.daemon.settings import DaemonSettings
from orchestrator.events.bus import PluginEventBus
from orchestrator.events.desk import EventDesk
from orchestrator.events.queues import EventQueues
from orchestrator.events.steady import Steady
from orchestrator.events.writer import GroupWriter
from orchestrator.manager.delivery import FleetSubscribers, wake_on_arrival
from orchestrator.manager.manager import PluginManager
from orchestrator.sandbox.deadlines import DeadlineWheel
from orchestrator.store.event_log import EventLog

_LOG = logging.getLogger("orchestrator")


def open_events(
    settings: DaemonSettings,
    stack: AsyncExitStack,
    *,
    bus: PluginEventBus,
    manager: PluginManager,
    clock: Clock,
    wheel: DeadlineWheel,
) -> EventDesk:
    """After `restore`: what waits belongs to the plugins that were deployed then.

    Raises StoreUnavailable, EventLogTooNew.
    """
    log = EventLog.open(settings.event_log)
    if log.found:
        _LOG.error("%s", log.found)
    tallies, (ahead, latest) = log.tallies(), log.times()
    writer = GroupWriter(log, asyncio.get_running_loop())
    stack.callback(writer.close)
    queues = EventQueues(
        writer=writer,
        log=log,
        carrier=FleetSubscribers(manager.fleet, manager.loop.wake),
        policy=lambda: manager.policy.events,
        time=Steady(clock, ahead=ahead, latest=latest),
        after=wheel.after,
        tell=bus.publish,
    )
    queues.restore(tallies)
    bus.attach(queues)
    bus.listen(wake_on_arrival(queues))
    return EventDesk(bus, queues, writer, found=log.found)
