"""LiveView: every plugin as it is now, in totals. Who looks twice knows what came between."""

import os
from typing import Any

from orchestrator.clock import Clock
from orchestrator.manager.doors import Doors
from orchestrator.manager.fleet import Fleet
from orchestrator.manager.statuses import statuses
from orchestrator.model.status import PluginStatus
from orchestrator.monitoring.book import Book
from orchestrator.monitoring.differences import judged_calls, judged_failures
from orchestrator.monitoring.tally import BOUNDS, PluginTally, Tally

MIB = 1 << 20


class LiveView:
    """What `orchestrator top` asks for."""

    def __init__(
        self, *, fleet: Fleet, doors: Doors, tally: Tally, book: Book, clock: Clock
    ) -> None:
        self._fleet = fleet
        self._doors = doors
        self._tally = tally
        self._book = book
        self._clock = clock
        self._daemon = f"{os.getpid()}@{clock.now():.3f}"

    def now(self) -> dict[str, Any]:
        """`at` is a clock that never jumps; `daemon` differs for another one's totals."""
        tallies = dict(self._tally)
        return {
            "daemon": self._daemon,
            "at": self._clock.monotonic(),
            "plugins": [
                self._plugin(row, tallies.get(row.plugin_id, PluginTally()))
                for row in statuses(self._fleet)
            ],
        }

    def _plugin(self, row: PluginStatus, tally: PluginTally) -> dict[str, Any]:
        sample, cpu_percent = self._book.latest(row.plugin_id)
        deployment = self._fleet.deployments.get(row.plugin_id)
        limits = deployment.grant.limits if deployment is not None else None
        containers = max(1, sample.containers) if sample is not None else 1
        sandboxes = self._fleet.routes.get(row.plugin_id, ())
        waiting = sum(sandbox.waiting for sandbox in sandboxes)
        spread = tally.spread
        return {
            "plugin_id": row.plugin_id,
            "status": row.status,
            "sub_state": row.sub_state,
            "restarts": row.restarts,
            "calls": tally.calls,
            "judged": judged_calls(tally.outcomes),
            "failed": judged_failures(tally.outcomes),
            "bounds": BOUNDS,
            "buckets": list(spread.buckets),
            "least_seconds": spread.least if spread.count else None,
            "most_seconds": spread.most,
            "in_flight": self._fleet.in_flight(row.plugin_id) - waiting,
            "queued": waiting + self._doors.waiting(row.plugin_id),
            "cpu_percent": cpu_percent,
            "cpu_limit_percent": limits.max_cpu_percent * containers if limits else None,
            "memory_bytes": sample.memory_bytes if sample is not None else None,
            "memory_limit_bytes": limits.max_memory_mb * MIB * containers if limits else None,
        }
