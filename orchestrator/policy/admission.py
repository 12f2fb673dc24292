"""admit: the memory that plugins may use, summed and held against the host's. Pure.

Only memory: it is the one limit that the kernel answers with a kill. Processor time is shared, and
disks are made in full size or not at all.
"""

from collections.abc import Iterable, Sequence

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.model.policy import SecurityPolicy

_MEBIBYTE = 1 << 20


class NotAdmitted(OrchestratorError):
    """A plugin that does not fit into the host's memory beside those before it."""

    kind, code = Kind.EXHAUSTED, "not_admitted"

    def __init__(
        self,
        plugin_id: str,
        *,
        wanted_bytes: int,
        others_bytes: int,
        host_memory_bytes: int,
        overcommit: float,
    ) -> None:
        self.plugin_id = plugin_id
        self.wanted_bytes, self.others_bytes = wanted_bytes, others_bytes
        self.host_memory_bytes, self.overcommit = host_memory_bytes, overcommit
        capacity = capacity_bytes(host_memory_bytes, overcommit)
        super().__init__(
            f"{plugin_id} does not fit: found {_mib(others_bytes)} of other plugins' memory limits "
            f"+ {_mib(wanted_bytes)} of its own = {_mib(others_bytes + wanted_bytes)}, expected at "
            f"most {_mib(capacity)}, the host's {_mib(host_memory_bytes)} times {overcommit:g} "
            "(policy's overcommit factor)"
        )


def promised_to_code(policy: SecurityPolicy) -> tuple[str, int]:
    """What the sandboxes that wait for handed-in code may use, whether or not any waits now.

    Runs beyond them are not counted: they are short, bounded in number, and killed first.
    """
    each_mb = min(policy.code.max_memory_mb, policy.ceilings.max_memory_mb)
    return "policy.code.pool_size", policy.code.pool_size * each_mb * _MEBIBYTE


def capacity_bytes(host_memory_bytes: int, overcommit: float) -> int:
    """How many bytes all limits together may promise."""
    return int(host_memory_bytes * overcommit)


def admit(
    wanted: Sequence[tuple[str, int]], host_memory_bytes: int, overcommit: float
) -> NotAdmitted | None:
    """The first of (plugin id, memory in bytes) that does not fit, to be raised; None if all do.

    Order is precedence: what runs already comes first, as it is not stopped for what is new.
    """
    return next(iter(refused(wanted, host_memory_bytes, overcommit)), None)


def refused(
    wanted: Iterable[tuple[str, int]], host_memory_bytes: int, overcommit: float
) -> tuple[NotAdmitted, ...]:
    """Every one that does not fit. A smaller one behind it may: it takes what room there is."""
    capacity, total = capacity_bytes(host_memory_bytes, overcommit), 0
    out = []
    for plugin_id, memory_bytes in wanted:
        if total + memory_bytes <= capacity:
            total += memory_bytes
            continue
        out.append(
            NotAdmitted(
                plugin_id,
                wanted_bytes=memory_bytes,
                others_bytes=total,
                host_memory_bytes=host_memory_bytes,
                overcommit=overcommit,
            )
        )
    return tuple(out)


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / _MEBIBYTE:,.0f} MiB"
