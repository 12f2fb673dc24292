"""Tally: what became of a plugin's calls since the daemon started, as plain numbers.

The call path adds to it; /metrics and the stored aggregates read it. Nothing here knows
Prometheus, so that an observation costs a few additions and no locks.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 30.0)
"""Upper bounds of the buckets in seconds; the twelfth is open. A call costs tenths of a ms."""
MAX_TOOLS: Final = 64
"""Of one plugin; names beyond are counted as OTHER."""
MAX_CALLERS: Final = 64
OTHER: Final = "(other)"


@dataclass(slots=True)
class Spread:
    """How long calls took."""

    count: int = 0
    seconds: float = 0.0
    least: float = float("inf")
    most: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))

    def add(self, seconds: float) -> None:
        self.count += 1
        self.seconds += seconds
        self.buckets[bisect_left(BOUNDS, seconds)] += 1
        self.least = min(self.least, seconds)
        self.most = max(self.most, seconds)


@dataclass(slots=True)
class Exemplar:
    """A call that fell into a bucket, to be found again in the traces."""

    trace_id: str
    seconds: float
    at: float
    """Seconds since the epoch."""


@dataclass(slots=True)
class PluginTally:
    """All of one plugin."""

    spread: Spread = field(default_factory=Spread)
    outcomes: dict[str, int] = field(default_factory=dict)
    tools: dict[str, Spread] = field(default_factory=dict)
    """By tool; "" is a plain execute."""
    failed_by_tool: dict[str, int] = field(default_factory=dict)
    callers: dict[str, int] = field(default_factory=dict)
    """By caller: `operator`, `plugin/<id>`, …"""
    exemplars: dict[int, Exemplar] = field(default_factory=dict)
    """By bucket: the latest."""


class Tally:
    """By plugin."""

    def __init__(self) -> None:
        self._plugins: dict[str, PluginTally] = {}

    def of(self, plugin_id: str) -> PluginTally:
        """The plugin's own; made at its first call."""
        found = self._plugins.get(plugin_id)
        if found is None:
            found = self._plugins[plugin_id] = PluginTally()
        return found

    def forget(self, plugin_id: str) -> None:
        """It is deployed no more: its series go away."""
        self._plugins.pop(plugin_id, None)

    def __iter__(self) -> Iterator[tuple[str, PluginTally]]:
        return iter(list(self._plugins.items()))
