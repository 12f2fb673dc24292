"""Tally: what became of a plugin's calls since the daemon started, as plain numbers.

The call path adds to it; /metrics and the stored aggregates read it. Nothing here knows
Prometheus, so that an observation costs a few additions and no locks.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Set
from typing import Final

BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 30.0)
"""Upper bounds of the buckets in seconds; the twelfth is open. A call costs tenths of a ms."""
SLOW_BOUNDS: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0)
"""Of what takes longer than a call: passes, builds, runs of code."""
MAX_TOOLS: Final = 64
"""Of one plugin; names beyond are counted as OTHER."""
MAX_CALLERS: Final = 64
OTHER: Final = "(other)"


class Spread:
    """How long calls took."""

    __slots__ = ("bounds", "buckets", "count", "high", "least", "low", "most", "seconds")

    def __init__(self, bounds: tuple[float, ...] = BOUNDS) -> None:
        self.bounds = bounds
        self.count = 0
        self.seconds = 0.0
        self.least = float("inf")
        self.most = 0.0
        self.low = float("inf")
        """The shortest since `take_extremes`."""
        self.high = 0.0
        self.buckets = [0] * (len(bounds) + 1)

    def add(self, seconds: float) -> int:
        """Count one; the bucket that it fell into."""
        bucket = bisect_left(self.bounds, seconds)
        self.buckets[bucket] += 1
        self.count += 1
        self.seconds += seconds
        # Comparisons: a call of min costs as much as all the rest.
        if seconds < self.low:
            self.low = seconds
            self.least = min(self.least, seconds)
        if seconds > self.high:
            self.high = seconds
            self.most = max(self.most, seconds)
        return bucket

    def take_extremes(self) -> tuple[float, float]:
        """Shortest and longest since the last time: for the one who keeps figures by the minute."""
        taken = (self.low, self.high)
        self.low, self.high = float("inf"), 0.0
        return taken


class ToolTally:
    """The calls of one tool; as the call path writes it, it holds no more than is read."""

    __slots__ = ("buckets", "calls", "failures", "high", "low", "seconds")

    def __init__(self) -> None:
        self.calls = 0
        self.failures = 0
        """Those of them that did not end with OK."""
        self.seconds = 0.0
        self.buckets = [0] * (len(BOUNDS) + 1)
        """Of the calls that were dispatched."""
        self.low = float("inf")
        """The shortest since `take_extremes`."""
        self.high = 0.0

    def add(self, seconds: float, bucket: int) -> None:
        """Count one that was dispatched, in the bucket that `Spread.add` found."""
        self.seconds += seconds
        self.buckets[bucket] += 1
        self.low = min(self.low, seconds)
        self.high = max(self.high, seconds)

    def take_extremes(self) -> tuple[float, float]:
        """See Spread."""
        taken = (self.low, self.high)
        self.low, self.high = float("inf"), 0.0
        return taken


class PluginTally:
    """All of one plugin."""

    __slots__ = (
        "caller_failures",
        "callers",
        "exemplars",
        "known_tools",
        "outcomes",
        "spread",
        "tools",
        "waited",
    )

    def __init__(self, tools: Set[str] = frozenset()) -> None:
        """`tools` are those that it declares: no other name is ever counted by itself."""
        self.spread = Spread()
        """Of the calls that were dispatched: one that was refused took no time."""
        self.waited = 0.0
        """Seconds that they waited before the plugin had them, summed up."""
        self.outcomes: dict[str, int] = {}
        """Of all calls."""
        self.tools: dict[str, ToolTally] = {}
        """By tool; "" is a plain execute."""
        self.callers: dict[str, int] = {}
        """By caller: `operator`, `ui`, `plugin:<id>`, …"""
        self.caller_failures: dict[str, int] = {}
        """Of these the calls that did not end with OK."""
        self.exemplars: dict[int, tuple[str, float, float]] = {}
        """By bucket the latest call of a trace: (its traceparent as it came, seconds, epoch)."""
        self.known_tools = tools

    def tool(self, name: str) -> ToolTally:
        """The tool's own, or that of all others."""
        found = self.tools.get(name)
        if found is None:
            known = not name or (name in self.known_tools and len(self.tools) < MAX_TOOLS)
            found = self.tools.setdefault(name if known else OTHER, ToolTally())
        return found

    def count_new_caller(self, caller: str) -> None:
        """One that is not among `callers`, as it was called; its class may be."""
        known = caller in self.callers or len(self.callers) < MAX_CALLERS
        name = caller if known else OTHER
        self.callers[name] = self.callers.get(name, 0) + 1

    def count_failure(self, caller: str) -> None:
        """Of one that was counted among `callers`."""
        name = caller if caller in self.callers else OTHER
        self.caller_failures[name] = self.caller_failures.get(name, 0) + 1

    @property
    def calls(self) -> int:
        """All that ended, refused ones too."""
        return sum(self.outcomes.values())


class Tally:
    """By plugin."""

    def __init__(self) -> None:
        self._plugins: dict[str, PluginTally] = {}
        self.forgotten: Callable[[str, PluginTally], None] = lambda _plugin_id, _tally: None
        """Told of each that goes: who reads differences looks a last time."""

    @property
    def find(self) -> Callable[[str], PluginTally | None]:
        """The plugin's own, if any; asked for every call."""
        return self._plugins.get

    def of(self, plugin_id: str, tools: Set[str] = frozenset()) -> PluginTally:
        """The plugin's own; made at its first call."""
        found = self._plugins.get(plugin_id)
        if found is None:
            found = self._plugins[plugin_id] = PluginTally(tools)
        return found

    def forget(self, plugin_id: str) -> None:
        """It is deployed no more: its series go away."""
        gone = self._plugins.pop(plugin_id, None)
        if gone is not None:
            self.forgotten(plugin_id, gone)

    def __iter__(self) -> Iterator[tuple[str, PluginTally]]:
        return iter(list(self._plugins.items()))
