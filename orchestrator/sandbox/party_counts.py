"""PartyCounts: what one plugin's brokers refused and carried, kept while brokers come and go.

A broker lives as long as its sandbox; its plugin is counted over all of them, so that the numbers
only grow. Everything that handed-in code does is one party's, as its sandboxes have no end.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

CODE_PARTY: Final = "(code)"


class HostClass(StrEnum):
    """Where bytes go to: a closed list, as hosts have no end."""

    PUBLIC = "public"
    PRIVATE = "private"
    """Loopback, private and link-local addresses that policy allows."""
    DATABASE = "database"


@dataclass(slots=True, eq=False)
class Carried:
    """Bytes both ways, as they pass."""

    sent: int = 0
    received: int = 0


@dataclass(slots=True, eq=False)
class PartyCounts:
    """Of one plugin."""

    refusals: Counter[str] = field(default_factory=Counter)
    """By code."""
    carried: dict[HostClass, Carried] = field(default_factory=dict)

    def to(self, host_class: HostClass) -> Carried:
        return self.carried.setdefault(host_class, Carried())


class Counts:
    """By plugin, and CODE_PARTY."""

    def __init__(self) -> None:
        self._parties: dict[str, PartyCounts] = {}

    def of(self, party: str) -> PartyCounts:
        return self._parties.setdefault(party, PartyCounts())

    def forget(self, party: str) -> None:
        """It is deployed no more."""
        self._parties.pop(party, None)

    def __iter__(self) -> Iterator[tuple[str, PartyCounts]]:
        return iter(list(self._parties.items()))
