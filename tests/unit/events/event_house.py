"""The durable queues over a real file; the test moves their writer, subscribers and clock."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.errors import OrchestratorError
from orchestrator.events.queue import Answer
from orchestrator.events.queues import EventQueues
from orchestrator.events.steady import Steady
from orchestrator.events.writer import Job
from orchestrator.model.events import EventName, matches
from orchestrator.model.policy import EventPolicy
from orchestrator.store.base import StoreUnavailable
from orchestrator.store.event_log import EventLog
from orchestrator.store.event_values import Due, Entry

TAKEN = Answer(taken=True)
REFUSED = Answer(taken=False, reason="it answered with status 500")
STOPPED = Answer(taken=False, reason="it was stopped", is_try=False)


@dataclass
class HandClock:
    at: float = 1_000_000.0
    jumped: float = 0.0
    """How far somebody set the time of day."""

    def now(self) -> float:
        return self.at + self.jumped

    def monotonic(self) -> float:
        return self.at


class HandWriter:
    """Writes when it is told to; what it has not written is lost in a crash."""

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self.jobs: list[Job] = []
        self.full = False
        """Whether the disk is."""
        self.trouble = ""

    @property
    def waiting(self) -> int:
        return len(self.jobs)

    def submit(self, job: Job) -> None:
        self.jobs.append(job)

    def flush(self) -> None:
        """Until nothing is left to write; with a full disk once."""
        while self.jobs:
            batch, self.jobs = self.jobs, []
            try:
                with self.log.transaction():
                    results = [job.work(self.log) for job in batch]
                    self._check()
            except StoreUnavailable as error:
                self.jobs = [job for job in batch if job.failed is None]
                for job in batch:
                    if job.failed is not None:
                        job.failed(error)
                return
            for job, result in zip(batch, results, strict=True):
                job.done(result)

    def _check(self) -> None:
        if self.full:
            raise StoreUnavailable("the disk is full")


@dataclass
class Way:
    """One event on its way to one subscriber."""

    due: Due
    done: Callable[[Answer], None]


@dataclass
class HandSubscribers:
    """Implements Subscribers; `up` says who runs."""

    wanted: dict[str, tuple[str, ...]] = field(default_factory=dict)
    up: set[str] = field(default_factory=set)
    ways: dict[str, Way] = field(default_factory=dict)
    carried: list[tuple[str, str]] = field(default_factory=list)

    def of(self, event_type: str, source: str) -> Sequence[str]:
        return [
            name
            for name in self.wanted
            if self.wants(name, event_type) and source != f"plugin/{name}"
        ]

    def wants(self, subscriber: str, event_type: str) -> bool:
        patterns = self.wanted.get(subscriber, ("*",))
        return patterns == ("*",) or any(matches(pattern, event_type) for pattern in patterns)

    def is_known(self, subscriber: str) -> bool:
        return subscriber in self.wanted

    def carry(self, subscriber: str, due: Due, done: Callable[[Answer], None]) -> bool:
        if subscriber not in self.up or subscriber not in self.wanted:
            return False
        assert subscriber not in self.ways, "two events at one time"
        self.ways[subscriber] = Way(due, done)
        self.carried.append((subscriber, due.event_id))
        return True


class EventHouse:
    """`crash` is kill -9: what was not flushed never was."""

    def __init__(self, path: Path, **policy: Any) -> None:
        self.path = path
        self.policy = EventPolicy(**policy)
        self.clock = HandClock()
        self.subscribers = HandSubscribers()
        self.told: list[tuple[EventName, str, dict[str, Any]]] = []
        self.accepted: list[tuple[str, bool]] = []
        self.failures: list[OrchestratorError] = []
        self._timers: list[tuple[float, Callable[[], None]]] = []
        self._numbers = iter(range(1, 1_000_000))
        self.open()

    def open(self) -> None:
        self.log = EventLog.open(self.path)
        self.writer = HandWriter(self.log)
        ahead, latest = self.log.times()
        self.queues = EventQueues(
            writer=self.writer,
            log=self.log,
            carrier=self.subscribers,
            policy=lambda: self.policy,
            time=Steady(self.clock, ahead=ahead, latest=latest),
            after=lambda seconds, act: self._timers.append((self.clock.at + seconds, act)),
            tell=lambda name, subject, data: self.told.append((name, subject, data)),
        )
        self.queues.restore(self.log.tallies())

    def crash(self) -> None:
        self.log.close()
        self._timers.clear()
        self.subscribers.ways.clear()
        self.open()
        self.queues.wake_all()
        self.flush()

    def close(self) -> None:
        self.log.close()

    # -- what publishers and subscribers do -----------------------------------------------------

    def entry(
        self,
        event_type: str = "a.b",
        *,
        own_id: str = "",
        source: str = "plugin/teller",
        body: bytes = b"{}",
    ) -> Entry:
        return Entry(
            event_id=f"e{next(self._numbers)}",
            own_id=own_id,
            source=source,
            type=event_type,
            subject="",
            body=body,
        )

    def offer(self, event_type: str = "a.b", **more: Any) -> str:
        entry = self.entry(event_type, **more)
        self.queues.offer(
            entry,
            done=lambda event_id, repeats: self.accepted.append((event_id, repeats)),
            failed=self.failures.append,
        )
        return entry.event_id

    def publish(self, event_type: str = "a.b", **more: Any) -> str:
        event_id = self.offer(event_type, **more)
        self.flush()
        return event_id

    def subscribe(self, name: str, *patterns: str, up: bool = True) -> None:
        self.subscribers.wanted[name] = patterns or ("a.*",)
        if up:
            self.start(name)

    def start(self, name: str) -> None:
        self.subscribers.up.add(name)
        self.queues.wake(name)
        self.flush()

    def stop(self, name: str) -> None:
        self.subscribers.up.discard(name)
        self.answer(name, STOPPED)

    def answer(self, name: str, answer: Answer = TAKEN, *, flush: bool = True) -> str:
        """The subscriber's answer to what is on its way; that event's id, if there is one."""
        way = self.subscribers.ways.pop(name, None)
        if way is None:
            return ""
        way.done(answer)
        if flush:
            self.flush()
        return way.due.event_id

    def take_all(self, name: str) -> list[str]:
        taken = []
        while event_id := self.answer(name):
            taken.append(event_id)
        return taken

    # -- the world ------------------------------------------------------------------------------

    def flush(self) -> None:
        self.writer.flush()

    def wait(self, seconds: float) -> None:
        """Time passes; what is due then happens."""
        self.clock.at += seconds
        due = [act for at, act in self._timers if at <= self.clock.at]
        self._timers = [row for row in self._timers if row[0] > self.clock.at]
        for act in due:
            act()
        self.queues.drop_absent()
        self.queues.wake_all()
        self.flush()

    def dead(self, name: str = "") -> list[tuple[str, str, str]]:
        letters = self.log.dead(name, count=1_000)
        return [(letter.subscriber, letter.event_id, letter.reason) for letter in letters]

    def prune(self) -> None:
        self.queues.prune()
        self.flush()

    def events(self) -> list[str]:
        """Ids of all that is kept."""
        rows = self.log._connection.execute("SELECT event_id FROM events ORDER BY number")
        return [event_id for (event_id,) in rows]

    def set_clock(self, ahead_seconds: float) -> None:
        """Somebody sets the time of day; the daemon looks a second later."""
        self.clock.jumped = ahead_seconds
        self.wait(1)

    def revive(self, *names: str, event_id: str = "") -> None:
        def work(log: EventLog) -> object:
            return log.revive(names, event_id=event_id, since=self.clock.at)

        def done(found: Any) -> None:
            self.queues.revived(found)

        self.writer.submit(Job(work, done, self.failures.append, urgent=True))
        self.flush()
