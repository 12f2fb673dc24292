"""What the event log takes and gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

ROW_BYTES: Final = 512
"""What an event costs on disk beside its body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An event as it is stored."""

    event_id: str
    own_id: str
    """The publisher's own id of it, which tells repeats; empty for none."""
    source: str
    type: str
    subject: str
    body: bytes
    """The CloudEvent as it is delivered."""

    @property
    def size(self) -> int:
        return len(self.body) + ROW_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What became of an entry."""

    event_id: str
    """Its own, or that of the event which it repeats."""
    deliveries: tuple[int, ...] = ()
    repeat: bool = False


@dataclass(slots=True, kw_only=True)
class Due:
    """One event on its way to one subscriber."""

    delivery_id: int
    event_id: str
    source: str
    type: str
    body: bytes
    tries: int
    since: float
    """When it was queued."""

    @property
    def size(self) -> int:
        return len(self.body) + ROW_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How much waits, of one publisher for one subscriber."""

    subscriber: str
    source: str
    count: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A delivery that was given up."""

    subscriber: str
    event_id: str
    type: str
    source: str
    tries: int
    reason: str
    at: float
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which events to show; empty means any."""

    type: str = ""
    """A type, or `a.b.*`."""
    plugin: str = ""
    """What the orchestrator told of it and what it published itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one round of forgetting came to."""

    gone: Mapping[str, int]
    """Dead letters that gave way, by subscriber."""
    aged: Mapping[str, int]
    """Dead letters that were kept for long enough, likewise."""
    sizes: Mapping[str, int] | None
    """By source, what delivered events take; for the next round. None if it has to count anew."""
    again: bool
    """Whether there is still too much, and something that may go."""
