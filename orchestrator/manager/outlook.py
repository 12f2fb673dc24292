"""How a plugin's wanted revision does, as the judgement of its rollout sees it. Pure."""

from collections.abc import Sequence

from orchestrator.manager.actions import Sighting, Sleep, Want
from orchestrator.manager.deployment import Deployment
from orchestrator.manager.fleet import Fleet
from orchestrator.manager.revisions import Outlook
from orchestrator.sandbox.sandbox import SandboxState


def outlook(fleet: Fleet, deployment: Deployment, sightings: Sequence[Sighting]) -> Outlook:
    """Of what is wanted in effect; `sightings` are all that is there of the plugin."""
    name = deployment.plugin_id
    want = fleet.want(name)
    mine = [s for s in sightings if s.digest == want.digest]
    return Outlook(
        running=deployment.running,
        well_seconds=well_seconds(fleet, name),
        failures=max(len(fleet.history(each).failures) for each in want.sandbox_ids),
        gave_up=fleet.gave_up(name),
        waits=_waits(fleet, want, mine, others=len(sightings) > len(mine)),
        trouble=_trouble(fleet, name),
    )


def well_seconds(fleet: Fleet, plugin_id: str) -> float | None:
    """For how long all replicas of the wanted revision have been ready and well."""
    want, now = fleet.want(plugin_id), fleet.clock.monotonic()
    sandboxes = [fleet.sandboxes.get(each) for each in want.sandbox_ids]
    if not all(s is not None and s.state is SandboxState.READY for s in sandboxes):
        return None
    if want.min_healthy_seconds <= 0:
        return 0.0  # nobody asks how it does
    since = [fleet.well_since.get(each) for each in want.sandbox_ids]
    seconds = [now - at for at in since if at is not None]
    return min(seconds) if len(seconds) == len(since) else None


def _waits(fleet: Fleet, want: Want, mine: Sequence[Sighting], *, others: bool) -> bool:
    """Whether it could not start, or need not run, through nothing of its own."""
    if want.sleep is not Sleep.AWAKE or fleet.waiting.get(want.plugin_id, "").startswith(
        "waiting for "
    ):
        return True
    # What must be stopped first is let finish its calls.
    return not mine and (not want.image_ready or (want.alone and others))


def _trouble(fleet: Fleet, plugin_id: str) -> str:
    history, report = fleet.plugin_history(plugin_id), fleet.report(plugin_id)
    if history.failures:
        return f"{history.reason}: {history.detail}"
    if report is not None and report.state == "error":
        return f"says of itself: {report.detail or 'error'}"
    return ""
