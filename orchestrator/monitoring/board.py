"""Board: the numbers of one scrape, by metric, as those who know them put them there.

Every name is one of the table's, and comes with exactly its labels: a slip raises at once, in the
first test that scrapes, and not on the day when somebody looks for the series.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from orchestrator.monitoring.metrics import CUSTOM_PREFIX, METRICS, PREFIX, Metric, MetricKind
from orchestrator.monitoring.tally import Spread

Exemplars = Mapping[int, tuple[str, float, float]]
"""By bucket: (trace id, seconds, epoch seconds)."""


@dataclass(slots=True)
class Family:
    """All series of one metric."""

    metric: Metric
    rows: list[tuple[tuple[str, ...], float]] = field(default_factory=list)
    """(values of the labels, value)."""
    spreads: list[tuple[tuple[str, ...], Spread, Exemplars]] = field(default_factory=list)
    """Of a histogram, instead."""


class Board:
    """Empty for each scrape."""

    def __init__(self) -> None:
        self._families: dict[str, Family] = {}
        self._custom: dict[str, Family] = {}

    def rows(self, name: str) -> list[tuple[tuple[str, ...], float]]:
        """Where the series of a metric go, named without the prefix: (labels, value)."""
        return self._family(name).rows

    def put(self, name: str, value: float, *labels: str) -> None:
        """One series."""
        self._family(name).rows.append((labels, value))

    def put_pairs(
        self,
        name: str,
        counts: Mapping[tuple[str, str], float],
        *,
        plugins: Iterable[str] = (),
        seconds: Collection[str] = (),
    ) -> None:
        """Series of two labels; those of each plugin are there at 0 before they are counted."""
        rows = self.rows(name)
        expected = [(plugin_id, second) for plugin_id in plugins for second in seconds]
        rows += [(pair, counts.get(pair, 0)) for pair in expected]
        if len(counts) > 0:
            told = set(expected)
            rows += [(pair, count) for pair, count in counts.items() if pair not in told]

    def spread(
        self, name: str, spread: Spread, *labels: str, exemplars: Exemplars | None = None
    ) -> None:
        """One histogram."""
        self._family(name).spreads.append((labels, spread, exemplars or {}))

    def custom(self, name: str, value: float, *, plugin_id: str, replica: str) -> None:
        """A gauge that a plugin told of itself; the name was checked."""
        family = self._custom.get(name)
        if family is None:
            family = self._custom[name] = Family(
                Metric(
                    name=CUSTOM_PREFIX + name,
                    kind=MetricKind.GAUGE,
                    help=f"{name}, as plugins tell it in their answer to status.",
                    labels=("plugin", "replica"),
                )
            )
        family.rows.append(((plugin_id, replica), value))

    def __iter__(self) -> Iterator[Family]:
        """Those that have series, in the table's order; then the plugins' own, by name."""
        for name in METRICS:
            family = self._families.get(name.removeprefix(PREFIX))
            if family is not None and (family.rows or family.spreads):
                yield family
        for name in sorted(self._custom):
            yield self._custom[name]

    def _family(self, name: str) -> Family:
        family = self._families.get(name)
        if family is None:
            family = self._families[name] = Family(METRICS[PREFIX + name])
        return family
