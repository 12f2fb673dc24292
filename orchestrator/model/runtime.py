"""Runtime: what stands between a plugin and the host's kernel."""

from enum import StrEnum


class Runtime(StrEnum):
    """Ordered from the weaker to the stronger."""

    RUNC = "runc"
    """The engine's own: the host's kernel, behind namespaces and the filter of system calls."""
    RUNSC = "runsc"
    """gVisor: a kernel of its own in user space."""


def at_least(wish: Runtime | None, least: Runtime) -> Runtime:
    """The runtime in effect: what is wished, never weaker than `least`."""
    order = list(Runtime)
    return max(wish or least, least, key=order.index)
