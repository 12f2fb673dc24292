"""Happenings: what is counted because nobody else keeps a sum of it. A listener on the bus.

The daemon tells it also of what is no event: passes, builds, runs of code, refused commands. Every
label is from a closed list or a plugin that is deployed; `prune` lets go of all others.
"""

from collections import Counter
from collections.abc import Iterable, Set
from typing import Final

from orchestrator.errors import Kind
from orchestrator.model.audit import AuditAction, AuditEntry, Auditor, AuditOutcome
from orchestrator.model.events import EventName, PluginEvent
from orchestrator.monitoring.counts import ALERTS
from orchestrator.monitoring.tally import SLOW_BOUNDS, Spread

_ROLLOUTS: Final = "orchestrator.rollout."
ROLLOUT_OUTCOMES: Final = ("started", "completed", "failed", "rolled_back")
"""Those that Prometheus is to know before the first one: see facts_plugins."""
_PLUGIN: Final = "plugin/"
_BROKERS: Final = "plugin:"
"""Actors whose refusals their brokers count, to the last one."""
_BY_ACTION: Final = frozenset({AuditAction.POLICY_DECISION, AuditAction.GIT_SYNC})
"""Refused by no error: an update that asks for more, a commit that may not be taken up."""
Pairs = Counter[tuple[str, str]]


class Happenings:
    """Since the daemon started. Pairs are (plugin, …); the plugin is empty for none."""

    def __init__(self) -> None:
        self.alerts: Pairs = Counter()
        self.drifts: Pairs = Counter()
        """(plugin, field)."""
        self.rollouts: Pairs = Counter()
        """(plugin, outcome)."""
        self.refusals: Pairs = Counter()
        """(plugin, rule) of policy; those of brokers are the brokers' own."""
        self.published: Pairs = Counter()
        """(plugin, kind of publisher)."""
        self.ooms: Counter[str] = Counter()
        """By plugin."""
        self.task_failures: Counter[str] = Counter()
        self.builds: Counter[str] = Counter(ok=0, build_failed=0)
        self.build_times = Spread(SLOW_BOUNDS)
        self.code_runs: Counter[str] = Counter(ok=0)
        self.code_times = Spread(SLOW_BOUNDS)
        self.passes = Spread(SLOW_BOUNDS)

    def hear(self, event: PluginEvent) -> None:
        """A listener on the bus."""
        source, plugin_id = event.source, event.subject
        if source.startswith(_PLUGIN):
            self.published[source.removeprefix(_PLUGIN), "plugin"] += 1
            return  # whatever its type says: only the orchestrator's own words count below
        kind = "orchestrator" if source.startswith("orchestrator/") else "operator"
        self.published["", kind] += 1
        if kind == "orchestrator":
            self._count(event, plugin_id)

    def _count(self, event: PluginEvent, plugin_id: str) -> None:
        alert = ALERTS.get(event.type)
        if alert is not None:
            self.alerts[plugin_id, alert] += 1
        if event.type == EventName.PLUGIN_DRIFTED:
            self.drifts[plugin_id, str(event.data.get("field", ""))] += 1
        elif event.type == EventName.PLUGIN_OOM:
            self.ooms[plugin_id] += 1
        elif event.type.startswith(_ROLLOUTS):
            self.rollouts[plugin_id, event.type.removeprefix(_ROLLOUTS)] += 1
        elif event.type == EventName.DAEMON_TASK_FAILED:
            self.task_failures[str(event.data.get("task", ""))] += 1

    def expect(self, tasks: Iterable[str]) -> None:
        """The daemon's own tasks, none of which has failed yet."""
        self.task_failures.update(dict.fromkeys(tasks, 0))

    def built(self, outcome: str, seconds: float) -> None:
        """An image was built, or could not be."""
        self.builds[outcome] += 1
        self.build_times.add(seconds)

    def ran(self, reason: str, seconds: float) -> None:
        """A run of handed-in code ended."""
        self.code_runs[reason] += 1
        self.code_times.add(seconds)

    def refused(self, entry: AuditEntry) -> None:
        """An entry for the audit log."""
        if entry.outcome is not AuditOutcome.REFUSED or entry.actor.startswith(_BROKERS):
            return
        if entry.action in _BY_ACTION:
            self.refusals[entry.plugin_id, str(entry.action)] += 1
        elif entry.data.get("kind") == Kind.DENIED:
            # Of what is merely mistyped nobody need be warned. The code is of an error of ours.
            self.refusals[entry.plugin_id, str(entry.data["code"])] += 1

    def prune(self, known: Set[str]) -> None:
        """Forget plugins that are not deployed any more."""
        for pairs in (
            self.alerts,
            self.drifts,
            self.rollouts,
            self.refusals,
            self.published,
        ):
            for key in [key for key in pairs if key[0] and key[0] not in known]:
                del pairs[key]
        for plugin_id in [name for name in self.ooms if name not in known]:
            del self.ooms[plugin_id]


class CountingAuditor:
    """An Auditor that counts what is refused on its way to the log."""

    def __init__(self, log: Auditor, happenings: Happenings) -> None:
        self._log = log
        self._happenings = happenings

    def record(self, entry: AuditEntry) -> None:
        self._happenings.refused(entry)
        self._log.record(entry)
