"""commit: make plugins wanted, on disk first and then in mind; what has to happen, follows."""

from collections.abc import Mapping

from orchestrator.manager.deployment import Deployment, to_record
from orchestrator.manager.fleet import DESIRED, Fleet
from orchestrator.manager.held import HeldUpdate
from orchestrator.manager.rebuilding import settle
from orchestrator.manager.remembered import INSTANCE
from orchestrator.manager.revisions import Note
from orchestrator.manager.rollout import Rollouts
from orchestrator.model.policy import SecurityPolicy
from orchestrator.store.base import Record


def commit(
    fleet: Fleet,
    rollouts: Rollouts,
    wanted: dict[str, Deployment],
    policy: SecurityPolicy,
    note: Note,
    *,
    named: set[str],
    held: Mapping[str, HeldUpdate],
) -> tuple[list[str], list[str]]:
    """The plugins that are to be another revision, and those that are to go.

    Raises StoreUnavailable.
    """
    gone = fleet.deployments.keys() - wanted.keys()
    if not wanted:
        gone = gone | fleet.unread
        fleet.unread = set()
        fleet.unfit = {}
    records: dict[str, Record | None] = dict.fromkeys(gone)
    records |= {name: to_record(deployment.inputs) for name, deployment in wanted.items()}
    fleet.store.put_all(INSTANCE, {"policy": policy.model_dump(mode="json")})
    fleet.store.put_all(DESIRED, records)
    fleet.hold(held, instead_of=named | gone)
    effective = rollouts.commit(wanted, policy, note)
    changed = [
        name
        for name, deployment in effective.items()
        if name not in fleet.deployments
        or fleet.deployments[name].compiled.digest != deployment.compiled.digest
    ]
    fleet.deployments = effective
    for name in named & wanted.keys():
        if name in changed or fleet.gave_up(name):
            fleet.forgive(name)
    for name in changed:
        fleet.touch(name)
    fleet.unread -= named
    fleet.unfit = {name: why for name, why in fleet.unfit.items() if name in fleet.unread}
    settle(fleet, down=not wanted)
    fleet.told = True
    fleet.policy = policy
    for sandbox in fleet.sandboxes.values():
        sandbox.heed(policy.calls)
    return changed, sorted(gone)
