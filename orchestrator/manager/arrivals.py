"""Arrivals: what led to a plugin that takes calls, as its event and the audit log tell it."""

from orchestrator.manager.fleet import Fleet
from orchestrator.model.events import EventName


def why_it_runs(fleet: Fleet, plugin_id: str, event: EventName) -> str:
    """As far as is known. Plugins may hear it: no path of the host's."""
    if event is EventName.PLUGIN_ADOPTED:
        return "it ran already, as it is wanted"
    history, deployment = fleet.plugin_history(plugin_id), fleet.deployments.get(plugin_id)
    if history.reason:
        return f"tried again after: {history.reason}"
    return f"version {deployment.inputs.info.version} is wanted" if deployment else ""
