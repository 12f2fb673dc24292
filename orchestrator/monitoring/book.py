"""Book: what happened to each plugin beside its calls, until the next minute's rows are made.

It hears the bus, the audit log and the sampler; each only adds a number.
"""

import threading
from collections import defaultdict
from dataclasses import dataclass, field

from orchestrator.clock import Clock
from orchestrator.model.audit import AuditAction, AuditEntry, Auditor, AuditOutcome
from orchestrator.model.events import EventName, PluginEvent
from orchestrator.model.permissions import PermissionKind
from orchestrator.monitoring.aggregates import Key, Row
from orchestrator.monitoring.counts import (
    BYTES,
    ENDS,
    EVENT,
    EVENT_COUNTS,
    REFUSED,
    RESTART,
    STATE,
    USED,
    Level,
    Sampled,
)
from orchestrator.monitoring.samples import Sample
from orchestrator.monitoring.sketch import Gauge

_OURS = "orchestrator/"
_PLUGIN = "plugin/"
_BROKERS = frozenset(
    {
        AuditAction.EGRESS,
        AuditAction.DATABASE,
        AuditAction.HOST_CALL,
        AuditAction.HOST_EVENT,
        AuditAction.QUOTA,
    }
)
_SHOWS_USE = {
    AuditAction.EGRESS: PermissionKind.EXTERNAL_API,
    AuditAction.DATABASE: PermissionKind.DATABASE_ACCESS,
    AuditAction.HOST_CALL: PermissionKind.PLUGIN_COMMUNICATION,
    AuditAction.HOST_EVENT: PermissionKind.PLUGIN_COMMUNICATION,
}
_TOTALS = {
    Sampled.CPU_SECONDS: "cpu_seconds_total",
    Sampled.THROTTLED_SECONDS: "throttled_seconds_total",
    Sampled.THROTTLED_PERIODS: "throttled_periods_total",
    Sampled.PERIODS: "periods_total",
    Sampled.OOM_KILLS: "oom_kills_total",
}
_MOST_APART_SECONDS = 180.0
"""Of two samples that say how busy it was: not over a sleep or a stop."""


@dataclass(slots=True)
class _Page:
    """One plugin's."""

    counts: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    gauges: dict[str, Gauge] = field(default_factory=dict)


class Book:
    """One per daemon. `audited` may be called by any thread, all else by the loop's."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pages: dict[str, _Page] = defaultdict(_Page)
        self._samples: dict[str, tuple[float, Sample]] = {}
        """(monotonic, sample) by plugin: the last one."""
        self._cpu: dict[str, float] = {}
        self._ended: set[str] = set()
        """Plugins whose next start is a restart."""
        self._lock = threading.Lock()

    def take(self) -> dict[Key, Row]:
        """What came since the last time."""
        with self._lock:
            pages, self._pages = self._pages, defaultdict(_Page)
        return {
            Key(plugin_id): Row(counts=dict(page.counts), gauges=page.gauges)
            for plugin_id, page in pages.items()
            if page.counts or page.gauges
        }

    # -- the bus --------------------------------------------------------------------------------

    def hear(self, event: PluginEvent) -> None:
        """A listener of the bus. Who publishes uses plugin_communication."""
        if event.source.startswith(_PLUGIN):
            publisher = event.source.removeprefix(_PLUGIN)
            self._count(publisher, f"{USED}:{PermissionKind.PLUGIN_COMMUNICATION}")
        elif event.source.startswith(_OURS) and event.subject and event.type in EVENT_COUNTS:
            self._tell(event.subject, event.type)

    def _tell(self, plugin_id: str, event_type: str) -> None:
        self._count(plugin_id, f"{EVENT}:{EVENT_COUNTS[event_type]}")
        if event_type in ENDS:
            self._ended.add(plugin_id)
        elif event_type == EventName.PLUGIN_STARTED and plugin_id in self._ended:
            self._ended.discard(plugin_id)
            self._count(plugin_id, f"{EVENT}:{RESTART}")

    # -- the audit log --------------------------------------------------------------------------

    def audited(self, entry: AuditEntry) -> None:
        """What brokers let pass and what they refused."""
        if entry.action not in _BROKERS or entry.actor != f"plugin:{entry.plugin_id}":
            return
        if entry.outcome is AuditOutcome.REFUSED:
            times = entry.data.get("times", 1)
            number = float(times) if isinstance(times, int) else 1.0
            self._count(entry.plugin_id, f"{REFUSED}:{entry.data.get('code', 'other')}", number)
        kind = _SHOWS_USE.get(entry.action)
        if kind is not None and entry.outcome is AuditOutcome.ALLOWED:
            self._count(entry.plugin_id, f"{USED}:{kind}")
            passed = [entry.data.get(name) for name in ("sent_bytes", "received_bytes")]
            number = float(sum(part for part in passed if isinstance(part, int)))
            if number:
                self._count(entry.plugin_id, f"{BYTES}:{kind}", number)

    # -- the sampler ----------------------------------------------------------------------------

    def sampled(self, plugin_id: str, sample: Sample) -> None:
        """One look at what it uses. The first only says from where the totals count."""
        now = self._clock.monotonic()
        then, last = self._samples.get(plugin_id, (now, None))
        self._samples[plugin_id] = (now, sample)
        self._levels(plugin_id, sample)
        if last is None:
            return
        for name, field_name in _TOTALS.items():
            grown = _grown(getattr(last, field_name), getattr(sample, field_name))
            if grown:
                self._count(plugin_id, name, grown)
        used = _grown(last.cpu_seconds_total, sample.cpu_seconds_total)
        if used is not None and 0 < now - then <= _MOST_APART_SECONDS:
            # By the clock that never jumps, for the sample's own may.
            percent = 100 * used / (now - then)
            self._cpu[plugin_id] = percent
            self._level(plugin_id, Level.CPU, percent, sample.cpu_limit_percent)

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
        self._ended &= plugin_ids

    # -------------------------------------------------------------------------------------------

    def _levels(self, plugin_id: str, sample: Sample) -> None:
        self._level(plugin_id, Level.MEMORY, sample.memory_bytes, sample.memory_limit_bytes)
        self._level(plugin_id, Level.DISK, sample.disk_bytes, sample.disk_limit_bytes)
        self._level(plugin_id, Level.NETWORK, sample.network_bytes, sample.network_limit_bytes)
        self._level(plugin_id, Level.PIDS, sample.pids, sample.pids_limit)

    def _level(self, plugin_id: str, name: Level, value: float | None, limit: float | None) -> None:
        if value is None:
            return
        look = Gauge.of(float(value), float(limit or 0.0))
        with self._lock:
            gauges = self._pages[plugin_id].gauges
            gauges[name] = gauges[name].plus(look) if name in gauges else look

    def _count(self, plugin_id: str, name: str, number: float = 1.0) -> None:
        with self._lock:
            self._pages[plugin_id].counts[name] += number


class Witness:
    """An Auditor that lets the book see what goes into the log."""

    def __init__(self, auditor: Auditor, book: Book) -> None:
        self._auditor = auditor
        self._book = book

    def record(self, entry: AuditEntry) -> None:
        """See Auditor."""
        self._auditor.record(entry)
        self._book.audited(entry)


def _grown(before: float | None, after: float | None) -> float | None:
    """How much a total grew; one that is smaller counts from a new start. None: nobody knows."""
    if before is None or after is None:
        return None
    return float(after - before if after >= before else after)
