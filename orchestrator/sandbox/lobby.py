"""Lobby: calls wait here for a plugin that is about to take them.

It is being woken up, or replaced by a revision that cannot run beside it. Whoever calls then has
done nothing wrong, so the call waits: no longer than its own deadline, and not in any number.
"""

from collections.abc import Callable
from dataclasses import replace

from orchestrator.sandbox.call import Call, CallFailure, FailureCode, Sink
from orchestrator.sandbox.deadlines import DeadlineWheel
from orchestrator.sandbox.desk import Desk
from orchestrator.sandbox.exchange import Exchange
from orchestrator.sandbox.sandbox import PluginSandbox


class Lobby:
    """A Door of one plugin, and the Line of the calls that wait at it."""

    def __init__(
        self,
        *,
        desk: Desk,
        max_queue: int,
        wheel: DeadlineWheel,
        monotonic: Callable[[], float],
        on_arrival: Callable[[], None],
    ) -> None:
        self._desk = desk
        self._max_queue = max_queue
        self._wheel = wheel
        self._monotonic = monotonic
        self._on_arrival = on_arrival
        self._waiting: dict[Exchange, float] = {}
        """Exchange → when its deadline is."""

    def __len__(self) -> int:
        return len(self._waiting)

    # -- Door -----------------------------------------------------------------------------------

    def dispatch(self, call: Call, sink: Sink) -> Exchange:
        exchange = self._desk.open(call, sink, self)
        if exchange.over:
            return exchange
        if len(self._waiting) >= self._max_queue:
            detail = f"{self._max_queue} calls wait for it already (policy.calls.max_queue)"
            exchange.fail(CallFailure(code=FailureCode.OVERLOADED, detail=detail, repeat="safe"))
            return exchange
        exchange.arm(self._wheel.after)
        self._waiting[exchange] = self._monotonic() + call.deadline_seconds
        self._on_arrival()
        return exchange

    def check_input(self, call: Call, body: bytes) -> CallFailure | None:
        return self._desk.check_input(call, body)

    def deadline_seconds(self, wished: float | None) -> float:
        return self._desk.deadline_seconds(wished)

    # -- the plugin -----------------------------------------------------------------------------

    def admit(self, pick: Callable[[], PluginSandbox | None]) -> None:
        """Hand the calls on, in the order in which they came."""
        now = self._monotonic()
        for exchange, deadline in list(self._waiting.items()):
            sandbox = pick()
            if sandbox is None:
                return
            del self._waiting[exchange]
            left = max(0.001, deadline - now)
            exchange.move(replace(exchange.call, deadline_seconds=left), sandbox)
            sandbox.admit(exchange)

    def fail_all(self, detail: str) -> None:
        """The plugin will not come."""
        for exchange in list(self._waiting):
            exchange.fail(
                CallFailure(code=FailureCode.PLUGIN_NOT_RUNNING, detail=detail, repeat="safe")
            )

    # -- Line -----------------------------------------------------------------------------------

    def left(self, exchange: Exchange) -> None:
        self._waiting.pop(exchange, None)

    def overran(self, exchange: Exchange) -> None: ...
