"""Sources: the objects that own the facts of which /metrics tells, and who knows what is deployed.

Nothing is copied when something happens: each is asked at the moment of the scrape, so what is no
more has no series.
"""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field

from orchestrator.clock import Clock
from orchestrator.events.desk import EventDesk
from orchestrator.manager.doors import Doors
from orchestrator.manager.fleet import Fleet
from orchestrator.manager.loop import ReconcileLoop
from orchestrator.monitoring.custom import CustomNames
from orchestrator.monitoring.happenings import Happenings
from orchestrator.monitoring.looks import Looks
from orchestrator.monitoring.sampler import Sampler
from orchestrator.monitoring.tally import Tally
from orchestrator.sandbox.code import CodeSandbox
from orchestrator.sandbox.party_counts import CODE_PARTY, Counts
from orchestrator.store.audit_log import AuditLog


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncFacts:
    """How what is wanted is kept in step with git."""

    states: Mapping[str, bool]
    """Every state that there is, and whether it is in it."""
    last_success: float
    """Seconds since the epoch; 0 before the first."""
    syncs: int
    """Revisions that were taken up, since the repository is followed; likewise the two below."""
    failures: int
    heals: int
    """Changes by hand that were set back."""


def no_sync() -> SyncFacts | None:
    """Without git."""
    return None


@dataclass(slots=True, kw_only=True)
class Sources:
    """See the module."""

    fleet: Fleet
    doors: Doors
    loop: ReconcileLoop
    tally: Tally
    counts: Counts
    happenings: Happenings
    sampler: Sampler
    looks: Looks
    events: EventDesk
    audit: AuditLog
    code: CodeSandbox
    clock: Clock
    started_at: float
    sync: Callable[[], SyncFacts | None] = no_sync
    """None while no repository is followed."""
    logs_origin: Callable[[], str] = str
    """Where a browser finds the plugins' logs; empty: nowhere."""
    custom: CustomNames = field(default_factory=CustomNames, init=False)
    scrape_seconds: float = field(default=0.0, init=False)
    """What the last scrape took."""

    def known(self) -> Set[str]:
        """The plugins that may have series."""
        fleet = self.fleet
        return fleet.deployments.keys() | fleet.unread

    def prune(self) -> None:
        """Let go of what is counted of plugins that are deployed no more."""
        known = self.known()
        for plugin_id, _ in self.tally:
            if plugin_id not in known:
                self.tally.forget(plugin_id)
        for party, _ in self.counts:
            if party not in known and party != CODE_PARTY:
                self.counts.forget(party)
        for plugin_id in [name for name in self.fleet.restarts if name not in known]:
            del self.fleet.restarts[plugin_id]
        self.happenings.prune(known)
        self.custom.prune(known)


class DeclaredTools:
    """Declared over the fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def tools(self, plugin_id: str) -> Set[str] | None:
        deployment = self._fleet.deployments.get(plugin_id)
        if deployment is None:
            return None
        return frozenset(tool.name for tool in deployment.inputs.info.tools)
