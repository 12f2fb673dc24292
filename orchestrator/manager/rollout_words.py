"""How a rollout goes, in one line for `ps`, and whether somebody should wait for it. Pure."""

from collections.abc import Mapping

from pydantic import JsonValue

from orchestrator.manager.deployment import Deployment
from orchestrator.manager.revisions import Revision, RevisionState, Rollout
from orchestrator.model.policy import RolloutPolicy
from orchestrator.model.status import RolloutState, RolloutStatus


def strategy(deployment: Deployment, policy: RolloutPolicy) -> str:
    """How the plugin takes over from another revision, and why so."""
    if not deployment.compiled.alone:
        return (
            "started beside what runs; takes over when it was well for "
            f"{policy.min_healthy_seconds:g} s"
        )
    what = "/data" if deployment.compiled.shared.volume_mounts else "network"
    return f"what runs is stopped first: its {what} is no other container's; calls wait meanwhile"


def told_of(revision: Revision) -> dict[str, JsonValue]:
    """What every event of it says."""
    return {"revision": revision.number, "version": revision.inputs.info.version}


def quarantined(
    rollouts: Mapping[str, Rollout], wanted: Mapping[str, Deployment]
) -> dict[str, str]:
    """Plugins of which `up` would leave what runs as it is, and why."""
    return {
        name: back_text(rollout)
        for name, rollout in rollouts.items()
        if rollout.back_to
        and name in wanted
        and wanted[name].compiled.digest == rollout.wanted.digest
    }


def back_text(rollout: Rollout) -> str:
    """Of one that failed: from where back to where, and why."""
    wanted = rollout.wanted
    return f"ROLLED BACK to revision {rollout.back_to}: revision {wanted.number} {wanted.reason}"


def rollout_status(
    deployment: Deployment, rollout: Rollout, *, well_seconds: float | None, policy: RolloutPolicy
) -> RolloutStatus:
    """`well_seconds` is for how long the wanted revision has been well."""
    wanted, before = rollout.wanted, rollout.healthy[:1]
    state = _state(rollout)
    serving = rollout.effective.number
    if state in {RolloutState.PROGRESSING, RolloutState.PAUSED} and before:
        serving = before[0].number
    text = ""
    match state:
        case RolloutState.ROLLED_BACK:
            text = (
                f"{back_text(rollout)}; `orchestrator rollout resume {deployment.plugin_id}` "
                "tries it again, or change it"
            )
        case RolloutState.PAUSED if before:
            text = f"rollout paused: revision {wanted.number} waits, {serving} runs"
        case RolloutState.PROGRESSING if before:
            how = "in place of" if deployment.compiled.alone else "beside"
            text = f"updating: revision {wanted.number} {how} {serving}"
            if well_seconds is not None:
                least = policy.min_healthy_seconds
                text += f", healthy for {min(well_seconds, least):.1f} of {least:g} s"
        case _:
            pass
    return RolloutStatus(
        revision=wanted.number,
        serving=serving,
        state=state,
        reason=wanted.reason,
        text=text,
        moving=bool(before) and state is RolloutState.PROGRESSING and deployment.running,
    )


def _state(rollout: Rollout) -> RolloutState:
    match rollout.wanted.state:
        case RevisionState.FAILED if rollout.back_to:
            return RolloutState.ROLLED_BACK
        case RevisionState.FAILED:
            return RolloutState.FAILED
        case RevisionState.HEALTHY:
            return RolloutState.COMPLETED
        case _:
            return RolloutState.PAUSED if rollout.paused else RolloutState.PROGRESSING
