"""What /metrics tells of what is on its way: events, reconciling, rollouts, builds, git."""

from orchestrator.engine.base import LABEL_PLUGIN
from orchestrator.monitoring.board import Board
from orchestrator.monitoring.happenings import ROLLOUT_OUTCOMES
from orchestrator.monitoring.sources import Sources


def tell_delivery(sources: Sources, board: Board) -> None:
    """All of it."""
    _tell_events(sources, board)
    _tell_reconciling(sources, board)
    happenings = sources.happenings
    board.put_pairs(
        "rollouts_total",
        happenings.rollouts,
        plugins=sources.fleet.deployments,
        seconds=ROLLOUT_OUTCOMES,
    )
    for outcome, count in happenings.builds.items():
        board.put("image_builds_total", count, outcome)
    board.spread("image_build_duration_seconds", happenings.build_times)


def tell_git(sources: Sources, board: Board) -> None:
    """Nothing while no repository is followed."""
    sync = sources.sync()
    if sync is None:
        return
    for state, is_in_it in sync.states.items():
        board.put("gitops_state", is_in_it, state)
    if sync.last_success:
        board.put("gitops_last_success_seconds", sync.last_success)
    board.put("gitops_syncs_total", sync.syncs)
    board.put("gitops_failures_total", sync.failures)
    board.put("gitops_heals_total", sync.heals)


def _tell_events(sources: Sources, board: Board) -> None:
    published = {("", "orchestrator"): 0, ("", "operator"): 0}
    for plugin_id, deployment in sources.fleet.deployments.items():
        if deployment.inputs.info.publishes:
            published[plugin_id, "plugin"] = 0
    for (plugin_id, publisher), count in (published | sources.happenings.published).items():
        board.put("events_published_total", count, publisher, plugin_id)
    events, pending = sources.events, sources.events.pending()
    for plugin_id, deployment in sources.fleet.deployments.items():
        if deployment.inputs.info.subscribes:
            board.put("events_delivered_total", events.delivered.get(plugin_id, 0), plugin_id)
            tries = events.failed_tries.get(plugin_id, 0)
            board.put("events_failed_tries_total", tries, plugin_id)
            board.put("events_dead", sources.looks.dead_letters.get(plugin_id, 0), plugin_id)
            board.put("events_pending", pending.get(plugin_id, 0), plugin_id)


def _tell_reconciling(sources: Sources, board: Board) -> None:
    fleet, happenings = sources.fleet, sources.happenings
    board.spread("reconcile_duration_seconds", happenings.passes)
    for (plugin_id, field), count in happenings.drifts.items():
        board.put("reconcile_drift_total", count, plugin_id, field)
    drifted = {
        container.label(LABEL_PLUGIN)
        for container_id, container in fleet.containers.items()
        if fleet.drifts.get(container_id)
    }
    for plugin_id in fleet.deployments:
        board.put("reconcile_drift_unhealed", plugin_id in drifted, plugin_id)
