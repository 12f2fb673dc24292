"""Exporter: one scrape, from the objects that own the facts to the text of /metrics.

It is a Collector of prometheus_client as well, for a program that has a registry of its own.
"""

import asyncio
import gc
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.registry import Collector

from orchestrator.monitoring.board import Board, Family
from orchestrator.monitoring.exposition import content_type_for, encode
from orchestrator.monitoring.facts_daemon import tell_daemon
from orchestrator.monitoring.facts_delivery import tell_delivery, tell_git
from orchestrator.monitoring.facts_plugins import tell_plugins
from orchestrator.monitoring.facts_security import SecurityFacts
from orchestrator.monitoring.metrics import MetricKind
from orchestrator.monitoring.sources import Sources


class Exporter(Collector):
    """`scrape` is what /metrics answers."""

    def __init__(self, sources: Sources, registry: CollectorRegistry | None = None) -> None:
        self._sources = sources
        self._security = SecurityFacts()
        if registry is not None:
            registry.register(self)

    async def scrape(self, accept: str = "") -> tuple[str, bytes]:
        """(content type, text). Calls go on meanwhile: it takes a breath after each slice."""
        clock = self._sources.clock
        began, content_type = clock.monotonic(), content_type_for(accept)
        pieces: list[bytes] = []
        slices = self._slices(content_type, pieces)
        while _next(slices):  # noqa: ASYNC110 - it waits for nothing: others come first
            await asyncio.sleep(0)
        self._sources.scrape_seconds = clock.monotonic() - began
        return content_type, b"".join(pieces)

    def board(self) -> Board:
        """The numbers of now."""
        board = Board()
        for _ in self._fill(board):
            pass
        return board

    def _slices(self, content_type: str, pieces: list[bytes]) -> Iterator[None]:
        board = Board()
        yield from self._fill(board)
        for piece in encode(board, content_type):
            pieces.append(piece)
            yield

    def _fill(self, board: Board) -> Iterator[None]:
        self._sources.prune()
        yield from tell_plugins(self._sources, board)
        self._security.tell(self._sources, board)
        yield
        tell_delivery(self._sources, board)
        yield
        tell_git(self._sources, board)
        yield
        tell_daemon(self._sources, board)
        yield

    def collect(self) -> Iterable[Metric]:
        """See Collector."""
        return [_as_metric(family) for family in self.board()]

    def describe(self) -> Iterable[Metric]:
        """Nothing: a registry that wants to know asks `collect`, and there is one of us."""
        return []


def _next(slices: Iterator[None]) -> bool:
    """One slice; whether there was one.

    Thousands of small things are made in it, none of them in a circle, and the collector would
    look through all of the daemon several times meanwhile: half of the time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        next(slices)
    except StopIteration:
        return False
    finally:
        if was_enabled:
            gc.enable()
    return True


def _as_metric(family: Family) -> Metric:
    it = family.metric
    match it.kind:
        case MetricKind.COUNTER:
            counter = CounterMetricFamily(it.name, it.help, labels=it.labels)
            for labels, value in family.rows:
                counter.add_metric(labels, value)
            return counter
        case MetricKind.GAUGE:
            gauge = GaugeMetricFamily(it.name, it.help, labels=it.labels)
            for labels, value in family.rows:
                gauge.add_metric(labels, value)
            return gauge
        case MetricKind.INFO:
            info = InfoMetricFamily(it.name.removesuffix("_info"), it.help)
            for labels, _ in family.rows:
                info.add_metric((), dict(zip(it.labels, labels, strict=True)))
            return info
        case MetricKind.HISTOGRAM:
            return _as_histogram(family)


def _as_histogram(family: Family) -> Metric:
    it = family.metric
    histogram = HistogramMetricFamily(it.name, it.help, labels=it.labels)
    for labels, spread, _ in family.spreads:
        total, buckets = 0, []
        for bound, count in zip([*map(str, spread.bounds), "+Inf"], spread.buckets, strict=True):
            total += count
            buckets.append((bound, total))
        histogram.add_metric(labels, buckets, spread.seconds)
    return histogram
