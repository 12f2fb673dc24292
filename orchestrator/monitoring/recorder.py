"""CallRecorder: writes into the tally what became of each call. On the call path: see its cost.

It knows no more of the fleet than which plugins there are, so that neither a name that a caller
made up nor a tool that nobody declared ever becomes a series.
"""

import re
from collections.abc import Callable, Set
from typing import Final, Protocol

from orchestrator.monitoring.tally import PluginTally, Tally
from orchestrator.sandbox.call import Call
from orchestrator.sandbox.observer import NEVER_BEGUN, OK
from orchestrator.sandbox.party_counts import CODE_PARTY

_TRACE: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_PLUGIN: Final = "plugin:"
_NO_TRACE: Final = "0" * 32


class Declared(Protocol):
    """Which plugins are deployed, and with which tools."""

    def tools(self, plugin_id: str) -> Set[str] | None:
        """None: there is no such plugin."""


Ended = Callable[[str, Call, str, float, float], None]


class CallRecorder:
    """A CallObserver."""

    def __init__(self, tally: Tally, *, declared: Declared, now: Callable[[], float]) -> None:
        self.trace: Callable[[Call], Call] | None = None
        self.also: tuple[Ended, ...] = ()
        """Who else is told: traces, the log of calls that failed."""
        self._tally, self._find = tally, tally.find
        self._declared = declared
        self._now = now

    def ended(
        self, plugin_id: str, call: Call, outcome: str, seconds: float, waited: float
    ) -> None:
        """See CallObserver."""
        tally = self._find(plugin_id) or self._new(plugin_id)
        if tally is None:
            return
        outcomes = tally.outcomes
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        tool, caller = tally.tools.get(call.tool), call.caller
        if tool is None:
            # An update may have declared others since the last time.
            tally.known_tools = self._declared.tools(plugin_id) or tally.known_tools
            tool = tally.tool(call.tool)
        tool.calls += 1
        try:
            tally.callers[caller] += 1
        except KeyError:
            caller = self._class_of(caller)
            tally.count_new_caller(caller)
        if outcome != OK:
            tool.failures += 1
            tally.count_failure(caller)
        if outcome not in NEVER_BEGUN:
            bucket = tally.spread.add(seconds)
            tally.waited += waited
            tool.add(seconds, bucket)
            if call.traceparent:
                tally.exemplars[bucket] = (call.traceparent, seconds, self._now())
        for tell in self.also:
            tell(plugin_id, call, outcome, seconds, waited)

    def _class_of(self, caller: str) -> str:
        """Each run of handed-in code is a party of its own, and they have no end: all are one."""
        name = caller.removeprefix(_PLUGIN)
        is_code = name != caller and self._declared.tools(name) is None
        return CODE_PARTY if is_code else caller

    def _new(self, plugin_id: str) -> PluginTally | None:
        tools = self._declared.tools(plugin_id)
        return None if tools is None else self._tally.of(plugin_id, tools)


def trace_id_of(traceparent: str) -> str:
    """The trace of a well-formed W3C `traceparent`; empty for anything else a caller may send."""
    match = _TRACE.fullmatch(traceparent)
    return match[1] if match is not None and match[1] != _NO_TRACE else ""
