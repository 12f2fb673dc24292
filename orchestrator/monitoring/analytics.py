"""PluginAnalytics: what an operator asks of the stored figures; the specification's two questions.

It writes down what was counted until now before it answers, so that the last call is in it.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.clock import Clock
from orchestrator.manager.manager import PluginManager
from orchestrator.monitoring.figures import (
    PluginFigures,
    Timeframe,
    calls_made_by,
    figures,
    together,
)
from orchestrator.monitoring.keeper import Keeper
from orchestrator.monitoring.known import KnownVersions, facts_of
from orchestrator.monitoring.plugin_metrics import Facts, PluginMetrics, plugin_metrics
from orchestrator.monitoring.report import Surroundings, report
from orchestrator.monitoring.timeframe import DEFAULT, chart_step, cover, parts, seconds_of

FRESH_SECONDS: Final = 1.0
"""Who asks again within it gets the figures that were written then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    timeframe: Timeframe
    found: Mapping[str, PluginFigures]


class PluginAnalytics:
    """One per daemon."""

    def __init__(
        self, *, keeper: Keeper, manager: PluginManager, instance: str, clock: Clock
    ) -> None:
        self._keeper = keeper
        self._manager = manager
        self._instance = instance
        self._clock = clock
        self._versions = KnownVersions(manager)
        self._flushed = float("-inf")

    @property
    def trouble(self) -> str:
        """What keeps figures from being written; empty while they are."""
        return self._keeper.trouble

    async def get_plugin_metrics(self, plugin_id: str, timeframe: str = DEFAULT) -> PluginMetrics:
        """Performance, usage, health and security of a plugin.

        Raises PluginNotFound, TimeframeInvalid, StoreUnavailable.
        """
        self._manager.deployment(plugin_id)
        asked = await self._figures(timeframe)
        facts = {one.plugin_id: one for one in await self._facts()}
        self._manager.deployment(plugin_id)  # it may be gone by now
        return plugin_metrics(
            facts[plugin_id],
            asked.found.get(plugin_id, PluginFigures()),
            asked.timeframe,
            calls_of_others=calls_made_by(plugin_id, asked.found),
        )

    async def generate_report(self, timeframe: str = DEFAULT) -> dict[str, Any]:
        """All plugins, also those that are gone. Raises TimeframeInvalid, StoreUnavailable."""
        asked = await self._figures(timeframe)
        facts = await self._facts()
        policy = self._manager.policy
        around = Surroundings(
            instance=self._instance, policy=policy.analytics, ceilings=policy.ceilings
        )
        return await asyncio.to_thread(report, facts, asked.found, asked.timeframe, around)

    # -------------------------------------------------------------------------------------------

    async def _figures(self, name: str) -> _Asked:
        seconds = seconds_of(name)
        await self._flush()
        now = self._clock.now()
        point_seconds = chart_step(seconds)
        timeframe = Timeframe(name=name, begin=now - seconds, end=now, point_seconds=point_seconds)
        kept = await self._keeper.kept_from()
        spans = cover(timeframe.begin, now, kept.__getitem__, coarsest=point_seconds)
        found: Mapping[str, PluginFigures] = {}
        for part in parts(spans):
            rows = await self._keeper.read(part)
            new = await asyncio.to_thread(figures, rows, timeframe)
            found = together(found, new)
        return _Asked(timeframe=timeframe, found=found)

    async def _flush(self) -> None:
        now = self._clock.monotonic()
        if now - self._flushed >= FRESH_SECONDS:
            self._flushed = now
            await self._keeper.flush()

    async def _facts(self) -> list[Facts]:
        newer = await self._versions.newer()
        return facts_of(self._manager, newer)
