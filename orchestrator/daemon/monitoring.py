"""The part of the composition root that measures: a part of build.py of its own."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from orchestrator.clock import Clock
from orchestrator.daemon.backends import Backends
from orchestrator.daemon.settings import DaemonSettings
from orchestrator.engine.base import Probe
from orchestrator.engine.usage import Usages
from orchestrator.events.desk import EventDesk
from orchestrator.manager.fleet import Fleet
from orchestrator.manager.manager import PluginManager
from orchestrator.manager.meters import Meters
from orchestrator.monitoring.call_log import CallLog
from orchestrator.monitoring.counted_images import CountedImages
from orchestrator.monitoring.exporter import Exporter
from orchestrator.monitoring.happenings import Happenings
from orchestrator.monitoring.looks import Looks
from orchestrator.monitoring.recorder import CallRecorder
from orchestrator.monitoring.sampler import Sampler
from orchestrator.monitoring.sources import DeclaredTools, Sources, SyncFacts
from orchestrator.monitoring.tally import Tally
from orchestrator.monitoring.tracing import Tracing
from orchestrator.sandbox.code import CodeSandbox
from orchestrator.sandbox.party_counts import Counts
from orchestrator.server.metrics_server import MetricsListener
from orchestrator.store.audit_log import AuditLog

_LOG = logging.getLogger("orchestrator")


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruments:
    """What is written to while the daemon works; made first, as everything tells it something."""

    tally: Tally
    recorder: CallRecorder
    happenings: Happenings
    counts: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitoring:
    """What reads it."""

    instruments: Instruments
    sampler: Sampler
    looks: Looks
    exporter: Exporter
    listener: MetricsListener
    tracing: Tracing | None
    """None where nobody wants traces."""


def measured(backends: Backends, fleet: Fleet, clock: Clock) -> tuple[Instruments, Backends]:
    """Before all else that is made; the backends are the same, with every build told of."""
    tally, happenings = Tally(), Happenings()
    instruments = Instruments(
        tally=tally,
        recorder=CallRecorder(tally, declared=DeclaredTools(fleet), now=clock.now),
        happenings=happenings,
        counts=Counts(),
    )
    images = CountedImages(backends.images, built=happenings.built, clock=clock)
    return instruments, replace(backends, images=images)


def tracing_of(settings: DaemonSettings, clock: Clock) -> Tracing | None:
    """As the environment says; without the extra `otel` that is told, and costs nothing else."""
    wanted = settings.traces
    if wanted is None:
        return None
    try:
        from orchestrator.monitoring.otlp import OtlpExporter  # noqa: PLC0415 - it is an extra
    except ImportError as error:
        _LOG.warning(
            "no traces are kept: %s; install orchestrator's own wheel as `WHEEL[otel]`", error
        )
        return None
    exporter = OtlpExporter(wanted.endpoint, service=wanted.service, instance=settings.instance)
    return Tracing(exporter, clock=clock, ratio=wanted.ratio)


def monitoring_of(
    settings: DaemonSettings,
    instruments: Instruments,
    *,
    manager: PluginManager,
    meters: Meters,
    usages: Usages | None,
    probe: Probe,
    events: EventDesk,
    audit: AuditLog,
    code: CodeSandbox,
    clock: Clock,
    sync: Callable[[], SyncFacts | None],
    logs_origin: Callable[[], str],
) -> Monitoring:
    """After all else: it asks everybody."""
    fleet, loop = manager.fleet, manager.loop
    loop.timed = instruments.happenings.passes.add
    code.told = instruments.happenings.ran
    tracing = tracing_of(settings, clock)
    tellers = [CallLog(monotonic=clock.monotonic).ended]
    if tracing is not None:
        instruments.recorder.trace = tracing.begin
        tellers.append(tracing.ended)
    instruments.recorder.also = tuple(tellers)
    sampler = Sampler(fleet=fleet, meters=meters, usages=usages, clock=clock)
    looks = Looks(events=events, probe=probe, audit=audit)
    sources = Sources(
        fleet=fleet,
        doors=loop.doors,
        loop=loop,
        tally=instruments.tally,
        counts=instruments.counts,
        happenings=instruments.happenings,
        sampler=sampler,
        looks=looks,
        events=events,
        audit=audit,
        code=code,
        clock=clock,
        started_at=clock.now(),
        sync=sync,
        logs_origin=logs_origin,
    )
    # Also where nobody scrapes: plugins come and go for as long as a daemon lives.
    sampler.listen(lambda _samples: sources.prune())
    exporter = Exporter(sources)
    listener = MetricsListener(scrape=exporter.scrape, wanted=lambda: fleet.monitoring.address)
    return Monitoring(
        instruments=instruments,
        sampler=sampler,
        looks=looks,
        exporter=exporter,
        listener=listener,
        tracing=tracing,
    )
