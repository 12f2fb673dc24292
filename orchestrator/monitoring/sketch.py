"""Sketches: how values were spread, small and mergeable; and quantiles out of them. Pure.

A gauge's values lie in buckets that grow by a tenth, so that a quantile is off by a twentieth at
most, whatever the unit (C. Masson et al., DDSketch, 2019). Times of calls lie in the fixed buckets
of the tally, and a quantile is read off as Prometheus' `histogram_quantile` does, but never outside
of the shortest and the longest call, and along the logarithm: a bucket's bounds are times apart.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

GROWTH: Final = 1.1
SMALLEST: Final = 0.01
"""What is below counts as this much: nothing, in every unit that we have."""
_LOG: Final = math.log(GROWTH)
_HIGHEST: Final = 512
"""Beyond any number of bytes that there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """A value that was looked at now and then, and its limit."""

    samples: int = 0
    total: float = 0.0
    least: float = math.inf
    most: float = 0.0
    limit: float = 0.0
    """The highest that held meanwhile; 0 for none."""
    levels: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))
    """Bucket → how many values lay in it."""

    @classmethod
    def of(cls, value: float, limit: float = 0.0) -> "Gauge":
        """One look; what is no number is none."""
        if not (math.isfinite(value) and math.isfinite(limit)):
            return cls()
        value = max(0.0, value)
        return cls(
            samples=1,
            total=value,
            least=value,
            most=value,
            limit=max(0.0, limit),
            levels={_bucket(value): 1},
        )

    @classmethod
    def merged(cls, parts: Sequence["Gauge"]) -> "Gauge":
        """All looks together."""
        levels: dict[int, int] = {}
        for part in parts:
            for bucket, count in part.levels.items():
                levels[bucket] = levels.get(bucket, 0) + count
        return cls(
            samples=sum(part.samples for part in parts),
            total=math.fsum(part.total for part in parts),
            least=min((part.least for part in parts), default=math.inf),
            most=max((part.most for part in parts), default=0.0),
            limit=max((part.limit for part in parts), default=0.0),
            levels=levels,
        )

    def plus(self, other: "Gauge") -> "Gauge":
        return Gauge.merged((self, other))

    @property
    def average(self) -> float | None:
        """None while nobody looked."""
        return self.total / self.samples if self.samples else None

    def quantile(self, share: float) -> float | None:
        """The value that `share` of all looks did not exceed; None while nobody looked."""
        if not self.samples:
            return None
        wanted, seen = max(1, math.ceil(share * self.samples)), 0
        for bucket in sorted(self.levels):
            seen += self.levels[bucket]
            if seen >= wanted:
                return min(max(_middle(bucket), self.least), self.most)
        return self.most

    def as_list(self) -> list[Any]:
        """As kept; `from_list` is its inverse."""
        least = self.least if math.isfinite(self.least) else None
        levels = {str(bucket): count for bucket, count in self.levels.items()}
        return [self.samples, self.total, least, self.most, self.limit, levels]

    @classmethod
    def from_list(cls, numbers: Sequence[Any]) -> "Gauge":
        """Raises ValueError, TypeError, IndexError for anything else."""
        samples, total, least, most, limit, levels = numbers
        return cls(
            samples=int(samples),
            total=float(total),
            least=math.inf if least is None else float(least),
            most=float(most),
            limit=float(limit),
            levels={int(bucket): int(count) for bucket, count in levels.items()},
        )


def time_quantile(
    buckets: Sequence[int], bounds: Sequence[float], share: float, *, least: float, most: float
) -> float | None:
    """The time that `share` of the calls did not exceed; None where there was no call."""
    count = sum(buckets)
    if not count:
        return None
    wanted, seen = share * count, 0
    for index, number in enumerate(buckets):
        if number and seen + number >= wanted:
            low = bounds[index - 1] if index else 0.0
            high = bounds[index] if index < len(bounds) else most
            low, high = max(low, least), min(high, most)
            share = max(0.0, wanted - seen) / number
            # Times spread over a bucket's orders of magnitude, not over its seconds.
            return float(low * (high / low) ** share) if 0 < low < high else low
        seen += number
    return most


def _bucket(value: float) -> int:
    if value <= SMALLEST:
        return 0
    return min(_HIGHEST, math.ceil(math.log(value / SMALLEST) / _LOG))


def _middle(bucket: int) -> float:
    """The value whose distance to both ends of the bucket is the same share of it."""
    return SMALLEST * float(2 * GROWTH**bucket) / (1 + GROWTH) if bucket else 0.0
