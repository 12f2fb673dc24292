"""Differences: what the tally counted since it was last looked at, as rows.

A tally counts from the daemon's start, and is dropped and begun anew when its plugin goes and
comes back. So the reader is told when one is dropped, and looks a last time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from orchestrator.monitoring.aggregates import Calls, Key, Row, RowKind, united
from orchestrator.monitoring.counts import OUTCOME, counted
from orchestrator.monitoring.tally import PluginTally, Tally, ToolTally
from orchestrator.sandbox.observer import CALLERS_FAULT, OK


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one plugin's tally said at a moment."""

    calls: Calls = field(default_factory=Calls)
    outcomes: Mapping[str, int] = field(default_factory=dict)
    tools: Mapping[str, Calls] = field(default_factory=dict)
    callers: Mapping[str, Calls] = field(default_factory=dict)


def look(tally: PluginTally) -> Look:
    """As it stands; the extremes are those since the last look."""
    least, most = tally.spread.take_extremes()
    return Look(
        calls=Calls(
            count=tally.calls,
            failed=tally.calls - tally.outcomes.get(OK, 0),
            seconds=tally.spread.seconds,
            least=least,
            most=most,
            buckets=tuple(tally.spread.buckets),
        ),
        outcomes=dict(tally.outcomes),
        tools={name: _tool(tool) for name, tool in tally.tools.items()},
        callers={
            caller: Calls(count=count, failed=tally.caller_failures.get(caller, 0))
            for caller, count in tally.callers.items()
        },
    )


def judged_calls(outcomes: Mapping[str, int]) -> int:
    """Calls that say something of the plugin: no fault of the caller's."""
    return sum(number for name, number in outcomes.items() if name not in CALLERS_FAULT)


def judged_failures(outcomes: Mapping[str, int]) -> int:
    """Those of them that failed."""
    return judged_calls(outcomes) - outcomes.get(OK, 0)


def difference(plugin_id: str, before: Look, after: Look) -> dict[Key, Row]:
    """The rows of what came between two looks at the same tally; none where nothing did."""
    outcomes = {
        name: number - before.outcomes.get(name, 0) for name, number in after.outcomes.items()
    }
    rows = {
        Key(plugin_id): Row(
            calls=_minus(after.calls, before.calls), counts=counted(OUTCOME, outcomes)
        )
    }
    for kind, now, then in (
        (RowKind.TOOL, after.tools, before.tools),
        (RowKind.CALLER, after.callers, before.callers),
    ):
        rows |= {
            Key(plugin_id, kind, name): Row(calls=_minus(calls, then.get(name, Calls())))
            for name, calls in now.items()
        }
    return {key: row for key, row in rows.items() if row.calls.count}


class TallyReader:
    """The one reader of a tally's differences."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._seen: dict[str, Look] = {}
        self._gone: list[dict[Key, Row]] = []
        tally.forgotten = self._leave

    def take(self) -> Iterator[dict[Key, Row]]:
        """What was counted since the last time, plugin by plugin: others may run in between."""
        gone, self._gone = self._gone, []
        yield from gone
        for plugin_id, tally in self._tally:
            if self._tally.find(plugin_id) is tally:  # it may have gone meanwhile, and was told
                after = look(tally)
                before = self._seen.get(plugin_id, Look())
                self._seen[plugin_id] = after
                yield difference(plugin_id, before, after)

    def _leave(self, plugin_id: str, tally: PluginTally) -> None:
        """It goes: what it counted since the last look is all that is left of it."""
        before = self._seen.pop(plugin_id, Look())
        rows = difference(plugin_id, before, look(tally))
        if rows:
            self._gone = [united([*self._gone, rows])]


def _tool(tally: ToolTally) -> Calls:
    least, most = tally.take_extremes()
    return Calls(
        count=tally.calls,
        failed=tally.failures,
        seconds=tally.seconds,
        least=least,
        most=most,
        buckets=tuple(tally.buckets),
    )


def _minus(after: Calls, before: Calls) -> Calls:
    count = after.count - before.count
    if count <= 0:
        return Calls()
    earlier = before.buckets or (0,) * len(after.buckets)
    return Calls(
        count=count,
        failed=max(0, after.failed - before.failed),
        seconds=max(0.0, after.seconds - before.seconds),
        least=after.least,
        most=after.most,
        buckets=tuple(now - then for now, then in zip(after.buckets, earlier, strict=True)),
    )
