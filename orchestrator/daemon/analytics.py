"""Stored figures put together: a part of the composition root (build.py) of its own."""

import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass

from orchestrator.clock import Clock
from orchestrator.daemon.monitoring import Monitoring
from orchestrator.daemon.settings import DaemonSettings
from orchestrator.events.bus import PluginEventBus
from orchestrator.manager.manager import PluginManager
from orchestrator.manager.statuses import statuses
from orchestrator.monitoring.aggregates import merged_text
from orchestrator.monitoring.analytics import PluginAnalytics
from orchestrator.monitoring.book import Book
from orchestrator.monitoring.differences import TallyReader
from orchestrator.monitoring.keeper import Keeper
from orchestrator.monitoring.live import LiveView
from orchestrator.monitoring.totals import TotalsReader
from orchestrator.server.analytics_routes import AnalyticsApi
from orchestrator.store.series_sqlite import SqliteSeries

_LOG = logging.getLogger("orchestrator")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What keeps them, and who tells of them."""

    keeper: Keeper
    analytics: PluginAnalytics
    api: AnalyticsApi


def open_analytics(
    settings: DaemonSettings,
    stack: AsyncExitStack,
    *,
    monitoring: Monitoring,
    manager: PluginManager,
    bus: PluginEventBus,
    clock: Clock,
) -> Figures:
    """Raises StoreUnavailable."""
    store = SqliteSeries.open(settings.statistics, merged_text)
    if store.trouble:
        _LOG.error("%s", store.trouble)
    fleet, instruments = manager.fleet, monitoring.instruments
    book = Book(clock)
    bus.listen(book.hear)
    monitoring.sampler.listen(book.sampled)
    keeper = Keeper(
        store=store,
        readers=(
            TallyReader(instruments.tally),
            TotalsReader(
                counts=instruments.counts,
                refusals=instruments.happenings.refusals,
                restarts=fleet.restarts,
            ),
            book,
        ),
        book=book,
        states=lambda: {row.plugin_id: str(row.status) for row in statuses(fleet)},
        policy=lambda: manager.policy.analytics,
        clock=clock,
    )
    stack.callback(keeper.close)
    analytics = PluginAnalytics(
        keeper=keeper, manager=manager, instance=settings.instance, clock=clock
    )
    live = LiveView(
        fleet=fleet, doors=manager.loop.doors, tally=instruments.tally, book=book, clock=clock
    )
    return Figures(keeper=keeper, analytics=analytics, api=AnalyticsApi(analytics, live))
