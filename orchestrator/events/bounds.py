"""Bounds: how much waits, of whom and for whom; and who is told to come again later."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.model.policy import EventPolicy
from orchestrator.store.event_values import Tally

MAX_WAITING_JOBS: Final = 4_096
"""Of the writer; more are refused rather than held in memory."""
_MEBIBYTE: Final = 1 << 20


class EventsFull(OrchestratorError):
    """An event that is not taken now: too much waits already."""

    kind, code = Kind.OVERLOADED, "events_full"


@dataclass(slots=True)
class Load:
    """What waits."""

    count: int = 0
    size: int = 0


class Bounds:
    """Counts deliveries from the moment an event is offered to their end."""

    def __init__(self) -> None:
        self._subscribers: dict[str, Load] = defaultdict(Load)
        self._sources: dict[str, Load] = defaultdict(Load)

    @property
    def pending(self) -> Mapping[str, Load]:
        """By subscriber."""
        return self._subscribers

    def check_publisher(self, source: str, size: int, number: int, policy: EventPolicy) -> None:
        """Whether so many deliveries more of that size may wait. Raises EventsFull."""
        load = self._sources.get(source, Load())
        if load.count + number > policy.max_published:
            raise EventsFull(
                f"{source}: found {load.count} deliveries of its events that wait, expected room "
                f"for {number} more within policy.events.max_published {policy.max_published}"
            )
        if load.size + size * number > policy.max_published_mb * _MEBIBYTE:
            raise EventsFull(
                f"{source}: found {load.size} bytes of its events that wait, expected room within "
                f"policy.events.max_published_mb {policy.max_published_mb}"
            )

    def check_subscriber(self, name: str, size: int, policy: EventPolicy) -> None:
        """Whether one delivery more of that size may wait. Raises EventsFull."""
        load = self._subscribers.get(name, Load())
        if load.count + 1 > policy.max_pending:
            raise EventsFull(
                f"{name}: found {load.count} events that wait for it, expected fewer than "
                f"policy.events.max_pending {policy.max_pending}"
            )
        if load.size + size > policy.max_pending_mb * _MEBIBYTE:
            raise EventsFull(
                f"{name}: found {load.size} bytes of events that wait for it, expected room within "
                f"policy.events.max_pending_mb {policy.max_pending_mb}"
            )

    def take(self, source: str, subscribers: Iterable[str], size: int) -> None:
        """They wait from now on."""
        for name in subscribers:
            self._add(Tally(subscriber=name, source=source, count=1, size=size), 1)

    def give_back(self, source: str, subscribers: Iterable[str], size: int) -> None:
        """They wait no more."""
        for name in subscribers:
            self._add(Tally(subscriber=name, source=source, count=1, size=size), -1)

    def take_all(self, tallies: Iterable[Tally]) -> None:
        for tally in tallies:
            self._add(tally, 1)

    def give_back_all(self, tallies: Iterable[Tally]) -> None:
        for tally in tallies:
            self._add(tally, -1)

    def _add(self, tally: Tally, sign: int) -> None:
        for loads, key in ((self._subscribers, tally.subscriber), (self._sources, tally.source)):
            load = loads[key]
            load.count += sign * tally.count
            load.size += sign * tally.size
            if load.count <= 0:
                del loads[key]


def check_disk(size: int, stored: int, waiting_jobs: int, policy: EventPolicy) -> None:
    """Whether the log takes an event of that size at all. Raises EventsFull."""
    if stored + size > policy.max_mb * _MEBIBYTE:
        raise EventsFull(
            f"found {stored} bytes in the event log, all of which wait or are dead letters, "
            f"expected room within policy.events.max_mb {policy.max_mb}"
        )
    if waiting_jobs >= MAX_WAITING_JOBS:
        raise EventsFull(f"found {waiting_jobs} writes that wait for the disk, expected fewer")
