"""Which runtimes the engine has, held against those that plugins are to run on. Pure."""

from collections.abc import Iterable
from typing import Final

from orchestrator.engine.base import EngineInfo
from orchestrator.errors import Kind, OrchestratorError
from orchestrator.manager.deployment import Deployment
from orchestrator.manager.finding import Finding, Verdict
from orchestrator.model.runtime import Runtime

RUNSC_ARGUMENTS: Final = ("--host-uds=open", "--network=none", "--oci-seccomp")
"""A plugin dials out to a socket of the host, has no network, and is held to our filter."""


class RuntimeMissing(OrchestratorError):
    """A plugin is to run on what the engine does not have."""

    kind, code = Kind.UNAVAILABLE, "runtime_missing"


def check_runtimes(wanted: Iterable[Deployment], engine: EngineInfo) -> None:
    """Raises RuntimeMissing with every plugin that the engine has no runtime for."""
    names = sorted(
        deployment.plugin_id
        for deployment in wanted
        if deployment.grant.runtime is not Runtime.RUNC
        and deployment.grant.runtime not in engine.runtimes
    )
    if names:
        raise RuntimeMissing(
            f"{', '.join(names)}: spec.runtime or policy.runtime: found runsc, expected a runtime "
            f"that the engine has ({', '.join(engine.runtimes)}); install gVisor and register it, "
            "or run on runc"
        )


def gvisor(engine: EngineInfo) -> Finding:
    """Whether plugins can run on gVisor, and are held there to all that they should be."""
    there = Runtime.RUNSC in engine.runtimes
    missing = [word for word in RUNSC_ARGUMENTS if there and word not in engine.runsc_arguments]
    return Finding(
        check="gvisor",
        verdict=Verdict.WARNING if missing else Verdict.OK,
        found=f"{'runsc is there' if there else 'not installed'} "
        f"(runtimes: {', '.join(engine.runtimes)})",
        advice=f"register runsc with {' '.join(missing)} as well" if missing else "",
    )
