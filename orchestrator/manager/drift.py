"""Drift: how a running container differs from the one that was compiled, field by field. Pure.

Only what can be changed on a container that exists is compared: the rest is told by its digest.
What the orchestrator changes itself is none: the CPU quota during the start, for one, so a
container is compared only once its plugin is ready.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from orchestrator.engine.base import LABEL_SANDBOX
from orchestrator.model.container import Adjustable, ContainerSpec, ContainerState
from orchestrator.model.runtime import Runtime
from orchestrator.policy.compile import Compiled


class Cure(StrEnum):
    """What is done about a field."""

    SET_BACK = "set back"
    """On the running container; its plugin does not notice."""
    REPLACE = "replace"
    """The engine has no way back: a new container takes its place."""
    TELL = "tell"
    """It is only told: it ends by itself, or setting it back did not help just now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drifted:
    """One field that somebody changed."""

    field: str
    found: str | int
    expected: str | int
    cure: Cure

    def __str__(self) -> str:
        return f"{self.field}: found {self.found}, expected {self.expected}"


_CURES: Final = MappingProxyType(
    {
        "memory_bytes": Cure.SET_BACK,
        "memory_swap_bytes": Cure.SET_BACK,
        "pids_limit": Cure.SET_BACK,
        "restart_policy": Cure.SET_BACK,
        "networks": Cure.SET_BACK,
        # The engine takes an empty value for "leave it as it is".
        "memory_reservation_bytes": Cure.REPLACE,
        "cpu_shares": Cure.REPLACE,
        "cpuset_cpus": Cure.REPLACE,
        "cpuset_mems": Cure.REPLACE,
        "blkio_weight": Cure.REPLACE,
        # Who looks into a plugin is not to be thrown out, but it is to be known.
        "exec_sessions": Cure.TELL,
    }
)


def drift_of(compiled: Compiled, container: ContainerState) -> tuple[Drifted, ...]:
    """What differs, by field. The container belongs to a replica of that revision and is ready."""
    return tuple(sorted(_differences(compiled, container), key=lambda found: found.field))


def curable(found: Iterable[Drifted]) -> tuple[Drifted, ...]:
    """What something is to be done about."""
    return tuple(it for it in found if it.cure is not Cure.TELL)


def expected_name(compiled: Compiled, container: ContainerState) -> str:
    """The container's name: its replica's."""
    prefix = compiled.container_name.removesuffix(compiled.sandbox_id)
    return f"{prefix}{container.label(LABEL_SANDBOX)}"


def _differences(compiled: Compiled, container: ContainerState) -> Iterator[Drifted]:
    spec = compiled.spec
    name = expected_name(compiled, container)
    if container.name != name:
        yield Drifted(field="name", found=container.name, expected=name, cure=Cure.SET_BACK)
    limits = _limits_cure(spec, Cure.SET_BACK)
    if container.cpu_percent != spec.cpu_percent:
        yield Drifted(
            field="cpu_percent",
            found=container.cpu_percent,
            expected=spec.cpu_percent,
            cure=limits,
        )
    if container.adjustable is None:
        return
    expected = _expected(spec)
    for field, cure in _CURES.items():
        found, wanted = _plain(container.adjustable, field), _plain(expected, field)
        if found != wanted:
            mended = cure if field == "networks" else _limits_cure(spec, cure)
            yield Drifted(field=field, found=found, expected=wanted, cure=mended)


def _expected(spec: ContainerSpec) -> Adjustable:
    alone = spec.network_mode == "none" or spec.network_mode.startswith("container:")
    return Adjustable(
        memory_bytes=spec.memory_bytes,
        memory_swap_bytes=spec.memory_bytes,
        pids_limit=spec.pids_limit,
        networks=() if alone else (spec.network_mode,),
    )


def _plain(adjustable: Adjustable, field: str) -> str | int:
    value: str | int | tuple[str, ...] = getattr(adjustable, field)
    return ", ".join(value) or "none" if isinstance(value, tuple) else value


def _limits_cure(spec: ContainerSpec, cure: Cure) -> Cure:
    """GVisor's limits cannot be changed while it runs."""
    stuck = spec.runtime is Runtime.RUNSC and cure is Cure.SET_BACK
    return Cure.REPLACE if stuck else cure
