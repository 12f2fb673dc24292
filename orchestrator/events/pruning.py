"""Pruning: forgets events in rounds, each a job of the writer, so that other jobs come between.

All at once would be minutes for a large log of small events, in which nobody could publish.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, Protocol, cast

from orchestrator.clock import Clock
from orchestrator.model.policy import EventPolicy
from orchestrator.store.event_log import EventLog
from orchestrator.store.event_values import Round

_ABOVE: Final = 7 / 8
_TO: Final = 3 / 4
_STEP: Final = 1 / 32
"""Parts of the policy's `max_mb`: where it begins, where it ends, how much more before again."""


class Must(Protocol):
    """A job that is tried until it is written."""

    def __call__(self, work: Callable[[EventLog], object], done: Callable[[object], None]) -> None:
        """`done` gets what `work` came to."""


class Pruning:
    """One run of rounds at a time."""

    def __init__(
        self,
        *,
        log: EventLog,
        policy: Callable[[], EventPolicy],
        clock: Clock,
        must: Must,
        gave_way: Callable[[str, object], None],
    ) -> None:
        """`log` is only asked for its size; `gave_way` is told whose dead letters went."""
        self._log = log
        self._policy = policy
        self._clock = clock
        self._must = must
        self._gave_way = gave_way
        self._pruned_to = 0
        self._running = False

    def look(self) -> None:
        """Something was written: start if that made too much."""
        most = self._policy().max_mb << 20
        if self._log.size > max(most * _ABOVE, self._pruned_to + most * _STEP):
            self._pruned_to = self._log.size
            self.start()

    def start(self) -> None:
        """Nothing if a run is under way."""
        if self._running:
            return
        self._running = True
        policy = self._policy()
        before = self._clock.now() - policy.retention_hours * 3_600
        most = policy.max_mb << 20
        self._round(before, int(most * _TO) if self._log.size > most * _ABOVE else most, None)

    def _round(self, before: float, keep: int, sizes: Mapping[str, int] | None) -> None:
        def done(result: object) -> None:
            ended = cast("Round", result)
            self._pruned_to = min(self._pruned_to, self._log.size)
            for subscriber, count in ended.gone.items():
                self._gave_way(subscriber, count)
            if ended.again:
                self._round(before, keep, ended.sizes)
            else:
                self._running = False

        self._must(partial(EventLog.prune, before=before, most_bytes=keep, sizes=sizes), done)
