"""Desk: where calls of one plugin are taken in, whoever answers them and whenever that is.

A running sandbox takes calls, and so does the lobby before one that is about to run: the plugin's
tools, its deadline and the bounds on its answers are the same for both.
"""

from typing import Final, Protocol

from orchestrator.model.info import PluginInfo
from orchestrator.model.limits import ResourceLimits
from orchestrator.model.policy import CallPolicy
from orchestrator.sandbox.call import Call, CallFailure, Reply, Sink
from orchestrator.sandbox.collect import CollectingSink
from orchestrator.sandbox.exchange import Exchange, Line
from orchestrator.sandbox.observer import CallWatch
from orchestrator.sandbox.tools import OutputCheck, ToolBox

_MEBIBYTE: Final = 1 << 20


class Door(Protocol):
    """Takes the calls of one plugin."""

    def dispatch(self, call: Call, sink: Sink) -> Exchange:
        """Send a call on its way; its body follows through the exchange."""

    def check_input(self, call: Call, body: bytes) -> CallFailure | None:
        """What is wrong with a tool's input; None for no tool, or an unknown one.

        Whoever finds something does not dispatch the call: it has ended here.
        """

    def deadline_seconds(self, wished: float | None) -> float:
        """The caller's wish, capped by `max_execution_time_sec`."""


class Desk:
    """Makes exchanges of calls."""

    def __init__(
        self,
        *,
        info: PluginInfo,
        limits: ResourceLimits,
        calls: CallPolicy,
        watch: CallWatch | None = None,
    ) -> None:
        self._watch = watch
        self._limits = limits
        self.calls = calls
        self._tools = ToolBox(info.tools)

    def open(self, call: Call, sink: Sink, line: Line) -> Exchange:
        """The exchange of a call; it has failed already if the plugin has no such tool."""
        tool = self._tools.find(call.tool) if call.tool else None
        if tool is not None and tool.checks_output:
            sink = OutputCheck(tool, sink)
        watch = self._watch
        if watch is not None and watch.observer.trace is not None:
            call = watch.observer.trace(call)
        exchange = Exchange(
            call,
            sink,
            line,
            max_response_bytes=self.calls.max_response_mb * _MEBIBYTE,
            repeat=tool.repeat if tool is not None else "unsafe",
            watch=watch,
        )
        if call.tool and tool is None:
            exchange.fail(self._tools.unknown(call.tool))
        return exchange

    def check_input(self, call: Call, body: bytes) -> CallFailure | None:
        """See Door."""
        tool = self._tools.find(call.tool)
        failure = tool.check_input(body) if tool is not None else None
        watch = self._watch
        if failure is not None and watch is not None:
            watch.observer.ended(watch.plugin_id, call, failure.code, 0.0, 0.0)
        return failure

    def deadline_seconds(self, wished: float | None) -> float:
        """See Door."""
        most = float(self._limits.max_execution_time_sec)
        return most if wished is None else max(0.001, min(wished, most))


async def invoke(door: Door, call: Call, body: bytes) -> Reply | CallFailure:
    """A call with its body at hand and its answer collected."""
    failure = door.check_input(call, body) if call.tool else None
    if failure is not None:
        return failure
    sink = CollectingSink()
    exchange = door.dispatch(call, sink)
    exchange.send(body)
    exchange.finish()
    return await sink.result(exchange)
