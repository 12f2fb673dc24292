"""What an earlier daemon was told: the policy, and the plugins that were wanted."""

from typing import Final

from pydantic import ValidationError

from orchestrator.errors import OrchestratorError
from orchestrator.manager.deployment import Deployment, Place, from_record, weigh
from orchestrator.manager.fleet import DESIRED
from orchestrator.manager.overridden import stored_overrides
from orchestrator.model.policy import SecurityPolicy
from orchestrator.store.base import RecordStore

INSTANCE: Final = "instance"


def stored_policy(store: RecordStore) -> SecurityPolicy:
    """The policy of the last `up`, or the default."""
    record = store.load(INSTANCE).get("policy")
    return SecurityPolicy.model_validate(record, strict=False) if record else SecurityPolicy()


def stored_deployments(
    store: RecordStore, policy: SecurityPolicy, place: Place
) -> dict[str, Deployment]:
    """What was wanted last, by name; a record that this version cannot read is left out."""
    return read_deployments(store, policy, place)[0]


def read_deployments(
    store: RecordStore, policy: SecurityPolicy, place: Place
) -> tuple[dict[str, Deployment], dict[str, str]]:
    """What was wanted last; and why others cannot be taken up, which the next `up` decides."""
    deployments, unfit, overrides = {}, {}, stored_overrides(store)
    for name, record in sorted(store.load(DESIRED).items()):
        try:
            deployments[name] = weigh(from_record(record), policy, place, overrides)
        except ValidationError:
            unfit[name] = "its record is of another version of the orchestrator"
        except OrchestratorError as error:
            unfit[name] = str(error)
    return deployments, unfit
