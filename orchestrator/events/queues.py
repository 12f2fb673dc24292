"""EventQueues: the durable half of the bus. What it took is on disk, with who is to get it.

Everything here runs on the loop and waits for nothing: the writer carries jobs out in order and
calls back. So a crash at any point leaves a log from which `restore` goes on: an event that was
told as accepted is delivered, perhaps once more than needed.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol, cast

from pydantic import JsonValue

from orchestrator.errors import OrchestratorError
from orchestrator.events.bounds import Bounds, EventsFull, check_disk
from orchestrator.events.pruning import TOO_MANY, Pruning
from orchestrator.events.queue import EXPIRED, WINDOW, WINDOW_BYTES, Carrier, SubscriberQueue
from orchestrator.events.settling import Settling, drop
from orchestrator.events.steady import Steady
from orchestrator.events.writer import Job, Writer
from orchestrator.model.events import EventName, PluginEvent
from orchestrator.model.policy import EventPolicy
from orchestrator.store.event_log import EventLog
from orchestrator.store.event_values import Added, Due, Entry, Tally

FULL: Final = "queue_full"
MAX_OWN_WAITING: Final = 8_192
"""Own events that wait for a disk that takes none; more are lost, and counted."""
_TOLD_OF_NONE: Final = frozenset({EventName.EVENT_DEAD, EventName.EVENT_DROPPED})
"""Letters about letters that cannot be delivered would have no end."""

Tell = Callable[[EventName, str, dict[str, JsonValue]], object]
After = Callable[[float, Callable[[], None]], object]


class Subscribers(Carrier, Protocol):
    """Who they are; see manager/delivery.py."""

    def of(self, event_type: str, source: str) -> Sequence[str]:
        """Whoever is to get such an event."""

    def is_known(self, subscriber: str) -> bool:
        """Whether it is deployed, running or not."""


class EventQueues:
    """A Post."""

    def __init__(
        self,
        *,
        writer: Writer,
        log: EventLog,
        carrier: Subscribers,
        policy: Callable[[], EventPolicy],
        time: Steady,
        after: After,
        tell: Tell,
    ) -> None:
        """`log` is only asked for its size, which any thread may read."""
        self.carrier: Subscribers = carrier
        self.lost = 0
        """Own events that no disk took."""
        self.delivered: Counter[str] = Counter()
        """By subscriber, since the daemon started."""
        self.failed_tries: Counter[str] = Counter()
        self.after = after
        self._writer = writer
        self._log = log
        self._policy = policy
        self.time = time
        self._tell = tell
        self._bounds = Bounds()
        self._queues: dict[str, SubscriberQueue] = {}
        self._settled: deque[int] = deque()
        self._settling = False
        self._offered_bytes = 0
        self._pruning = Pruning(
            log=log, policy=policy, now=self.now, must=self._must, dropped=self.tell_dropped
        )

    @property
    def policy(self) -> EventPolicy:
        return self._policy()

    @property
    def trouble(self) -> str:
        """Why events cannot be written, if so."""
        return self._writer.trouble

    def now(self) -> float:
        return self.time.now()

    def pending(self) -> dict[str, int]:
        """How many events wait, by subscriber."""
        return {name: load.count for name, load in self._bounds.pending.items()}

    def restore(self, tallies: Sequence[Tally]) -> None:
        """What an earlier daemon left."""
        self._bounds.take_all(tallies)
        for name in {tally.subscriber for tally in tallies}:
            self._queues[name] = SubscriberQueue(name, self, behind=True)

    # -- accepting ------------------------------------------------------------------------------

    def offer(
        self,
        entry: Entry,
        *,
        done: Callable[[str, bool], None],
        failed: Callable[[OrchestratorError], None],
    ) -> None:
        """Take an event; `done(id, whether it repeats)` once it is on disk. Raises EventsFull."""
        names = list(self.carrier.of(entry.type, entry.source))
        policy = self.policy
        check_disk(entry.size, self._log.size + self._offered_bytes, self._writer.waiting, policy)
        self._bounds.check_publisher(entry.source, entry.size, len(names), policy)
        for name in names:
            self._bounds.check_subscriber(name, entry.size, policy)

        def unwritten(error: OrchestratorError) -> None:
            self._release(entry, names)
            failed(error)

        self._submit(
            entry, names, lambda added: done(added.event_id, added.repeat), failed=unwritten
        )

    def journal(self, entry: Entry) -> None:
        """Take an event of the orchestrator's own: it cannot be told to come again later.

        A subscriber whose queue is full finds it among its dead letters.
        """
        if self._writer.waiting >= MAX_OWN_WAITING:
            self.lost += 1
            return
        names, full = [], []
        for name in self.carrier.of(entry.type, entry.source):
            try:
                self._bounds.check_subscriber(name, entry.size, self.policy)
                names.append(name)
            except EventsFull:
                full.append(name)
        self._submit(entry, names, None, failed=None, full=full)

    def _submit(
        self,
        entry: Entry,
        names: list[str],
        done: Callable[[Added], None] | None,
        *,
        failed: Callable[[OrchestratorError], None] | None,
        full: Sequence[str] = (),
    ) -> None:
        self._bounds.take(entry.source, names, entry.size)
        self._offered_bytes += entry.size
        since, most = self.now(), self.policy.max_dead

        def work(log: EventLog) -> Added:
            added = log.add(entry, [*names, *full], since=since)
            for delivery_id in added.deliveries[len(names) :]:
                log.bury(delivery_id, tries=0, reason=FULL, at=since, most=most)
            return added

        def written(result: object) -> None:
            added = cast("Added", result)
            if done is not None:
                done(added)
            self._accepted(entry, names, added, since)

        urgent = done is not None or bool(names)
        self._writer.submit(Job(work, written, failed, urgent))

    def _accepted(self, entry: Entry, names: list[str], added: Added, since: float) -> None:
        if added.repeat:
            self._release(entry, names)
            return
        self._offered_bytes -= entry.size
        for name, delivery_id in zip(names, added.deliveries, strict=False):
            self._queue(name).add(
                Due(
                    delivery_id=delivery_id,
                    event_id=entry.event_id,
                    source=entry.source,
                    type=entry.type,
                    body=entry.body,
                    tries=0,
                    since=since,
                )
            )
        self._pruning.look()

    def _release(self, entry: Entry, names: list[str]) -> None:
        self._offered_bytes -= entry.size
        self._bounds.give_back(entry.source, names, entry.size)

    # -- Post: what queues say ------------------------------------------------------------------

    def load(self, queue: SubscriberQueue) -> None:
        def loaded(result: object) -> None:
            dues, more = cast("tuple[list[Due], bool]", result)
            queue.loaded(dues, more=more)

        newest = queue.newest
        self._must(
            lambda log: log.due(queue.name, after=newest, count=WINDOW, most_bytes=WINDOW_BYTES),
            loaded,
            urgent=True,
        )

    def taken(self, queue: SubscriberQueue, due: Due) -> None:
        self.delivered[queue.name] += 1
        self.settled(queue, due)

    def settled(self, queue: SubscriberQueue, due: Due) -> None:
        self._bounds.give_back(due.source, [queue.name], due.size)
        self._settled.append(due.delivery_id)
        self._settle()

    def unwanted(self, queue: SubscriberQueue, dues: Sequence[Due]) -> None:
        for due in dues:
            self.settled(queue, due)
        self.tell_dropped(queue.name, len(dues), "not subscribed to any more")

    def tried(self, queue: SubscriberQueue, due: Due) -> None:
        self.failed_tries[queue.name] += 1
        delivery_id, tries = due.delivery_id, due.tries
        self._must(lambda log: log.count_try(delivery_id, tries))

    def buried(self, queue: SubscriberQueue, due: Due, reason: str) -> None:
        if reason != EXPIRED:
            self.failed_tries[queue.name] += 1
        self._bounds.give_back(due.source, [queue.name], due.size)
        bury = partial(
            EventLog.bury,
            delivery_id=due.delivery_id,
            tries=due.tries,
            reason=reason,
            at=self.now(),
            most=self.policy.max_dead,
        )
        self._must(bury, partial(self._gave_way, queue.name))
        if due.type not in _TOLD_OF_NONE:
            data: dict[str, JsonValue] = {
                "event_id": due.event_id,
                "type": due.type,
                "source": due.source,
                "tries": due.tries,
                "reason": reason,
            }
            self._tell(EventName.EVENT_DEAD, queue.name, data)

    # -- what becomes of subscribers ------------------------------------------------------------

    def wake(self, subscriber: str) -> None:
        """It may have become able to take events."""
        queue = self._queues.get(subscriber)
        if queue is not None:
            queue.wake()

    def wake_all(self) -> None:
        """Also lets go of what waited too long for those that are away."""
        ahead = self.time.news()
        if ahead is not None:
            self._must(partial(EventLog.set_ahead, seconds=ahead))
        for queue in list(self._queues.values()):
            queue.wake()

    def drop_absent(self) -> None:
        """What waits for plugins that are deployed no more is dropped, and told."""
        for name, queue in list(self._queues.items()):
            if not (queue.closed or self.carrier.is_known(name)):
                queue.close()
                settling = Settling(self._settled)
                self._must(
                    partial(drop, name, settling), partial(self._dropped, queue), urgent=True
                )

    def _dropped(self, queue: SubscriberQueue, result: object) -> None:
        tallies = cast("list[Tally]", result)
        self._bounds.give_back_all(tallies)
        self._queues.pop(queue.name, None)
        for counts in (self.delivered, self.failed_tries):
            counts.pop(queue.name, None)
        count = sum(tally.count for tally in tallies)
        self.tell_dropped(queue.name, count, "not deployed any more")

    # -- dead letters and old events ------------------------------------------------------------

    def revived(self, tallies: Sequence[Tally]) -> None:
        """Dead letters that `EventLog.revive` queued anew."""
        self._bounds.take_all(tallies)
        for name in {tally.subscriber for tally in tallies}:
            self._queue(name).look_again()

    def prune(self) -> None:
        """Forget what was delivered, or has been dead, for long enough."""
        self._pruning.start()

    # -------------------------------------------------------------------------------------------

    def _queue(self, name: str) -> SubscriberQueue:
        queue = self._queues.get(name)
        if queue is None:
            queue = self._queues[name] = SubscriberQueue(name, self, behind=False)
        return queue

    def _settle(self) -> None:
        """One job at a time, for all that is taken until it runs."""

        def done(result: object) -> None:
            self._settling = False
            self._settle()

        if self._settled and not self._settling:
            self._settling = True
            self._must(Settling(self._settled), done)

    def _gave_way(self, subscriber: str, result: object) -> None:
        self.tell_dropped(subscriber, cast("int", result), TOO_MANY)

    def tell_dropped(self, subscriber: str, count: int, why: str) -> None:
        """Deliveries to it, or dead letters of it, are no more."""
        if count:
            data: dict[str, JsonValue] = {"count": count, "why": why}
            self._tell(EventName.EVENT_DROPPED, subscriber, data)

    def _must(
        self,
        work: Callable[[EventLog], object],
        done: Callable[[object], None] = lambda _: None,
        *,
        urgent: bool = False,
    ) -> None:
        """A job that is tried until it is written."""
        self._writer.submit(Job(work, done, None, urgent))


def entry_of(event: PluginEvent, body: bytes, *, own_id: str = "") -> Entry:
    """An event as the log stores it."""
    return Entry(
        event_id=event.event_id,
        own_id=own_id,
        source=event.source,
        type=event.type,
        subject=event.subject,
        body=body,
    )
