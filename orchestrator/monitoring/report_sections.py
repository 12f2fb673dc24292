"""The report's sections, in the order in which every form of it tells them. Pure.

A form has a part for each; one that lacks a part cannot be imported whole, and a test looks for the
headings in what it makes.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from orchestrator.monitoring.report_words import size


class Section(StrEnum):
    """Its heading."""

    WORTH_DOING = "Worth doing"
    PLUGINS = "Plugins"
    BUDGETS = "Error budgets"
    LIMITS = "Use of limits"
    BUSIEST_TOOLS = "Busiest tools"
    SLOWEST_TOOLS = "Slowest tools"
    SLOWEST_PLUGINS = "Slowest plugins"
    CALLERS = "Callers"
    RESTARTS = "Restarts"
    SECURITY = "Security"
    PERMISSIONS = "Permissions not seen in use"


IN_JSON: Final[Mapping[Section, tuple[str, ...]]] = {
    Section.WORTH_DOING: ("worth_doing",),
    Section.PLUGINS: ("plugins",),
    Section.BUDGETS: ("error_budget", "plugins"),
    Section.LIMITS: ("plugins",),
    Section.BUSIEST_TOOLS: ("busiest", "tools"),
    Section.SLOWEST_TOOLS: ("slowest", "tools"),
    Section.SLOWEST_PLUGINS: ("slowest", "plugins"),
    Section.CALLERS: ("callers",),
    Section.RESTARTS: ("restarts",),
    Section.SECURITY: ("security",),
    Section.PERMISSIONS: ("permissions",),
}
"""Where it is told to programs; the use of limits is each plugin's `performance`."""


def _cores(value: float) -> str:
    return f"{value:.0f} %"


RESOURCES: Final[tuple[tuple[str, str, Callable[[float], str]], ...]] = (
    ("memory_bytes", "Memory", size),
    ("cpu_percent", "CPU", _cores),
    ("disk_bytes", "Disk", size),
    ("network_bytes", "Network", size),
)
"""Field of `performance`, name, how a value reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitUse:
    """What a plugin used of one limit."""

    name: str
    share: float
    """Of the limit, at the 95th percentile."""
    most: float
    """The same of the highest."""
    p95: str
    highest: str
    limit: str


def uses(performance: Mapping[str, Any]) -> Iterator[LimitUse]:
    """Of every limit of which something is known."""
    for field, name, show in RESOURCES:
        use = performance[field]
        if use["p95"] is not None and use["limit"]:
            yield LimitUse(
                name=name,
                share=use["p95"] / use["limit"],
                most=use["max"] / use["limit"],
                p95=show(use["p95"]),
                highest=show(use["max"]),
                limit=show(use["limit"]),
            )
