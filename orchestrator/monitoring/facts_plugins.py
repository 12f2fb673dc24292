"""What /metrics tells of each plugin: its calls, what it uses beside what it may, its state.

Counters are there at 0 before anything happened: `increase` does not see the first of a series that
begins at 1, and the first failure or rollback is the one that somebody waits to hear of.
"""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from orchestrator.manager.deployment import Deployment
from orchestrator.manager.fleet import Fleet, Report
from orchestrator.manager.statuses import statuses
from orchestrator.model.container import ContainerPhase
from orchestrator.model.status import PluginState, PluginStatus, SubState
from orchestrator.monitoring.board import Board
from orchestrator.monitoring.recorder import trace_id_of
from orchestrator.monitoring.samples import Sample
from orchestrator.monitoring.sources import Sources
from orchestrator.monitoring.tally import PluginTally
from orchestrator.policy.decide import is_core_too_new, is_core_too_old
from orchestrator.sandbox.observer import CALLERS_FAULT, OUTCOMES
from orchestrator.sandbox.sandbox import PluginSandbox, SandboxState

_SAMPLED: Final[Mapping[str, Callable[[Sample], float | None]]] = MappingProxyType(
    {
        "plugin_memory_bytes": lambda it: it.memory_bytes,
        "plugin_cpu_seconds_total": lambda it: it.cpu_seconds_total,
        "plugin_cpu_throttled_seconds_total": lambda it: it.throttled_seconds_total,
        "plugin_cpu_throttled_periods_total": lambda it: it.throttled_periods_total,
        "plugin_cpu_periods_total": lambda it: it.periods_total,
        "plugin_pids": lambda it: it.pids,
        "plugin_disk_bytes": lambda it: it.disk_bytes,
        "plugin_disk_limit_bytes": lambda it: it.disk_limit_bytes,
        "plugin_network_window_bytes": lambda it: it.network_bytes,
        "plugin_network_limit_bytes": lambda it: it.network_limit_bytes,
    }
)


_NONE_YET: Final = {outcome: 0 for outcome in OUTCOMES if outcome not in CALLERS_FAULT}


SLICE: Final = 32
"""Plugins between two breaths."""


def tell_plugins(sources: Sources, board: Board) -> Iterator[None]:
    """All of it, a slice at a time."""
    nothing = PluginTally()
    for number, deployment in enumerate(list(sources.fleet.deployments.values())):
        plugin_id = deployment.plugin_id
        _tell_calls(board, plugin_id, sources.tally.find(plugin_id) or nothing)
        _tell_callers(sources, board, deployment)
        _tell_room(sources, board, deployment)
        _tell_use(sources, board, deployment)
        _tell_deployment(sources, board, deployment)
        if number % SLICE == SLICE - 1:
            yield
    rows = statuses(sources.fleet)
    yield
    up = {row.plugin_id: _takes_calls(sources.fleet, row) for row in rows}
    for row in rows:
        _tell_status(sources, board, row)
        _tell_up(sources, board, row.plugin_id, up)


# -- calls --------------------------------------------------------------------------------------


def _tell_calls(board: Board, plugin_id: str, tally: PluginTally) -> None:
    spread = tally.spread
    found = ((bucket, trace_id_of(it[0]), *it[1:]) for bucket, it in tally.exemplars.items())
    exemplars = {bucket: (trace, seconds, at) for bucket, trace, seconds, at in found if trace}
    board.spread("plugin_call_duration_seconds", spread, plugin_id, exemplars=exemplars)
    if spread.count:
        board.put("plugin_call_duration_min_seconds", spread.least, plugin_id)
        board.put("plugin_call_duration_max_seconds", spread.most, plugin_id)
    board.put("plugin_call_wait_seconds_total", tally.waited, plugin_id)
    for outcome, count in (_NONE_YET | tally.outcomes).items():
        board.put("plugin_calls_total", count, plugin_id, outcome)
    for name, tool in tally.tools.items():
        board.put("plugin_tool_calls_total", tool.calls, plugin_id, name)
        board.put("plugin_tool_failures_total", tool.failures, plugin_id, name)
        board.put("plugin_tool_seconds_total", tool.seconds, plugin_id, name)


def _tell_callers(sources: Sources, board: Board, deployment: Deployment) -> None:
    """Not those that are deployed no more: their series went with them."""
    tally, known = sources.tally.find(deployment.plugin_id), sources.fleet.deployments
    for caller, count in tally.callers.items() if tally is not None else ():
        name = caller.removeprefix("plugin:")
        if name == caller or name in known:
            board.put("plugin_caller_calls_total", count, deployment.plugin_id, caller)


def _tell_room(sources: Sources, board: Board, deployment: Deployment) -> None:
    plugin_id = deployment.plugin_id
    sandboxes = sources.fleet.routes.get(plugin_id, ())
    waiting = sum(sandbox.waiting for sandbox in sandboxes)
    running = sum(sandbox.in_flight for sandbox in sandboxes) - waiting
    each = deployment.grant.limits.max_concurrent_requests
    many = max(deployment.replicas, len(sandboxes))  # of two revisions while one takes over
    board.put("plugin_calls_in_flight", running, plugin_id)
    board.put("plugin_calls_queued", waiting + sources.doors.waiting(plugin_id), plugin_id)
    board.put("plugin_calls_in_flight_limit", each * many, plugin_id)
    queue = sources.fleet.policy.calls.max_queue
    board.put("plugin_calls_queued_limit", queue * max(1, len(sandboxes)), plugin_id)


# -- use ----------------------------------------------------------------------------------------


def _tell_use(sources: Sources, board: Board, deployment: Deployment) -> None:
    """Limits also of a plugin that does not run: who looks at both has both.

    While one revision takes over from another both run, and what they use is summed up: so are
    their limits, or a rollout that stands would look like a plugin that is about to be killed.
    """
    plugin_id, limits = deployment.plugin_id, deployment.grant.limits
    sample = sources.sampler.latest.get(plugin_id)
    many = max(deployment.replicas, sample.containers if sample is not None else 0)
    board.put("plugin_memory_limit_bytes", (limits.max_memory_mb << 20) * many, plugin_id)
    board.put("plugin_cpu_limit_cores", limits.max_cpu_percent * many / 100, plugin_id)
    board.put("plugin_pids_limit", deployment.compiled.spec.pids_limit * many, plugin_id)
    for name, read in _SAMPLED.items():
        value = read(sample) if sample is not None else None
        if value is not None:
            board.put(name, value, plugin_id)
    counted = sample.oom_kills_total if sample is not None else None
    # A container that died of it took its own count along, and the engine may miss a child's.
    kills = max(counted or 0, sources.happenings.ooms[plugin_id])
    board.put("plugin_oom_kills_total", kills, plugin_id)


# -- state --------------------------------------------------------------------------------------


def _tell_deployment(sources: Sources, board: Board, deployment: Deployment) -> None:
    fleet, plugin_id = sources.fleet, deployment.plugin_id
    info = deployment.inputs.info
    runtime = str(deployment.grant.runtime)
    board.put("plugin_info", 1, plugin_id, info.version, str(info.category), runtime)
    board.put("plugin_wanted", deployment.running, plugin_id)
    board.put("plugin_gave_up", fleet.gave_up(plugin_id), plugin_id)
    board.put("plugin_restarts_total", fleet.restarts[plugin_id], plugin_id)
    compatible = not (is_core_too_old(info) or is_core_too_new(info))
    board.put("plugin_version_compatible", compatible, plugin_id)
    ready = [it for it in fleet.routes.get(plugin_id, ()) if it.state is SandboxState.READY]
    board.put("plugin_replicas", len(ready), plugin_id)
    wanted = deployment.replicas if deployment.running else 0
    board.put("plugin_replicas_wanted", wanted, plugin_id)
    for sandbox in fleet.routes.get(plugin_id, ()):
        _tell_custom(sources, board, deployment, sandbox)


def _tell_custom(
    sources: Sources, board: Board, deployment: Deployment, sandbox: PluginSandbox
) -> None:
    report: Report | None = sources.fleet.reports.get(sandbox.sandbox_id)
    if report is None:
        return
    first = deployment.compiled.sandbox_id
    replica = sandbox.sandbox_id.removeprefix(f"{first}-") if sandbox.sandbox_id != first else "0"
    if not replica.isdecimal():
        return  # of another revision, which is about to go
    plugin_id, revision = deployment.plugin_id, deployment.compiled.digest
    for name, value in sources.custom.admitted(plugin_id, revision, report.metrics):
        board.custom(name, value, plugin_id=plugin_id, replica=replica)


def _tell_status(sources: Sources, board: Board, row: PluginStatus) -> None:
    plugin_id = row.plugin_id
    for state in PluginState:
        board.put("plugin_status", row.status is state, plugin_id, str(state))
    board.put("plugin_sub_state", 1, plugin_id, str(row.sub_state))
    started = _started_at(sources, row)
    if started:
        board.put("plugin_started_at_seconds", started, plugin_id)


def _takes_calls(fleet: Fleet, row: PluginStatus) -> bool:
    """At once, or once a call has woken it."""
    return fleet.sandbox(row.plugin_id) is not None or row.sub_state is SubState.IDLE


def _tell_up(sources: Sources, board: Board, plugin_id: str, up: Mapping[str, bool]) -> None:
    board.put("plugin_up", up[plugin_id], plugin_id)
    deployment = sources.fleet.deployments.get(plugin_id)
    for name in deployment.dependencies if deployment is not None else ():
        board.put("plugin_dependency_up", up.get(name, False), plugin_id, name)


def _started_at(sources: Sources, row: PluginStatus) -> float:
    """When the container that the status tells of was started; 0 while it does not run."""
    container = sources.fleet.containers.get(row.container_id)
    if container is None or container.phase is not ContainerPhase.RUNNING:
        return 0.0
    return container.started_at
