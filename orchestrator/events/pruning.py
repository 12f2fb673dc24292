"""Pruning: forgets events in rounds, each a job of the writer, so that other jobs come between.

All at once would be minutes for a large log of small events, in which nobody could publish.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, Protocol, cast

from orchestrator.model.policy import EventPolicy
from orchestrator.store.event_log import EventLog
from orchestrator.store.event_values import Round

TOO_MANY: Final = "too many dead letters"
TOO_OLD: Final = "dead for longer than policy.events.dead_retention_hours"
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
        now: Callable[[], float],
        must: Must,
        dropped: Callable[[str, int, str], None],
    ) -> None:
        """`log` is only asked for its size; `dropped` is told whose dead letters went, and why."""
        self._log = log
        self._policy = policy
        self._now = now
        self._must = must
        self._dropped = dropped
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
        now, most = self._now(), policy.max_mb << 20
        work = partial(
            EventLog.prune,
            before=now - policy.retention_hours * 3_600,
            dead_before=now - policy.dead_retention_hours * 3_600,
            most_bytes=int(most * _TO) if self._log.size > most * _ABOVE else most,
        )
        self._round(work, None)

    def _round(self, work: Callable[..., Round], sizes: Mapping[str, int] | None) -> None:
        def done(result: object) -> None:
            ended = cast("Round", result)
            self._pruned_to = min(self._pruned_to, self._log.size)
            for subscriber, count in ended.gone.items():
                self._dropped(subscriber, count, TOO_MANY)
            for subscriber, count in ended.aged.items():
                self._dropped(subscriber, count, TOO_OLD)
            if ended.again:
                self._round(work, ended.sizes)
            else:
                self._running = False

        self._must(partial(work, sizes=sizes), done)
