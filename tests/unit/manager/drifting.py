"""A container as its deployment wants it, but for what somebody changed."""

from dataclasses import replace
from typing import Any

from orchestrator.model.container import Adjustable, ContainerState


def as_made(make: Any, deployment: Any, **changes: Any) -> ContainerState:
    """The container that the deployment wants, `changes` being somebody's."""
    spec = deployment.compiled.spec
    adjustable = Adjustable(
        memory_bytes=spec.memory_bytes,
        memory_swap_bytes=spec.memory_bytes,
        pids_limit=spec.pids_limit,
    )
    container: ContainerState = make.container(deployment)
    return replace(container, adjustable=replace(adjustable, **changes))
