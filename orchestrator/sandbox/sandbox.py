"""PluginSandbox: one running plugin behind its sockets."""

import asyncio
import contextlib
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final

from orchestrator.model.info import PluginInfo
from orchestrator.model.limits import ResourceLimits
from orchestrator.model.permissions import PermissionKind
from orchestrator.model.policy import CallPolicy
from orchestrator.sandbox.call import Call, CallFailure, FailureCode, Reply, Sink
from orchestrator.sandbox.callers import CallLedger
from orchestrator.sandbox.collect import CollectingSink
from orchestrator.sandbox.deadlines import Deadline, DeadlineWheel
from orchestrator.sandbox.desk import Desk, invoke
from orchestrator.sandbox.event_sink import EVENT_SECONDS, EventEnd, EventSink
from orchestrator.sandbox.exchange import Exchange
from orchestrator.sandbox.lane import CallLane, OwnLine
from orchestrator.sandbox.listener import SandboxListener
from orchestrator.sandbox.observer import CallWatch
from orchestrator.sandbox.wire import PluginConnection

HANDSHAKE_SECONDS: Final = 2.0
HALF_OPEN: Final = 4
"""Connections beyond the lanes' own that may be in their handshake at one time."""
REDIAL_SECONDS: Final = 1.0
"""From a call's deadline to the plugin's new connection; a plugin that is later is stuck."""
CONTROL_SECONDS: Final = 5.0
"""How long a running container may be without its control connection."""
FLOOD_DIALS: Final = 500
"""Connections within FLOOD_SECONDS that no honest plugin opens: it is killed and restarted."""
FLOOD_SECONDS: Final = 2.0
_MEBIBYTE: Final = 1 << 20
_REPLACED: Final = (FailureCode.PLUGIN_RESTARTED, "the plugin was stopped or replaced")


class SandboxState(StrEnum):
    STARTING = "starting"
    READY = "ready"
    PAUSED = "paused"
    DRAINING = "draining"
    STUCK = "stuck"
    CLOSED = "closed"


class PluginSandbox:
    """Lanes, calls and deadlines of one plugin container.

    `on_change` is called (on the loop) when the sandbox became connected, stuck or disconnected.
    """

    def __init__(
        self,
        *,
        sandbox_id: str,
        info: PluginInfo,
        limits: ResourceLimits,
        calls: CallPolicy,
        wheel: DeadlineWheel,
        ledger: CallLedger | None = None,
        watch: CallWatch | None = None,
        on_change: Callable[["PluginSandbox"], None],
    ) -> None:
        self.sandbox_id = sandbox_id
        self.info = info
        self.state = SandboxState.STARTING
        self.trouble = ""
        """Why it is stuck."""
        self.used_at = 0.0
        """When a call or an event was last at it, by the loop's clock; 0 if none ever was."""
        self._desk = Desk(info=info, limits=limits, calls=calls, watch=watch)
        self._wheel = wheel
        self._on_change = on_change
        # Only a plugin that may call others has calls of its own that could inherit anything.
        self._ledger = ledger if info.asks(PermissionKind.PLUGIN_COMMUNICATION) else None
        self._serving: dict[Exchange, Callable[[], None]] = {}
        self._control = CallLane(size=1, max_queue=8)
        self._calls = CallLane(size=limits.max_concurrent_requests, max_queue=calls.max_queue)
        self._events = CallLane(size=1 if info.subscribes else 0, max_queue=64)
        self._lanes = {"control": self._control, "calls": self._calls, "events": self._events}
        self._handshakes: dict[PluginConnection, Deadline] = {}
        self._dials = 0
        self._overruns = self._redials = self._control_dials = 0
        self._listener: SandboxListener | None = None
        self._settled = asyncio.Event()

    # -- life -----------------------------------------------------------------------------------

    async def listen(self, folder: Path) -> None:
        """Open the socket that the plugin dials. Before the container starts."""
        self._listener = await SandboxListener.open(folder, lambda: PluginConnection(self))

    async def connected(self) -> bool:
        """Wait until the plugin is on all its lanes, or (False) ended or got stuck first.

        The caller brings the deadline.
        """
        await self._settled.wait()
        return self.is_connected

    def give_up(self, trouble: str) -> None:
        """Whoever watches it found it stuck."""
        self._stuck(trouble)

    def died(self) -> None:
        """The container has ended: nothing will dial any more."""
        self._stuck("the plugin's process ended")

    @property
    def is_connected(self) -> bool:
        return self._complete() and self.state not in {SandboxState.STUCK, SandboxState.CLOSED}

    def lanes_in_words(self) -> str:
        """How many connections each lane has, of how many."""
        return ", ".join(
            f"{name} {lane.connected}/{lane.size}" for name, lane in self._lanes.items()
        )

    @property
    def in_flight(self) -> int:
        """Calls that run or wait."""
        return self._calls.in_flight

    @property
    def waiting(self) -> int:
        """Those of them that wait for a connection."""
        return self._calls.waiting

    def mark_ready(self) -> None:
        """It was initialised: calls may come."""
        if self.state is SandboxState.STARTING:
            self.state = SandboxState.READY

    def pause(self) -> bool:
        """Take no more calls while the container stands still; False while one is at it."""
        if self.state is not SandboxState.READY or self._calls.in_flight or self._events.in_flight:
            return False
        self.state = SandboxState.PAUSED
        return True

    def resume(self) -> None:
        """The container goes on."""
        if self.state is SandboxState.PAUSED:
            self.state = SandboxState.READY

    async def drain(self, *, grace_seconds: float) -> None:
        """Take no more calls and wait for those that run, at most so long."""
        if self.state is SandboxState.READY:
            self.state = SandboxState.DRAINING
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await self._calls.quiet.wait()

    def close(self, *, remove_folder: bool) -> None:
        """End every call and connection. The container is gone, or the daemon goes."""
        self.state = SandboxState.CLOSED
        self.end_calls(*_REPLACED)
        for connection in [*self._handshakes, *self._all_connections()]:
            connection.close()
        if self._listener is not None:
            self._listener.remove() if remove_folder else self._listener.close()
            self._listener = None
        self._settled.set()

    def heed(self, calls: CallPolicy) -> None:
        """Bounds that changed, from the next call on."""
        self._desk.calls, self._calls.max_queue = calls, calls.max_queue

    def end_calls(self, code: FailureCode, detail: str) -> None:
        for lane in self._lanes.values():
            lane.fail_all(code, detail)

    # -- calls ----------------------------------------------------------------------------------

    def dispatch(self, call: Call, sink: Sink) -> Exchange:
        """See Door."""
        exchange = self._desk.open(call, sink, self)
        if self.state is not SandboxState.READY:
            exchange.fail(self._not_running())
        elif not exchange.over:
            exchange.arm(self._wheel.after)
            self.admit(exchange)
        return exchange

    def admit(self, exchange: Exchange) -> None:
        """Take an exchange whose deadline runs already."""
        if self._ledger is not None:
            call = exchange.call
            self._serving[exchange] = self._ledger.enter(
                self.info.plugin_id,
                request_id=call.request_id,
                traceparent=call.traceparent,
                deadline_seconds=call.deadline_seconds,
            )
        self._calls.enter(exchange)

    def check_input(self, call: Call, body: bytes) -> CallFailure | None:
        """See Door."""
        return self._desk.check_input(call, body)

    def deadline_seconds(self, wished: float | None) -> float:
        """See Door."""
        return self._desk.deadline_seconds(wished)

    async def invoke(self, call: Call, body: bytes) -> Reply | CallFailure:
        """A call with its body at hand and its answer collected."""
        return await invoke(self, call, body)

    def deliver(self, event_id: str, body: bytes, done: EventEnd) -> None:
        """Send an event down the events lane; `done` is told once what became of it."""
        self.used_at = self._wheel.now()
        call = Call(
            request_id=event_id,
            deadline_seconds=EVENT_SECONDS,
            path="/v1/events",
            content_type="application/cloudevents+json",
            content_length=len(body),
            caller="orchestrator",
        )
        self._send(self._events, call, EventSink(done), body)

    async def control(
        self, method: str, path: str, body: bytes, *, deadline_seconds: float
    ) -> Reply | CallFailure:
        """A request of the orchestrator's own: initialize, status, cleanup."""
        sink = CollectingSink()
        call = Call(
            request_id=f"{self.sandbox_id}-{path.rpartition('/')[2]}",
            deadline_seconds=deadline_seconds,
            method=method,
            path=path,
            content_length=len(body),
            caller="orchestrator",
        )
        return await sink.result(self._send(self._control, call, sink, body))

    def _send(self, lane: CallLane, call: Call, sink: Sink, body: bytes) -> Exchange:
        """A request of the orchestrator's own, on a lane of its own."""
        exchange = Exchange(call, sink, OwnLine(lane), max_response_bytes=_MEBIBYTE, repeat="safe")
        exchange.arm(self._wheel.after)
        exchange.send(body)
        exchange.finish()
        lane.enter(exchange)
        return exchange

    # -- Line: what exchanges say ---------------------------------------------------------------

    def left(self, exchange: Exchange) -> None:
        self.used_at = self._wheel.now()
        self._calls.left(exchange)
        leave = self._serving.pop(exchange, None) if self._serving else None
        if leave is not None:
            leave()

    def overran(self, exchange: Exchange) -> None:
        """A stuck plugin does not dial again; a well-made one does within a second."""
        self._overruns += 1
        self._wheel.after(REDIAL_SECONDS, partial(self._check_redial, self._overruns))

    # -- Switchboard: what connections say ------------------------------------------------------

    def opened(self, connection: PluginConnection) -> bool:
        if self._dials == 0:
            self._wheel.after(FLOOD_SECONDS, self._forget_dials)
        self._dials += 1
        if self._dials > FLOOD_DIALS:
            self._stuck(f"it dialled more than {FLOOD_DIALS} times within {FLOOD_SECONDS:g} s")
        closed = self.state in {SandboxState.CLOSED, SandboxState.STUCK}
        if closed or len(self._handshakes) >= self._half_open():
            return False
        self._handshakes[connection] = self._wheel.after(HANDSHAKE_SECONDS, connection.close)
        return True

    def dialled(self, connection: PluginConnection, lane_name: str) -> int:
        self._forget_handshake(connection)
        lane = self._lanes.get(lane_name)
        if lane is None:
            return 400
        if lane is not self._control and not self._control.connected:
            return 503
        if lane.full:
            return 409
        lane.join(connection)
        if lane is self._control:
            self._control_dials += 1
        elif lane is self._calls and self._redials < self._overruns:
            self._redials += 1
        return 101

    def idle(self, connection: PluginConnection) -> None:
        self._lanes[connection.lane].idle(connection)
        if not self._settled.is_set() and self._complete():
            self._settled.set()
            self._on_change(self)

    def closed(self, connection: PluginConnection) -> None:
        self._forget_handshake(connection)
        lane = self._lanes.get(connection.lane)
        if lane is None:
            return
        lane.leave(connection)
        if self.state is SandboxState.STARTING:
            self._settled.clear()
        if lane is self._control and self.state is not SandboxState.CLOSED:
            self._wheel.after(CONTROL_SECONDS, partial(self._check_control, self._control_dials))
            self._on_change(self)

    # -------------------------------------------------------------------------------------------

    def _forget_dials(self) -> None:
        self._dials = 0

    def _complete(self) -> bool:
        return all(lane.full for lane in self._lanes.values())

    def _half_open(self) -> int:
        return HALF_OPEN + sum(lane.size for lane in self._lanes.values())

    def _forget_handshake(self, connection: PluginConnection) -> None:
        deadline = self._handshakes.pop(connection, None)
        if deadline is not None:
            deadline.cancel()

    def _all_connections(self) -> list[PluginConnection]:
        return [connection for lane in self._lanes.values() for connection in lane.connections]

    def _check_redial(self, overruns: int) -> None:
        """For the overruns until then as many dials are due; those of later calls have time."""
        if self._redials < overruns and not self._calls.full:
            self._stuck("a call went on past its deadline")

    def _check_control(self, dials: int) -> None:
        if self._control_dials == dials:
            self._stuck("its control connection was lost")

    def _stuck(self, trouble: str) -> None:
        if self.state not in {SandboxState.STUCK, SandboxState.CLOSED}:
            self.state = SandboxState.STUCK
            self.trouble = trouble
            self.end_calls(*_REPLACED)
            self._settled.set()
            self._on_change(self)

    def _not_running(self) -> CallFailure:
        detail = f"{self.info.plugin_id} is {self.state}"
        return CallFailure(code=FailureCode.PLUGIN_NOT_RUNNING, detail=detail, repeat="safe")
