"""Whether this host can hold what is wanted: `plan` and `up` ask before anything starts."""

from collections.abc import Collection, Mapping

from orchestrator.engine.base import EngineInfo
from orchestrator.manager.deployment import Deployment
from orchestrator.manager.desired import promised
from orchestrator.manager.runtimes import check_runtimes
from orchestrator.model.policy import SecurityPolicy
from orchestrator.policy.admission import admit, promised_to_code


def check_host(
    wanted: Mapping[str, Deployment],
    policy: SecurityPolicy,
    host: EngineInfo,
    *,
    first: Collection[str],
) -> None:
    """Raises NotAdmitted, RuntimeMissing.

    `first` runs already and so comes first: it is not stopped for what is new.
    """
    check_runtimes(wanted.values(), host)
    problem = admit(
        [promised_to_code(policy), *promised(wanted, first=first)],
        host.memory_bytes,
        policy.memory_overcommit,
    )
    if problem is not None:
        raise problem
