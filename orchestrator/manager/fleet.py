"""Fleet: all that the daemon knows now, in one place: wanted, seen, remembered, under way."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from pydantic import JsonValue

from orchestrator.clock import Clock, SystemClock
from orchestrator.engine.base import LABEL_DIGEST, LABEL_PLUGIN, LABEL_SANDBOX
from orchestrator.manager.actions import Health, Sighting, Sleep, Want
from orchestrator.manager.deployment import Deployment
from orchestrator.manager.drift import Drifted, curable
from orchestrator.manager.held import HELD, HeldUpdate, stored_updates, to_held_record
from orchestrator.manager.histories import from_history_record, to_history_record
from orchestrator.manager.idle import sleep_of
from orchestrator.manager.members import in_service
from orchestrator.manager.monitored import MONITORING
from orchestrator.manager.restart import History, end_of, next_start
from orchestrator.manager.revision_records import REVISIONS
from orchestrator.manager.under_way import UnderWay
from orchestrator.model.container import ContainerState
from orchestrator.model.monitoring import MonitoringConfig
from orchestrator.model.policy import SecurityPolicy
from orchestrator.model.status import LastWords, RolloutStatus
from orchestrator.sandbox.sandbox import PluginSandbox, SandboxState
from orchestrator.store.base import Record, RecordStore, StoreUnavailable
from orchestrator.store.rebuild import Rebuilt

_BADNESS: Final = {"degraded": 1, "error": 2}
DESIRED: Final = "desired"
LAST_WORDS: Final = "last_words"
_HISTORIES = "history"
_RUNS = "run"
_HEALTH = {
    SandboxState.STARTING: Health.STARTING,
    SandboxState.READY: Health.READY,
    SandboxState.PAUSED: Health.READY,
    SandboxState.DRAINING: Health.READY,
    SandboxState.STUCK: Health.STUCK,
    SandboxState.CLOSED: Health.UNKNOWN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a plugin last said of itself (`GET /v1/status`)."""

    state: str
    detail: str = ""
    metrics: tuple[tuple[str, float], ...] = ()


@dataclass(slots=True)
class Fleet:
    """Owned by the loop; commands change `deployments` and wake it."""

    store: RecordStore
    clock: Clock = field(default_factory=SystemClock)
    policy: SecurityPolicy = field(default_factory=SecurityPolicy)
    monitoring: MonitoringConfig = field(default_factory=MonitoringConfig)
    deployments: dict[str, Deployment] = field(default_factory=dict)
    """Plugin → the revision that is wanted now."""
    earlier: dict[str, dict[str, Deployment]] = field(default_factory=dict)
    """Plugin → digest → other revisions of it whose containers may still be needed."""
    paused: set[str] = field(default_factory=set)
    """Plugins whose rollout stands still."""
    rolled_back: set[str] = field(default_factory=set)
    """Plugins of which an earlier revision, that was well before, is wanted in effect."""
    routes: dict[str, tuple[PluginSandbox, ...]] = field(default_factory=dict)
    """Plugin → the sandboxes that take its calls, as of the last pass."""
    can_pause: bool = False
    """Whether the engine can; without it a plugin sleeps only by being stopped."""
    used_at: dict[str, float] = field(default_factory=dict)
    """Plugin → when it was last wanted awake, by the monotonic clock."""
    told: bool = False
    """Whether anybody ever said what is wanted: without that (a lost state file, say) nothing is
    removed as unwanted."""
    unread: set[str] = field(default_factory=set)
    """Wanted plugins whose records this version cannot read: their containers are left alone."""
    rebuilt: Rebuilt | None = None
    """What became of the state file, until that is settled."""
    in_doubt: bool = False
    """Whether records may be missing that nobody knows of, and nothing was looked at since."""
    unfit: dict[str, str] = field(default_factory=dict)
    """Why each of them cannot be read."""
    rollout_of: Callable[[str], RolloutStatus | None] = lambda _: None
    """How a plugin's rollout goes; `Rollouts` answers."""
    containers: dict[str, ContainerState] = field(default_factory=dict)
    sandboxes: dict[str, PluginSandbox] = field(default_factory=dict)
    """By sandbox id."""
    histories: dict[str, History] = field(default_factory=dict)
    """By sandbox id."""
    restarts: Counter[str] = field(default_factory=Counter)
    """By plugin, since the daemon started; a history begins anew with each `up`."""
    busy: UnderWay = field(default_factory=UnderWay)
    waiting: dict[str, str] = field(default_factory=dict)
    images: set[str] = field(default_factory=set)
    """Images that the engine is known to hold."""
    store_trouble: str = ""
    """Why the last record could not be written; empty while they can."""
    reports: dict[str, Report] = field(default_factory=dict)
    """By sandbox id."""
    well_since: dict[str, float] = field(default_factory=dict)
    """Sandbox → since when it has been ready and has said that it is well, monotonic."""
    last_words: dict[str, LastWords] = field(default_factory=dict)
    """Plugin → what is kept of its last failure."""
    held: dict[str, HeldUpdate] = field(default_factory=dict)
    """Updates that ask for more than before, until somebody grants them."""
    disks: dict[str, str] = field(default_factory=dict)
    """Plugin → what holds the size of its /data."""
    networks: dict[str, dict[str, JsonValue]] = field(default_factory=dict)
    """Plugin → what its network behind the guard has carried."""
    causes: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Container → (reason, detail) of an end that the daemon brought about."""
    drifts: dict[str, tuple[Drifted, ...]] = field(default_factory=dict)  # by container
    ooms: set[str] = field(default_factory=set)
    """Containers in whose present run something was killed for memory."""

    def wants(self) -> dict[str, Want]:
        return {name: self.want(name) for name in self.deployments}

    def want(self, plugin_id: str) -> Want:
        """A wanted plugin as `plan` sees it."""
        deployment = self.deployments[plugin_id]
        return replace(
            deployment.want(image_ready=deployment.inputs.image in self.images),
            # What is gone back to was proven before: it takes the calls as soon as it is ready.
            min_healthy_seconds=0.0
            if plugin_id in self.rolled_back
            else self.policy.rollout.min_healthy_seconds,
            paused=plugin_id in self.paused,
            known=frozenset(self.earlier.get(plugin_id, ())),
            sleep=self.sleep(plugin_id)[0],
        )

    def seen(self) -> dict[str, list[Sighting]]:
        """Every container by its plugin, those of one plugin by name."""
        seen: dict[str, list[Sighting]] = {}
        now = self.clock.monotonic()
        for container in sorted(self.containers.values(), key=lambda c: c.name):
            sandbox_id = container.label(LABEL_SANDBOX)
            sandbox = self.sandboxes.get(sandbox_id)
            since = self.well_since.get(sandbox_id)
            seen.setdefault(container.label(LABEL_PLUGIN), []).append(
                Sighting(
                    container=container,
                    health=_HEALTH[sandbox.state] if sandbox is not None else Health.UNKNOWN,
                    trouble=sandbox.trouble if sandbox is not None else "",
                    well_seconds=None if since is None else now - since,
                    drift=curable(self.drifts.get(container.container_id, ())),
                )
            )
        return seen

    def sandbox_of(self, container: ContainerState) -> PluginSandbox | None:
        return self.sandboxes.get(container.label(LABEL_SANDBOX))

    def sandbox(self, plugin_id: str) -> PluginSandbox | None:
        """The sandbox that takes the plugin's next call: the one with the fewest."""
        best: PluginSandbox | None = None
        for sandbox in self.routes.get(plugin_id, ()):
            # Of equals the one that was taken longest ago: all of them are tried and kept warm.
            if sandbox.state is SandboxState.READY and (
                best is None
                or (sandbox.in_flight, sandbox.used_at) < (best.in_flight, best.used_at)
            ):
                best = sandbox
        return best

    def find(self, plugin_id: str, sandbox_id: str) -> Deployment | None:
        """The deployment that the sandbox belongs to, of the wanted revision or of an earlier."""
        wanted = self.deployments.get(plugin_id)
        revisions = [*([wanted] if wanted else []), *self.earlier.get(plugin_id, {}).values()]
        members = (revision.member(sandbox_id) for revision in revisions)
        return next((member for member in members if member is not None), None)

    def drop_unused(self) -> None:
        """Revisions of which no container is left need not be known any more."""
        used = {c.label(LABEL_DIGEST) for c in self.containers.values()}
        self.earlier = {
            name: kept
            for name, revisions in self.earlier.items()
            if (kept := {digest: one for digest, one in revisions.items() if digest in used})
        }

    def is_stale(self, deployment: Deployment) -> bool:
        """Whether another revision of it is wanted by now, or none."""
        wanted = self.deployments.get(deployment.plugin_id)
        return wanted is None or wanted.compiled.digest != deployment.compiled.digest

    def is_expected(self, plugin_id: str) -> bool:
        """Whether a plugin that takes no calls now is about to."""
        deployment = self.deployments.get(plugin_id)
        if deployment is None or not deployment.running or plugin_id in self.unread:
            return False
        # An update that fails is gone back from: who calls meanwhile waits for that.
        rollout = self.rollout_of(plugin_id)
        return plugin_id not in self.waiting or (rollout is not None and rollout.moving)

    def report(self, plugin_id: str) -> Report | None:
        """What the plugin last said of itself; of several replicas the worst."""
        ids = self.deployments[plugin_id].want(image_ready=True).sandbox_ids
        reports = [self.reports[each] for each in ids if each in self.reports]
        return max(reports, key=lambda one: _BADNESS.get(one.state, 0), default=None)

    def in_flight(self, plugin_id: str) -> int:
        """Calls that its containers are at."""
        return sum(sandbox.in_flight for sandbox in self.routes.get(plugin_id, ()))

    def history(self, sandbox_id: str) -> History:
        return self.histories.get(sandbox_id, History())

    def plugin_history(self, plugin_id: str) -> History:
        """Of the wanted revision: its replicas' failures together, its restarts summed."""
        deployment = self.deployments.get(plugin_id)
        if deployment is None:
            return History()
        ids = deployment.want(image_ready=True).sandbox_ids
        histories = [self.histories[each] for each in ids if each in self.histories]
        if not histories:
            return History()
        latest = max(histories, key=lambda one: max(one.failures, default=0.0))
        return replace(
            latest,
            failures=tuple(sorted(at for one in histories for at in one.failures)),
            restarts=sum(one.restarts for one in histories),
        )

    def gave_up(self, plugin_id: str) -> bool:
        """Whether a container of the wanted revision failed too often to be started again."""
        ids = self.deployments[plugin_id].want(image_ready=True).sandbox_ids
        now = self.clock.now()
        return any(next_start(self.history(each), now=now) is None for each in ids)

    # -- use and sleep --------------------------------------------------------------------------

    def touch(self, plugin_id: str) -> None:
        """It is wanted awake now."""
        self.used_at[plugin_id] = self.clock.monotonic()

    def sleep(self, plugin_id: str) -> tuple[Sleep, float | None]:
        """How far the plugin is to sleep, and in how many seconds that changes by itself."""
        deployment = self.deployments[plugin_id]
        idle_timeout = deployment.inputs.manifest.spec.idle_timeout
        if idle_timeout is None:
            return Sleep.AWAKE, None
        stop_after = self.policy.lifecycle.idle_stop_seconds
        return sleep_of(
            self._idle_seconds(plugin_id),
            idle_timeout=idle_timeout if self.can_pause else idle_timeout + stop_after,
            stop_after_seconds=stop_after if self.can_pause else 0,
        )

    def _idle_seconds(self, plugin_id: str) -> float:
        now = self.clock.monotonic()
        ids = self.deployments[plugin_id].want(image_ready=True).sandbox_ids
        sandboxes = [self.sandboxes[each] for each in ids if each in self.sandboxes]
        if any(sandbox.in_flight for sandbox in sandboxes):
            return 0.0
        touched = self.used_at.setdefault(plugin_id, now)
        return now - max([touched, *(sandbox.used_at for sandbox in sandboxes)])

    def route(self, wants: Mapping[str, Want], seen: Mapping[str, list[Sighting]]) -> None:
        """Say anew which sandboxes take calls."""
        self.routes = {
            name: tuple(self._sandboxes(in_service(want, seen.get(name, ()))))
            for name, want in wants.items()
            if want.running
        }

    def _sandboxes(self, sightings: Iterable[Sighting]) -> Iterable[PluginSandbox]:
        found = (self.sandboxes.get(sighting.sandbox_id) for sighting in sightings)
        return (sandbox for sandbox in found if sandbox is not None)

    # -- what outlives the daemon ---------------------------------------------------------------

    def remember(self, sandbox_id: str, history: History) -> None:
        """Keep a sandbox's history, also over the daemon's end."""
        self.histories[sandbox_id] = history
        self._keep(_HISTORIES, sandbox_id, to_history_record(history))

    def forget(self, sandbox_id: str) -> None:
        """Its failures are nobody's any more."""
        if self.histories.pop(sandbox_id, None) is not None:
            self._keep(_HISTORIES, sandbox_id, None)

    def forgive(self, plugin_id: str) -> None:
        """Forget what the wanted revision's containers did: it is begun anew."""
        for sandbox_id in self.deployments[plugin_id].want(image_ready=True).sandbox_ids:
            self.forget(sandbox_id)

    def restore(self) -> None:
        """Histories as an earlier daemon left them."""
        self.histories = {
            key: from_history_record(record) for key, record in self.store.load(_HISTORIES).items()
        }
        self.held = stored_updates(self.store)

    def hold(self, held: Mapping[str, HeldUpdate], *, instead_of: Collection[str]) -> None:
        """Updates that wait from now on. Raises StoreUnavailable."""
        gone = self.held.keys() & instead_of
        records: dict[str, Record | None] = dict.fromkeys(gone)
        records |= {name: to_held_record(update) for name, update in held.items()}
        self.store.put_all(HELD, records)
        kept = {name: update for name, update in self.held.items() if name not in gone}
        self.held = kept | dict(held)

    def excuse(self, container: ContainerState) -> None:
        """An end that is nobody's failure."""
        sandbox_id = container.label(LABEL_SANDBOX)
        self.remember(sandbox_id, replace(self.history(sandbox_id), noted=end_of(container)))

    def count_restart(self, plugin_id: str, sandbox_id: str) -> None:
        self.restarts[plugin_id] += 1
        history = self.history(sandbox_id)
        self.remember(sandbox_id, replace(history, restarts=history.restarts + 1))

    def mark_initialized(self, container: ContainerState) -> None:
        """Remember that the present run was initialised: a later daemon need not do it again."""
        run: Record = {"container": container.container_id, "started_at": container.started_at}
        self._keep(_RUNS, container.label(LABEL_SANDBOX), run)

    def was_initialized(self, container: ContainerState) -> bool:
        run = self.store.load(_RUNS).get(container.label(LABEL_SANDBOX), {})
        return run == {"container": container.container_id, "started_at": container.started_at}

    def remembered_runs(self) -> set[str]:
        """Sandboxes of which a run is remembered."""
        return {*self.store.load(_RUNS)}

    def forget_run(self, sandbox_id: str) -> None:
        self._keep(_RUNS, sandbox_id, None)

    def _keep(self, kind: str, key: str, record: Record | None) -> None:
        """Write a record; a full disk must not stop the loop, which knows it all in memory."""
        try:
            self.store.put_all(kind, {key: record})
        except StoreUnavailable as error:
            self.store_trouble = str(error)
        else:
            self.store_trouble = ""


def forget_all(store: RecordStore) -> None:
    """Nothing is wanted any more, and nobody's failures matter."""
    for kind in (DESIRED, HELD, LAST_WORDS, REVISIONS, MONITORING, _HISTORIES, _RUNS):
        store.put_all(kind, dict.fromkeys(store.load(kind)))
