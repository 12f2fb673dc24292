"""Outside: ends that somebody brought about through the engine, told from a plugin's own.

`docker stop` and `docker kill` have the engine send a signal, and it says so; a process that ends
by itself, or is killed by the kernel, makes no such event. They are nobody's failure, so a plugin
that had settled is started again at once, and only one that hardly ran waits for its back-off.
"""

import signal
from typing import Final

from orchestrator.engine.base import EngineEvent
from orchestrator.model.container import ContainerPhase, ContainerState

STOPPED_FROM_OUTSIDE: Final = "stopped_from_outside"
SETTLED_SECONDS: Final = 10.0
"""A run of at least this length is not held against the plugin when somebody ends it."""
_REACH_SECONDS: Final = 15.0
"""A signal and an end further apart have nothing to do with each other."""
_HARMLESS: Final = frozenset({signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH})


class Signals:
    """What the engine was told to send to containers, as far as none of our steps was at it."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, float]] = {}

    def hear(self, event: EngineEvent) -> None:
        """Only the last one counts: what `docker stop` ends with is SIGKILL, if need be."""
        if event.signal not in _HARMLESS:
            self._last[event.container_id] = (event.signal, event.at)

    def ended(self, container: ContainerState) -> str:
        """In words, if it was a signal that ended its last run; asked once."""
        number, at = self._last.pop(container.container_id, (0, 0.0))
        since = container.finished_at - at
        if not number or at < container.started_at or not -1.0 <= since <= _REACH_SECONDS:
            return ""
        return f"somebody had the engine send it {_name(number)}"


def had_settled(container: ContainerState, ended_at: float) -> bool:
    """Whether it ran for long enough to be started again at once."""
    return 0.0 < container.started_at <= ended_at - SETTLED_SECONDS


def was_restarted(known: ContainerState, now: ContainerState) -> bool:
    """Whether one run ended and another began between two looks."""
    runs = known.phase is now.phase is ContainerPhase.RUNNING
    return runs and known.started_at != now.started_at


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
