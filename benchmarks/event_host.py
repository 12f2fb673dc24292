# ruff: noqa: INP001, T201 - a script that prints
"""The host's side of event_fanout.py: broker, bus, event log and lanes, until it is killed."""

import argparse
import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import uvloop

from orchestrator.clock import SystemClock
from orchestrator.events.bus import PluginEventBus
from orchestrator.events.queue import Answer
from orchestrator.events.queues import EventQueues
from orchestrator.events.steady import Steady
from orchestrator.events.writer import GroupWriter
from orchestrator.model.audit import AuditEntry
from orchestrator.model.info import PluginCategory, PluginInfo
from orchestrator.model.limits import ResourceLimits
from orchestrator.model.policy import CallPolicy, EventPolicy
from orchestrator.sandbox.broker import RefusalCode, Refused
from orchestrator.sandbox.call import Call, CallFailure, FailureCode, Reply
from orchestrator.sandbox.callers import CallLedger, RunningCall
from orchestrator.sandbox.deadlines import DeadlineWheel
from orchestrator.sandbox.host_api import Callee, HostBounds, HostGrant
from orchestrator.sandbox.host_broker import HostBroker
from orchestrator.sandbox.host_events import Publication
from orchestrator.sandbox.sandbox import PluginSandbox
from orchestrator.store.event_log import EventLog
from orchestrator.store.event_schema import IN_MEMORY
from orchestrator.store.event_values import Due

SUBSCRIBERS = 20
TYPE = "bench.happened"


class Lanes:
    """Implements Subscribers: every plugin gets everything."""

    def __init__(self) -> None:
        self.sandboxes: dict[str, PluginSandbox] = {}

    def of(self, event_type: str, source: str) -> Sequence[str]:
        return list(self.sandboxes)

    def wants(self, subscriber: str, event_type: str) -> bool:
        return True

    def is_known(self, subscriber: str) -> bool:
        return True

    def carry(self, subscriber: str, due: Due, done: Callable[[Answer], None]) -> bool:
        sandbox = self.sandboxes[subscriber]
        if not sandbox.is_connected:
            return False

        def ended(end: int | CallFailure) -> None:
            taken = isinstance(end, int)
            done(Answer(taken=taken, reason="" if taken else str(end), is_try=False))

        sandbox.deliver(due.event_id, due.body, ended)
        return True


class Publishing:
    """Implements Neighbours, as far as a publisher needs it."""

    def __init__(self, bus: PluginEventBus) -> None:
        self._bus = bus
        self.callers = CallLedger(time.monotonic)

    async def publish(self, publication: Publication) -> str:
        event = self._bus.event(
            publication.type, source=publication.source, subject="", data=publication.data
        )
        try:
            return (await self._bus.accept(event, own_id=publication.event_id)).event_id
        except Exception as error:
            raise Refused(RefusalCode.EVENTS_FULL, str(error)) from error

    async def call(
        self, plugin_id: str, call: Call, body: bytes, *, inherited: RunningCall
    ) -> Reply | CallFailure:
        return CallFailure(code=FailureCode.PLUGIN_NOT_RUNNING, detail="")

    def find(self, plugin_id: str) -> Callee | None:
        return None

    def failure(self, failure: CallFailure) -> tuple[int, bytes]:
        return 503, b"{}"

    def new_request_id(self) -> str:
        return "r"


class NoAudit:
    def record(self, entry: AuditEntry) -> None: ...


async def host(folder: Path, *, durable: bool) -> None:
    """Until it is killed."""
    loop = asyncio.get_running_loop()
    wheel, clock, lanes = DeadlineWheel(loop), SystemClock(), Lanes()
    bus = PluginEventBus(clock=clock, instance="bench")
    log = EventLog.open(folder / "events.db" if durable else IN_MEMORY)
    tallies = log.tallies()
    queues = EventQueues(
        writer=GroupWriter(log, loop),
        log=log,
        carrier=lanes,
        policy=EventPolicy,
        time=Steady(clock),
        after=wheel.after,
        tell=bus.publish,
    )
    for number in range(SUBSCRIBERS):
        lanes.sandboxes[f"p{number}"] = await _sandbox(folder, f"p{number}", wheel, queues)
    queues.restore(tallies)
    bus.attach(queues)
    broker = HostBroker(
        grant=HostGrant(
            plugin_id="teller", publishes=(TYPE,), callees=frozenset(), max_execution_seconds=30
        ),
        neighbours=Publishing(bus),
        auditor=NoAudit(),
        clock=clock,
        bounds=HostBounds(requests_per_second=1e6, burst=1_000_000, max_connections=64),
    )
    (folder / "teller").mkdir(exist_ok=True)
    (folder / "teller" / "host.sock").unlink(missing_ok=True)
    await broker.open(folder / "teller")
    print("up", flush=True)
    while True:
        await asyncio.sleep(1)
        queues.wake_all()


async def _sandbox(
    folder: Path, name: str, wheel: DeadlineWheel, queues: EventQueues
) -> PluginSandbox:
    sandbox = PluginSandbox(
        sandbox_id=name,
        info=PluginInfo(
            plugin_id=name,
            name=name,
            version="1.0.0",
            author="a",
            description="d",
            category=PluginCategory.ANALYTICS,
            entry_point="m:C",
            subscribes=(TYPE,),
        ),
        limits=ResourceLimits(max_concurrent_requests=1),
        calls=CallPolicy(),
        wheel=wheel,
        on_change=lambda it: (it.mark_ready(), queues.wake(name))[0],
    )
    await sandbox.listen(folder / name)
    return sandbox


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--durable", action="store_true")
    options = parser.parse_args()
    uvloop.run(host(options.folder, durable=options.durable))


if __name__ == "__main__":
    main()
