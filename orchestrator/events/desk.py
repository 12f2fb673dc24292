"""EventDesk: what operators ask of the event log: the latest, what comes, dead letters, replay."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Final, TypeVar, cast

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.events.bus import PluginEventBus
from orchestrator.events.queues import EventQueues
from orchestrator.events.writer import Job, Writer
from orchestrator.store.event_log import EventLog
from orchestrator.store.event_values import Choice, DeadLetter, Tally

T = TypeVar("T")
LATEST_BYTES: Final = 16 << 20
"""Of one answer."""
PAGE: Final = 100
LOOK_SECONDS: Final = 10.0
"""How long a follower waits for news before it looks at the log anyway."""
WAKE_SECONDS: Final = 1.0
PRUNE_ROUNDS: Final = 60
DISCARDED: Final = "discarded by an operator"


class DeadLetterNotFound(OrchestratorError):
    """No dead letter of that event, or for that plugin."""

    kind, code = Kind.NOT_FOUND, "dead_letter_not_found"


class EventDesk:
    """Reads go through the writer too: they see all that was accepted before."""

    def __init__(
        self, bus: PluginEventBus, queues: EventQueues, writer: Writer, *, found: str = ""
    ) -> None:
        """`found` is what was wrong with an earlier log."""
        self._bus = bus
        self._queues = queues
        self._writer = writer
        self._found = found

    @property
    def trouble(self) -> str:
        """Why events are not written, or were lost; empty while all is well."""
        if self._queues.lost:
            return f"{self._queues.lost} events of the orchestrator could not be written"
        return self._queues.trouble or self._found

    def pending(self) -> dict[str, int]:
        """How many events wait, by plugin."""
        return self._queues.pending()

    async def run(self) -> None:
        """Until cancelled: no queue sleeps for long, and what is old goes."""
        rounds = 0
        while True:
            await asyncio.sleep(WAKE_SECONDS)
            self._queues.drop_absent()
            self._queues.wake_all()
            rounds += 1
            if rounds % PRUNE_ROUNDS == 0:
                self._queues.prune()

    async def latest(self, choice: Choice, *, count: int) -> list[bytes]:
        """The latest that fit, oldest first, as CloudEvents."""
        _, bodies = await self._ask(
            lambda log: log.latest(choice, count=count, most_bytes=LATEST_BYTES)
        )
        return bodies

    async def follow(self, choice: Choice, *, count: int) -> AsyncIterator[list[bytes]]:
        """The latest, then what comes; a reader that is slow misses nothing."""
        news = asyncio.Event()
        stop = self._bus.listen(lambda _: news.set())
        try:
            number, bodies = await self._ask(
                lambda log: log.latest(choice, count=count, most_bytes=LATEST_BYTES)
            )
            while True:
                yield bodies
                if not bodies:
                    await _some_time(news)
                news.clear()
                number, bodies = await self._ask(
                    partial(EventLog.after, number=number, choice=choice, count=PAGE)
                )
        finally:
            stop()

    async def dead(self, subscriber: str, *, count: int) -> list[DeadLetter]:
        """The latest dead letters, of one subscriber or (empty) of all."""
        letters = await self._ask(lambda log: log.dead(subscriber, count=count))
        ahead = self._queues.time.ahead
        return [replace(letter, at=letter.at + ahead) for letter in letters]

    async def dead_counts(self) -> dict[str, int]:
        """How many dead letters are kept, by subscriber."""
        return await self._ask(EventLog.dead_counts)

    @property
    def delivered(self) -> Mapping[str, int]:
        """Events that were taken since the daemon started, by subscriber."""
        return self._queues.delivered

    @property
    def failed_tries(self) -> Mapping[str, int]:
        """Deliveries that were not, likewise."""
        return self._queues.failed_tries

    async def replay(self, subscribers: Sequence[str], event_ids: Sequence[str]) -> dict[str, int]:
        """Deliver dead letters anew: of these events, or all; how many, by subscriber.

        Raises DeadLetterNotFound where an event has none.
        """
        since = self._queues.now()

        def work(log: EventLog) -> tuple[list[str], list[Tally]]:
            """All of what is named, or nothing."""
            missing = _missing(log, subscribers, event_ids)
            if missing:
                return missing, []
            found = [
                log.revive(subscribers, event_id=event_id, since=since)
                for event_id in dict.fromkeys(event_ids) or [""]
            ]
            return [], list(chain.from_iterable(found))

        # In the callback: it must not depend on whether the one who asked still waits.
        missing, tallies = await self._ask(work, lambda found: self._queues.revived(found[1]))
        if missing:
            raise DeadLetterNotFound(
                f"found no dead letter of event {missing[0]}, expected one that "
                "`orchestrator events dead` lists, for a plugin that is deployed"
            )
        counts: dict[str, int] = {}
        for tally in tallies:
            counts[tally.subscriber] = counts.get(tally.subscriber, 0) + 1
        return counts

    async def discard(self, subscriber: str, event_ids: Sequence[str]) -> dict[str, int]:
        """Forget dead letters of one subscriber or (empty) of all: of these events, or all of them.

        How many, by subscriber, whether it is still deployed or not. Raises DeadLetterNotFound
        where an event has none.
        """

        def work(log: EventLog) -> tuple[list[str], Counter[str]]:
            """All of what is named, or nothing."""
            names = [subscriber] if subscriber else list(log.dead_counts())
            missing = _missing(log, names, event_ids)
            gone: Counter[str] = Counter()
            for event_id in [] if missing else dict.fromkeys(event_ids) or [""]:
                gone += log.discard(names, event_id=event_id)
            return missing, gone

        def then(found: tuple[list[str], Counter[str]]) -> None:
            for name, count in found[1].items():
                self._queues.tell_dropped(name, count, DISCARDED)

        missing, gone = await self._ask(work, then)
        if missing:
            raise DeadLetterNotFound(
                f"found no dead letter of event {missing[0]}, expected one that "
                "`orchestrator events dead` lists"
            )
        return dict(gone)

    async def _ask(
        self, work: Callable[[EventLog], T], then: Callable[[T], None] = lambda _: None
    ) -> T:
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def done(result: object) -> None:
            then(cast("T", result))
            if not answer.done():
                answer.set_result(cast("T", result))

        def failed(error: OrchestratorError) -> None:
            if not answer.done():
                answer.set_exception(error)

        self._writer.submit(Job(work, done, failed, urgent=True))
        return await answer


def _missing(log: EventLog, subscribers: Sequence[str], event_ids: Sequence[str]) -> list[str]:
    """Those of the events that none of these has a dead letter of."""
    known = log.dead_events(subscribers) if event_ids else set()
    return [event_id for event_id in event_ids if event_id not in known]


async def _some_time(news: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            await news.wait()
    except TimeoutError:
        return
