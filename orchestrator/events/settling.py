"""Jobs of the writer that delete what was delivered, however often they have to be tried."""

from collections import deque

from orchestrator.store.event_log import EventLog
from orchestrator.store.event_values import Tally


class Settling:
    """Deletes what was taken until it runs; tried again, it deletes the same once more."""

    def __init__(self, taken: deque[int]) -> None:
        self._taken = taken
        self._ids: list[int] = []

    def __call__(self, log: EventLog) -> None:
        self._ids += [self._taken.popleft() for _ in range(len(self._taken))]
        log.settle(self._ids)


def drop(name: str, settling: Settling, log: EventLog) -> list[Tally]:
    """Forget what waits for a subscriber; how much it was."""
    settling(log)  # else what was taken just now would be counted as dropped
    return log.drop(name)
