"""GroupWriter: the one thread that writes the event log; many jobs share one transaction.

What came while the last transaction was synced goes into the next, so that a hundred publishers
cost a few syncs and the loop waits for none. Jobs run in the order in which they were handed in,
and their ends are told on the loop in that order.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from orchestrator.errors import OrchestratorError
from orchestrator.store.base import StoreUnavailable
from orchestrator.store.event_log import EventLog

T = TypeVar("T")
MAX_BATCH: Final = 1_000
LINGER_SECONDS: Final = 0.05
"""How long what nobody waits for may wait for company."""
RETRY_SECONDS: Final = 0.5
"""Between two tries to write what must not be forgotten to a disk that is full."""


@dataclass(frozen=True, slots=True)
class Job:
    """Something to be written or read, and who is told."""

    work: Callable[[EventLog], object]
    done: Callable[[object], None]
    failed: Callable[[OrchestratorError], None] | None
    """None for what is tried until it is written."""
    urgent: bool


class Writer(Protocol):
    """Who carries jobs out."""

    @property
    def waiting(self) -> int:
        """Jobs that are not on disk yet."""

    @property
    def trouble(self) -> str:
        """Why the last transaction failed; empty while they are written."""

    def submit(self, job: Job) -> None:
        """Never blocks; `done` or `failed` is called on the loop."""


class GroupWriter:
    """A Writer; `close` writes what there is and ends the thread."""

    def __init__(self, log: EventLog, loop: asyncio.AbstractEventLoop) -> None:
        self._log = log
        self._loop = loop
        self._jobs: deque[Job] = deque()
        self._running = 0
        self._change = threading.Condition()
        self._urgent = 0
        self._stopped = False
        self._trouble = ""
        self._thread = threading.Thread(target=self._run, name="event-log", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        return len(self._jobs) + self._running

    @property
    def trouble(self) -> str:
        return self._trouble

    def submit(self, job: Job) -> None:
        with self._change:
            self._jobs.append(job)
            self._urgent += job.urgent
            if job.urgent or len(self._jobs) == 1:
                self._change.notify()

    def close(self) -> None:
        """Nothing may be submitted after it."""
        with self._change:
            self._stopped = True
            self._change.notify()
        self._thread.join()
        self._log.close()

    # -- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        while batch := self._take():
            results, error = self._carry_out(batch)
            self._trouble = str(error or "")
            self._running = 0
            self._tell(batch, results, error)
            if error is not None and self._put_back(batch):
                return

    def _take(self) -> list[Job]:
        """What to write next; nothing at the end."""
        with self._change:
            self._change.wait_for(lambda: self._jobs or self._stopped)
            if not self._urgent:
                self._change.wait_for(lambda: self._urgent or self._stopped, LINGER_SECONDS)
            batch = [self._jobs.popleft() for _ in range(min(MAX_BATCH, len(self._jobs)))]
            self._urgent -= sum(job.urgent for job in batch)
            self._running = len(batch)
            return batch

    def _carry_out(self, batch: list[Job]) -> tuple[list[object], OrchestratorError | None]:
        try:
            with self._log.transaction():
                results = [job.work(self._log) for job in batch]
        except OrchestratorError as error:
            return [], error
        except Exception as error:  # noqa: BLE001 - a fault of ours must not end the thread
            return [], StoreUnavailable(f"the event log could not be written: {error!r}")
        return results, None

    def _put_back(self, batch: list[Job]) -> bool:
        """Keep what must be written for the next try, a while later; whether it is the end."""
        kept = [job for job in batch if job.failed is None]
        with self._change:
            self._jobs.extendleft(reversed(kept))
            self._urgent += sum(job.urgent for job in kept)
            return self._change.wait_for(lambda: self._stopped, RETRY_SECONDS if kept else 0)

    def _tell(
        self, batch: list[Job], results: list[object], error: OrchestratorError | None
    ) -> None:
        def tell() -> None:
            if error is None:
                for job, result in zip(batch, results, strict=True):
                    job.done(result)
            else:
                for job in batch:
                    if job.failed is not None:
                        job.failed(error)

        try:
            self._loop.call_soon_threadsafe(tell)
        except RuntimeError:
            return  # the loop is closed: nobody is left to be told
