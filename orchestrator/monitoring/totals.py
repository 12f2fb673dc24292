"""TotalsReader: what others count since the daemon started, as rows of what came since a look.

Brokers count refusals and bytes to the last one, the metrics what policy refused, the fleet its
restarts: nobody counts them again.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from orchestrator.model.permissions import PermissionKind
from orchestrator.monitoring.aggregates import Key, Row
from orchestrator.monitoring.counts import BYTES, REFUSED, RESTARTED
from orchestrator.sandbox.party_counts import CODE_PARTY, Counts, HostClass

_PERMISSION_OF: Final[Mapping[HostClass, PermissionKind]] = {
    HostClass.PUBLIC: PermissionKind.EXTERNAL_API,
    HostClass.PRIVATE: PermissionKind.EXTERNAL_API,
    HostClass.DATABASE: PermissionKind.DATABASE_ACCESS,
}
Total = tuple[str, str]
"""(plugin, count's name)."""


class TotalsReader:
    """The one reader of these totals' differences."""

    def __init__(
        self,
        *,
        counts: Counts,
        refusals: Mapping[tuple[str, str], int],
        restarts: Mapping[str, int],
    ) -> None:
        """`refusals` are policy's, by (plugin, rule)."""
        self._counts = counts
        self._refusals = refusals
        self._restarts = restarts
        self._seen: dict[Total, float] = {}

    def take(self) -> Iterator[dict[Key, Row]]:
        """What was counted since the last time."""
        now: dict[Total, float] = defaultdict(float)
        for total, number in self._totals():
            now[total] += number
        grown = grown_since(self._seen, now)
        self._seen = dict(now)
        rows: dict[str, dict[str, float]] = defaultdict(dict)
        for (plugin_id, name), number in grown.items():
            rows[plugin_id][name] = number
        yield {Key(plugin_id): Row(counts=counts) for plugin_id, counts in rows.items()}

    def _totals(self) -> Iterator[tuple[Total, float]]:
        for plugin_id, number in list(self._restarts.items()):
            yield (plugin_id, RESTARTED), float(number)
        for (plugin_id, rule), number in list(self._refusals.items()):
            if plugin_id:
                yield (plugin_id, f"{REFUSED}:{rule}"), float(number)
        for party, counts in self._counts:
            if party == CODE_PARTY:
                continue  # handed-in code is no plugin
            for code, number in counts.refusals.items():
                yield (party, f"{REFUSED}:{code}"), float(number)
            for host_class, carried in counts.carried.items():
                name = f"{BYTES}:{_PERMISSION_OF[host_class]}"
                yield (party, name), float(carried.sent + carried.received)


def grown_since(before: Mapping[Total, float], now: Mapping[Total, float]) -> dict[Total, float]:
    """How much each total grew; one that is smaller than it was counts anew."""
    differences = {
        total: number - before.get(total, 0.0) if number >= before.get(total, 0.0) else number
        for total, number in now.items()
    }
    return {total: number for total, number in differences.items() if number > 0}
