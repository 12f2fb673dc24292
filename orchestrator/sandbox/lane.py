"""CallLane: as many connections as the plugin may run calls, and a bounded queue before them."""

import asyncio
from collections import OrderedDict

from orchestrator.sandbox.call import CallFailure, FailureCode
from orchestrator.sandbox.exchange import Exchange
from orchestrator.sandbox.wire import PluginConnection


class CallLane:
    """The number of connections *is* the concurrency limit; the host never opens one."""

    def __init__(self, *, size: int, max_queue: int) -> None:
        self.size = size
        self.max_queue = max_queue
        self._connections: set[PluginConnection] = set()
        self._idle: list[PluginConnection] = []
        self._waiting: OrderedDict[Exchange, None] = OrderedDict()
        self._live: set[Exchange] = set()
        self.quiet = asyncio.Event()
        """Set while no call runs or waits."""
        self.quiet.set()

    @property
    def connected(self) -> int:
        return len(self._connections)

    @property
    def connections(self) -> tuple[PluginConnection, ...]:
        return tuple(self._connections)

    @property
    def full(self) -> bool:
        return len(self._connections) >= self.size

    @property
    def in_flight(self) -> int:
        """Calls that run or wait."""
        return len(self._live)

    @property
    def waiting(self) -> int:
        """Those of them that wait."""
        return len(self._waiting)

    def join(self, connection: PluginConnection) -> None:
        self._connections.add(connection)

    def leave(self, connection: PluginConnection) -> None:
        self._connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def idle(self, connection: PluginConnection) -> None:
        """Give it the call that waits longest, or keep it."""
        if self._waiting:
            self._waiting.popitem(last=False)[0].assign(connection)
        else:
            self._idle.append(connection)

    def enter(self, exchange: Exchange) -> None:
        """Run it now, or queue it, or refuse it when the queue is full."""
        if self._idle:
            self._admit(exchange)
            exchange.assign(self._idle.pop())
        elif len(self._live) < self.size + self.max_queue:
            self._admit(exchange)
            self._waiting[exchange] = None
        else:
            exchange.fail(
                CallFailure(
                    code=FailureCode.OVERLOADED,
                    detail=f"{self.size} calls run and {self.max_queue} wait already "
                    "(max_concurrent_requests, policy.calls.max_queue)",
                    repeat="safe",
                )
            )

    def left(self, exchange: Exchange) -> None:
        self._live.discard(exchange)
        self._waiting.pop(exchange, None)
        if not self._live:
            self.quiet.set()

    def fail_all(self, code: FailureCode, detail: str) -> None:
        """End every call: those that only waited are safe to repeat."""
        for exchange in list(self._live):
            repeat = exchange.repeat if exchange.running else "safe"
            exchange.fail(CallFailure(code=code, detail=detail, repeat=repeat))

    def _admit(self, exchange: Exchange) -> None:
        self._live.add(exchange)
        self.quiet.clear()


class OwnLine:
    """The line of the orchestrator's own requests: a missed deadline is the caller's to judge."""

    def __init__(self, lane: CallLane) -> None:
        self._lane = lane

    def left(self, exchange: Exchange) -> None:
        self._lane.left(exchange)

    def overran(self, exchange: Exchange) -> None: ...
