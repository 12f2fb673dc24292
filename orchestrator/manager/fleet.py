"""Fleet: all that the daemon knows now, in one place: wanted, seen, remembered, under way."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from pydantic import JsonValue

from orchestrator.engine.base import LABEL_PLUGIN, LABEL_SANDBOX
from orchestrator.manager.deployment import Deployment
from orchestrator.manager.held import HELD, HeldUpdate, stored_updates, to_held_record
from orchestrator.manager.plan import Health, Sighting, Want
from orchestrator.manager.restart import History, end_of
from orchestrator.model.container import ContainerState
from orchestrator.sandbox.sandbox import PluginSandbox, SandboxState
from orchestrator.store.base import Record, RecordStore, StoreUnavailable
from orchestrator.store.rebuild import Rebuilt

DESIRED: Final = "desired"
_HISTORIES = "history"
_RUNS = "run"
_HEALTH = {
    SandboxState.STARTING: Health.STARTING,
    SandboxState.READY: Health.READY,
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
    deployments: dict[str, Deployment] = field(default_factory=dict)
    told: bool = False
    """Whether anybody ever said what is wanted: without that (a lost state file, say) nothing is
    removed as unwanted."""
    unread: set[str] = field(default_factory=set)
    """Wanted plugins whose records this version cannot read: their containers are left alone."""
    rebuilt: Rebuilt | None = None
    """What became of the state file, until that is settled."""
    in_doubt: bool = False
    """Whether records may be missing that nobody knows of, and nothing was looked at since."""
    containers: dict[str, ContainerState] = field(default_factory=dict)
    sandboxes: dict[str, PluginSandbox] = field(default_factory=dict)
    """By sandbox id."""
    histories: dict[str, History] = field(default_factory=dict)
    busy: dict[str, str] = field(default_factory=dict)
    """Plugin → the step under way, in words."""
    waiting: dict[str, str] = field(default_factory=dict)
    images: set[str] = field(default_factory=set)
    """Images that the engine is known to hold."""
    store_trouble: str = ""
    """Why the last record could not be written; empty while they can."""
    reports: dict[str, Report] = field(default_factory=dict)
    held: dict[str, HeldUpdate] = field(default_factory=dict)
    """Updates that ask for more than before, until somebody grants them."""
    disks: dict[str, str] = field(default_factory=dict)
    """Plugin → what holds the size of its /data."""
    networks: dict[str, dict[str, JsonValue]] = field(default_factory=dict)
    """Plugin → what its network behind the guard has carried."""
    causes: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Container → (reason, detail) of an end that the daemon brought about."""
    ooms: set[str] = field(default_factory=set)
    """Containers in whose present run something was killed for memory."""

    def wants(self) -> dict[str, Want]:
        return {
            name: deployment.want(image_ready=deployment.inputs.image in self.images)
            for name, deployment in self.deployments.items()
        }

    def seen(self) -> dict[str, list[Sighting]]:
        """Every container by its plugin, those of one plugin by name."""
        seen: dict[str, list[Sighting]] = {}
        for container in sorted(self.containers.values(), key=lambda c: c.name):
            sandbox = self.sandbox_of(container)
            seen.setdefault(container.label(LABEL_PLUGIN), []).append(
                Sighting(
                    container=container,
                    health=_HEALTH[sandbox.state] if sandbox is not None else Health.UNKNOWN,
                    trouble=sandbox.trouble if sandbox is not None else "",
                )
            )
        return seen

    def sandbox_of(self, container: ContainerState) -> PluginSandbox | None:
        return self.sandboxes.get(container.label(LABEL_SANDBOX))

    def sandbox(self, plugin_id: str) -> PluginSandbox | None:
        """The sandbox that takes the plugin's calls."""
        deployment = self.deployments.get(plugin_id)
        return self.sandboxes.get(deployment.compiled.sandbox_id) if deployment else None

    def is_stale(self, deployment: Deployment) -> bool:
        """Whether another revision of it is wanted by now, or none."""
        wanted = self.deployments.get(deployment.plugin_id)
        return wanted is None or wanted.compiled.digest != deployment.compiled.digest

    def history(self, plugin_id: str) -> History:
        return self.histories.get(plugin_id, History())

    # -- what outlives the daemon ---------------------------------------------------------------

    def remember(self, plugin_id: str, history: History) -> None:
        """Keep a plugin's history, also over the daemon's end."""
        self.histories[plugin_id] = history
        record: dict[str, JsonValue] = {
            "failures": list(history.failures),
            "restarts": history.restarts,
            "reason": history.reason,
            "detail": history.detail,
            "noted": history.noted,
        }
        self._keep(_HISTORIES, plugin_id, record)

    def forget(self, plugin_id: str) -> None:
        """A new revision, or none: its failures are nobody's."""
        self.histories.pop(plugin_id, None)
        self.reports.pop(plugin_id, None)
        self._keep(_HISTORIES, plugin_id, None)

    def restore(self) -> None:
        """Histories as an earlier daemon left them."""
        self.histories = {
            key: _history(record) for key, record in self.store.load(_HISTORIES).items()
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
        plugin_id = container.label(LABEL_PLUGIN)
        self.remember(plugin_id, replace(self.history(plugin_id), noted=end_of(container)))

    def count_restart(self, plugin_id: str) -> None:
        history = self.history(plugin_id)
        self.remember(plugin_id, replace(history, restarts=history.restarts + 1))

    def mark_initialized(self, container: ContainerState) -> None:
        """Remember that the present run was initialised: a later daemon need not do it again."""
        run: Record = {"container": container.container_id, "started_at": container.started_at}
        self._keep(_RUNS, container.label(LABEL_SANDBOX), run)

    def was_initialized(self, container: ContainerState) -> bool:
        run = self.store.load(_RUNS).get(container.label(LABEL_SANDBOX), {})
        return run == {"container": container.container_id, "started_at": container.started_at}

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
    for kind in (DESIRED, HELD, _HISTORIES, _RUNS):
        store.put_all(kind, dict.fromkeys(store.load(kind)))


def _history(record: Record) -> History:
    failures = record.get("failures")
    restarts = record.get("restarts")
    return History(
        failures=tuple(float(str(at)) for at in failures) if isinstance(failures, list) else (),
        restarts=restarts if isinstance(restarts, int) else 0,
        reason=str(record.get("reason", "")),
        detail=str(record.get("detail", "")),
        noted=str(record.get("noted", "")),
    )
