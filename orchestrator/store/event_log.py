"""EventLog: accepted events, who is still to get each, and what could not be delivered.

Every method is a few statements inside a transaction that somebody else begins and commits:
events/writer.py puts what many publishers want into one, so that they share its sync. One thread
at a time.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

from orchestrator.store.base import StoreUnavailable
from orchestrator.store.event_forgetting import (
    forget_dead,
    forget_most,
    forget_old,
    give_way,
    sizes_by_source,
)
from orchestrator.store.event_schema import open_event_file
from orchestrator.store.event_values import Added, Choice, DeadLetter, Due, Entry, Round, Tally

VACUUMED_PAGES: Final = 2_000


class EventLog:
    """One connection."""

    def __init__(self, connection: sqlite3.Connection, trouble: str) -> None:
        self._connection = connection
        self.found = trouble
        """What was wrong with an earlier file, which was set aside; empty for nothing."""
        self.size = 0
        self._next_delivery = self._next_dead = 1
        self._count()

    @classmethod
    def open(cls, path: Path) -> Self:
        """Raises StoreUnavailable, EventLogTooNew."""
        return cls(*open_event_file(path))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it is on disk when the block ends, or none. Raises StoreUnavailable."""
        size = self.size
        try:
            self._connection.execute("BEGIN")
            yield
            self._connection.execute("COMMIT")
        except BaseException as error:
            self.size = size
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise StoreUnavailable(f"the event log could not be written: {error}") from error
            raise

    def close(self) -> None:
        self._connection.close()

    # -- accepting and delivering ---------------------------------------------------------------

    def add(self, entry: Entry, subscribers: Sequence[str], *, since: float) -> Added:
        """Take an event and note who gets it; a repeat is told and changes nothing.

        `since` is when it was taken, by the time in which events grow old.
        """
        added = self._connection.execute(
            "INSERT OR IGNORE INTO events (event_id, own_id, source, type, subject, at, size, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                entry.event_id,
                entry.own_id or None,
                entry.source,
                entry.type,
                entry.subject,
                since,
                entry.size,
                entry.body,
            ),
        )
        if added.rowcount == 0:
            return Added(event_id=self._first(entry), repeat=True)
        self.size += entry.size
        first = self._next_delivery
        self._next_delivery += len(subscribers)
        self._connection.executemany(
            "INSERT INTO deliveries VALUES (?, ?, ?, 0, ?)",
            [
                (first + index, subscriber, added.lastrowid, since)
                for index, subscriber in enumerate(subscribers)
            ],
        )
        return Added(
            event_id=entry.event_id, deliveries=tuple(range(first, first + len(subscribers)))
        )

    def due(
        self, subscriber: str, *, after: int, count: int, most_bytes: int
    ) -> tuple[list[Due], bool]:
        """The next deliveries of one subscriber, in order; and whether there are more."""
        rows = self._connection.execute(
            "SELECT d.delivery_id, e.event_id, e.source, e.type, e.body, d.tries, d.since "
            "FROM deliveries d JOIN events e USING (number) "
            "WHERE d.subscriber = ? AND d.delivery_id > ? ORDER BY d.delivery_id",
            (subscriber, after),
        )
        found: list[Due] = []
        for row in rows:
            if len(found) == count or most_bytes <= 0:
                return found, True
            found.append(
                Due(
                    delivery_id=row[0],
                    event_id=row[1],
                    source=row[2],
                    type=row[3],
                    body=row[4],
                    tries=row[5],
                    since=row[6],
                )
            )
            most_bytes -= len(row[4])
        return found, False

    def settle(self, delivery_ids: Sequence[int]) -> None:
        """They were taken."""
        self._connection.executemany(
            "DELETE FROM deliveries WHERE delivery_id = ?", [(each,) for each in delivery_ids]
        )

    def count_try(self, delivery_id: int, tries: int) -> None:
        """So many tries failed."""
        self._connection.execute(
            "UPDATE deliveries SET tries = ? WHERE delivery_id = ?", (tries, delivery_id)
        )

    def tallies(self) -> list[Tally]:
        """How much waits, by subscriber and publisher."""
        return self._tallies("", ())

    def drop(self, subscriber: str) -> list[Tally]:
        """Forget what waits for a subscriber that is no more; how much it was."""
        tallies = self._tallies("WHERE d.subscriber = ?", (subscriber,))
        self._connection.execute("DELETE FROM deliveries WHERE subscriber = ?", (subscriber,))
        return tallies

    # -- dead letters ---------------------------------------------------------------------------

    def bury(self, delivery_id: int, *, tries: int, reason: str, at: float, most: int) -> int:
        """Give a delivery up; how many older dead letters of that subscriber gave way."""
        self._connection.execute(
            "INSERT INTO dead SELECT ?, subscriber, number, ?, ?, ? FROM deliveries "
            "WHERE delivery_id = ?",
            (self._next_dead, tries, reason, at, delivery_id),
        )
        self._next_dead += 1
        self.settle([delivery_id])
        return self._connection.execute(
            "DELETE FROM dead WHERE dead_id IN (SELECT dead_id FROM dead WHERE subscriber = "
            "(SELECT subscriber FROM dead WHERE dead_id = ?) "
            "ORDER BY dead_id DESC LIMIT -1 OFFSET ?)",
            (self._next_dead - 1, most),
        ).rowcount

    def dead(self, subscriber: str = "", *, count: int) -> list[DeadLetter]:
        """The latest dead letters, oldest first, of one subscriber or of all."""
        rows = self._connection.execute(
            "SELECT d.subscriber, e.event_id, e.type, e.source, d.tries, d.reason, d.at, e.body "
            "FROM dead d JOIN events e USING (number) WHERE ? IN ('', d.subscriber) "
            "ORDER BY d.dead_id DESC LIMIT ?",
            (subscriber, count),
        ).fetchall()
        return [
            DeadLetter(
                subscriber=row[0],
                event_id=row[1],
                type=row[2],
                source=row[3],
                tries=row[4],
                reason=row[5],
                at=row[6],
                body=row[7],
            )
            for row in reversed(rows)
        ]

    def dead_counts(self) -> dict[str, int]:
        """How many there are, by subscriber."""
        rows = self._connection.execute("SELECT subscriber, COUNT(*) FROM dead GROUP BY subscriber")
        return dict(rows.fetchall())

    def dead_events(self, subscribers: Sequence[str]) -> set[str]:
        """Ids of the events of which these have dead letters."""
        rows = self._connection.execute(
            "SELECT DISTINCT d.subscriber, e.event_id FROM dead d JOIN events e USING (number)"
        )
        return {event_id for subscriber, event_id in rows if subscriber in subscribers}

    def discard(self, subscribers: Sequence[str], *, event_id: str = "") -> Counter[str]:
        """Forget dead letters of these: one event's, or (empty) all; how many, by subscriber."""
        gone: Counter[str] = Counter()
        for subscriber in subscribers:
            gone[subscriber] = self._connection.execute(
                "DELETE FROM dead WHERE subscriber = ? AND (? = '' OR number = "
                "(SELECT number FROM events WHERE event_id = ?))",
                (subscriber, event_id, event_id),
            ).rowcount
        return +gone

    def revive(
        self, subscribers: Sequence[str], *, event_id: str = "", since: float
    ) -> list[Tally]:
        """Queue dead letters of these anew, behind what waits: one event's, or (empty) all."""
        tallies = []
        for subscriber in subscribers:
            rows = self._connection.execute(
                "SELECT d.dead_id, d.number, e.source, e.size FROM dead d "
                "JOIN events e USING (number) "
                "WHERE d.subscriber = ? AND ? IN ('', e.event_id) ORDER BY d.dead_id",
                (subscriber, event_id),
            ).fetchall()
            for dead_id, number, source, size in rows:
                self._connection.execute(
                    "INSERT INTO deliveries VALUES (?, ?, ?, 0, ?)",
                    (self._next_delivery, subscriber, number, since),
                )
                self._next_delivery += 1
                self._connection.execute("DELETE FROM dead WHERE dead_id = ?", (dead_id,))
                tallies.append(Tally(subscriber=subscriber, source=source, count=1, size=size))
        return tallies

    # -- looking back, and forgetting -----------------------------------------------------------

    def latest(self, choice: Choice, *, count: int, most_bytes: int) -> tuple[int, list[bytes]]:
        """The latest events that fit, oldest first, and the number of the newest of all."""
        [newest] = self._one("SELECT coalesce(max(number), 0) FROM events")
        bodies: list[bytes] = []
        for _, body in self._chosen(choice, "DESC", 0):
            most_bytes -= len(body)
            if len(bodies) == count or most_bytes < 0:
                break
            bodies.append(body)
        return newest, bodies[::-1]

    def after(self, number: int, choice: Choice, *, count: int) -> tuple[int, list[bytes]]:
        """What came after `number` and fits, and how far that goes."""
        bodies: list[bytes] = []
        for found, body in self._chosen(choice, "ASC", number):
            bodies.append(body)
            if len(bodies) == count:
                return found, bodies
        [newest] = self._one("SELECT coalesce(max(number), 0) FROM events")
        return max(number, newest), bodies

    def prune(
        self,
        *,
        before: float,
        dead_before: float,
        most_bytes: int,
        sizes: Mapping[str, int] | None = None,
    ) -> Round:
        """Forget dead letters and delivered events that are too old; of whom there is too much.

        Dead letters give way where that is not enough. What waits stays. One round, which is
        bounded; the next takes the `sizes` of this one, for to count them is to read all events.
        """
        gone: Counter[str] = Counter()
        aged: Counter[str] = Counter()
        counted = sizes is None
        if sizes is None:
            aged = forget_dead(self._connection, dead_before)
            self.size -= forget_old(self._connection, before)
            sizes = sizes_by_source(self._connection) if self.size > most_bytes else {}
        left, moved = dict(sizes), True
        if self.size > most_bytes and not self._forget_most(left, most_bytes):
            moved = not counted or give_way(self._connection, gone)
        self._give_pages_back()
        again = moved and self.size > most_bytes
        return Round(gone=dict(gone), aged=dict(aged), sizes=left or None, again=again)

    # -- its own time ---------------------------------------------------------------------------

    def set_ahead(self, seconds: float) -> None:
        """How far the machine's time of day is ahead of that in which events grow old."""
        self._connection.execute("INSERT OR REPLACE INTO clock VALUES (1, ?)", (seconds,))

    def times(self) -> tuple[float, float]:
        """`set_ahead` as it was left, and when the last event was taken; 0 for neither."""
        [ahead] = self._one("SELECT coalesce(max(ahead), 0.0) FROM clock")
        [latest] = self._one(
            "SELECT coalesce(max(at), 0.0) FROM "
            "(SELECT at FROM (SELECT at FROM events ORDER BY number DESC LIMIT 1) "
            "UNION ALL SELECT max(at) FROM dead)"
        )
        return ahead, latest

    # -------------------------------------------------------------------------------------------

    def _first(self, entry: Entry) -> str:
        row = self._connection.execute(
            "SELECT event_id FROM events WHERE (source = ? AND own_id = ?) OR event_id = ?",
            (entry.source, entry.own_id or None, entry.event_id),
        ).fetchone()
        return str(row[0])

    def _tallies(self, where: str, values: tuple[object, ...]) -> list[Tally]:
        rows = self._connection.execute(
            "SELECT d.subscriber, e.source, count(*), sum(e.size) FROM deliveries d "  # noqa: S608
            f"JOIN events e USING (number) {where} GROUP BY d.subscriber, e.source",
            values,
        )
        return [Tally(subscriber=r[0], source=r[1], count=r[2], size=r[3]) for r in rows]

    def _chosen(self, choice: Choice, order: str, after: int) -> sqlite3.Cursor:
        prefix = choice.type[:-1] if choice.type.endswith(".*") else ""
        return self._connection.execute(
            "SELECT number, body FROM events WHERE number > ? "  # noqa: S608 - `order` is ours
            "AND (? = '' OR type = ? OR (? <> '' AND substr(type, 1, ?) = ?)) "
            "AND (? = '' OR source = 'plugin/' || ? "
            "OR (subject = ? AND source LIKE 'orchestrator/%')) "
            f"ORDER BY number {order}",
            (after, *[choice.type] * 2, prefix, len(prefix), prefix, *[choice.plugin] * 3),
        )

    def _give_pages_back(self) -> None:
        """To the disk, a few at a time, for others wait; each call of the pragma frees one."""
        [free] = self._one("PRAGMA freelist_count")
        for _ in range(min(free, VACUUMED_PAGES)):
            self._connection.execute("PRAGMA incremental_vacuum(1)")

    def _forget_most(self, sizes: dict[str, int], most_bytes: int) -> int:
        forgotten, freed = forget_most(self._connection, sizes, self.size - most_bytes)
        self.size -= freed
        return forgotten

    def _count(self) -> None:
        [self.size] = self._one("SELECT coalesce(sum(size), 0) FROM events")
        [delivery] = self._one("SELECT coalesce(max(delivery_id), 0) FROM deliveries")
        [dead] = self._one("SELECT coalesce(max(dead_id), 0) FROM dead")
        self._next_delivery = max(self._next_delivery, delivery + 1)
        self._next_dead = max(self._next_dead, dead + 1)

    def _one(self, query: str) -> tuple[Any]:
        row: tuple[Any] = self._connection.execute(query).fetchone()
        return row
