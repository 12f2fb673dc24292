"""What is wanted, as it is made so: on disk first, then in mind. The manager alone calls it."""

from collections.abc import Collection, Mapping

from orchestrator.manager.deployment import Deployment, to_record
from orchestrator.manager.fleet import DESIRED, Fleet
from orchestrator.manager.rebuilding import settle
from orchestrator.manager.remembered import INSTANCE
from orchestrator.model.policy import SecurityPolicy
from orchestrator.store.base import Record


def write_wanted(
    fleet: Fleet, wanted: Mapping[str, Deployment], gone: Collection[str], policy: SecurityPolicy
) -> None:
    """Raises StoreUnavailable."""
    records: dict[str, Record | None] = dict.fromkeys(gone)
    records |= {name: to_record(deployment.inputs) for name, deployment in wanted.items()}
    fleet.store.put_all(INSTANCE, {"policy": policy.model_dump(mode="json")})
    fleet.store.put_all(DESIRED, records)


def take_in(
    fleet: Fleet, effective: dict[str, Deployment], policy: SecurityPolicy, named: Collection[str]
) -> list[str]:
    """In mind, with what follows from it; the plugins that are something else from now on."""
    changed = [
        name
        for name, deployment in effective.items()
        if name not in fleet.deployments
        or fleet.deployments[name].compiled.digest != deployment.compiled.digest
    ]
    fleet.deployments = effective
    for name in effective.keys() & named:
        if name in changed or fleet.gave_up(name):
            fleet.forgive(name)
    for name in changed:
        fleet.touch(name)
    fleet.unread -= {*named}
    fleet.unfit = {name: why for name, why in fleet.unfit.items() if name in fleet.unread}
    settle(fleet, down=not effective)
    fleet.told = True
    fleet.policy = policy
    for sandbox in fleet.sandboxes.values():
        sandbox.heed(policy.calls)
    return changed
