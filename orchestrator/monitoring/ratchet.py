"""Ratchet: sums of counters that begin anew with each container, so that they only ever grow."""

from collections.abc import Iterator, Set


class Ratchet:
    """By plugin and what is counted; fed with what a container's counter says now."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str, str], float] = {}
        """(plugin, container's run, what) → its counter when it was last read."""
        self._sums: dict[tuple[str, str], float] = {}

    def feed(
        self, plugin_id: str, run: str, what: str, value: float, *, is_older: bool = False
    ) -> None:
        """`run` tells one life of a container from the next: its counters begin at 0.

        One that is older than the sums had a reader before: what it had counted when it is first
        seen was that one's to tell, and would be told again as if it had happened at once.
        """
        key = (plugin_id, run, what)
        before = self._last.get(key, value if is_older else 0.0)
        # A counter that fell began anew, though nobody told of another run.
        grown = value - before if value >= before else value
        self._last[key] = value
        self._sums[plugin_id, what] = self._sums.get((plugin_id, what), 0.0) + grown

    def sum(self, plugin_id: str, what: str) -> float | None:
        """None where nothing was ever counted."""
        return self._sums.get((plugin_id, what))

    def prune(self, plugins: Set[str], runs: Set[tuple[str, str]]) -> None:
        """Forget plugins and (plugin, run)s that are no more; their sums stay with the plugin."""
        for key in [key for key in self._last if key[:2] not in runs]:
            del self._last[key]
        for pair in [pair for pair in self._sums if pair[0] not in plugins]:
            del self._sums[pair]

    def __iter__(self) -> Iterator[tuple[tuple[str, str], float]]:
        return iter(list(self._sums.items()))
