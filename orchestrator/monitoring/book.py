"""Book: what happened to each plugin beside its calls, until the next minute's rows are made.

It hears the bus and the sampler; each only adds a number.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from orchestrator.clock import Clock
from orchestrator.model.events import PluginEvent
from orchestrator.model.permissions import PermissionKind
from orchestrator.monitoring.aggregates import Key, Row
from orchestrator.monitoring.counts import (
    EVENT,
    EVENT_COUNTS,
    STATE,
    USED,
    Level,
    Sampled,
)
from orchestrator.monitoring.samples import Sample
from orchestrator.monitoring.sketch import Gauge

_OURS = "orchestrator/"
_PLUGIN = "plugin/"
_TOTALS = {
    Sampled.CPU_SECONDS: "cpu_seconds_total",
    Sampled.THROTTLED_SECONDS: "throttled_seconds_total",
    Sampled.THROTTLED_PERIODS: "throttled_periods_total",
    Sampled.PERIODS: "periods_total",
    Sampled.OOM_KILLS: "oom_kills_total",
}
_MOST_APART_SECONDS = 180.0
"""Of two samples that say how busy it was: not over a sleep or a stop."""
_MOST_LOOKS = 60
"""That wait to be merged: nobody has taken any for long."""
_MOST_TIMES_LIMIT = 4
"""Of the CPU that there is for it: what is beyond was not used between two looks."""


@dataclass(slots=True)
class _Page:
    """One plugin's."""

    counts: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    looks: dict[str, list[Gauge]] = field(default_factory=lambda: defaultdict(list))


class Book:
    """One per daemon."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pages: dict[str, _Page] = defaultdict(_Page)
        self._samples: dict[str, tuple[float, Sample]] = {}
        """(monotonic, sample) by plugin: the last one."""
        self._cpu: dict[str, float] = {}

    def take(self) -> Iterator[dict[Key, Row]]:
        """What came since the last time, plugin by plugin: others may run in between."""
        pages, self._pages = self._pages, defaultdict(_Page)
        for plugin_id, page in pages.items():
            gauges = {name: Gauge.merged(looks) for name, looks in page.looks.items()}
            yield {Key(plugin_id): Row(counts=dict(page.counts), gauges=gauges)}

    # -- the bus --------------------------------------------------------------------------------

    def hear(self, event: PluginEvent) -> None:
        """A listener of the bus. Who publishes uses plugin_communication."""
        if event.source.startswith(_PLUGIN):
            publisher = event.source.removeprefix(_PLUGIN)
            self._count(publisher, f"{USED}:{PermissionKind.PLUGIN_COMMUNICATION}")
        elif event.source.startswith(_OURS) and event.subject and event.type in EVENT_COUNTS:
            self._count(event.subject, f"{EVENT}:{EVENT_COUNTS[event.type]}")

    # -- the sampler ----------------------------------------------------------------------------

    def sampled(self, samples: Mapping[str, Sample]) -> None:
        """A listener of the sampler: one look at what each plugin uses."""
        for plugin_id, sample in samples.items():
            self._sampled(plugin_id, sample)

    def _sampled(self, plugin_id: str, sample: Sample) -> None:
        """The first look only says from where the totals count."""
        now = self._clock.monotonic()
        then, last = self._samples.get(plugin_id, (now, sample))
        self._samples[plugin_id] = (now, sample)
        self._levels(plugin_id, sample)
        used = _grown(last.cpu_seconds_total, sample.cpu_seconds_total)
        limit = max(100, sample.cpu_limit_percent or 0)
        if used is not None and used > _MOST_TIMES_LIMIT * limit / 100 * max(now - then, 1.0):
            return  # a container came into view with all that it had counted before
        for name, field_name in _TOTALS.items():
            grown = _grown(getattr(last, field_name), getattr(sample, field_name))
            if grown:
                self._count(plugin_id, name, grown)
        if used is not None and 0 < now - then <= _MOST_APART_SECONDS:
            # By the clock that never jumps, for the sample's own may.
            self._cpu[plugin_id] = percent = 100 * used / (now - then)
            self._level(plugin_id, Level.CPU, percent, sample.cpu_limit_percent, sample.containers)

    def saw_state(self, plugin_id: str, state: str) -> None:
        """How it does, as `orchestrator ps` says; once a minute."""
        self._count(plugin_id, f"{STATE}:{state}")

    def latest(self, plugin_id: str) -> tuple[Sample | None, float | None]:
        """The last sample, and the CPU percent between the last two."""
        _, sample = self._samples.get(plugin_id, (0.0, None))
        return sample, self._cpu.get(plugin_id)

    def keep_only(self, plugin_ids: set[str]) -> None:
        """Others are deployed no more."""
        for gone in self._samples.keys() - plugin_ids:
            del self._samples[gone]
            self._cpu.pop(gone, None)

    # -------------------------------------------------------------------------------------------

    def _levels(self, plugin_id: str, sample: Sample) -> None:
        """Memory, CPU and processes of one container: the average of its replicas."""
        many = sample.containers
        for name, value, limit, parts in (
            (Level.MEMORY, sample.memory_bytes, sample.memory_limit_bytes, many),
            (Level.PIDS, sample.pids, sample.pids_limit, many),
            (Level.DISK, sample.disk_bytes, sample.disk_limit_bytes, 1),
            (Level.NETWORK, sample.network_bytes, sample.network_limit_bytes, 1),
        ):
            self._level(plugin_id, name, value, limit, parts)

    def _level(
        self, plugin_id: str, name: Level, value: float | None, limit: float | None, parts: int
    ) -> None:
        if value is None:
            return
        parts = max(1, parts)
        looks = self._pages[plugin_id].looks[name]
        looks.append(Gauge.of(value / parts, (limit or 0.0) / parts))
        if len(looks) >= _MOST_LOOKS:
            looks[:] = [Gauge.merged(looks)]

    def _count(self, plugin_id: str, name: str, number: float = 1.0) -> None:
        self._pages[plugin_id].counts[name] += number


def _grown(before: float | None, after: float | None) -> float | None:
    """How much a total grew; one that is smaller counts from a new start. None: nobody knows."""
    if before is None or after is None:
        return None
    return float(after - before if after >= before else after)
