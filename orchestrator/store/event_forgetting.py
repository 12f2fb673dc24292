"""Which events and dead letters go: a bounded number at a time, as whoever writes waits for it."""

import heapq
import sqlite3
from collections import Counter
from typing import Final

PRUNED_AT_ONCE: Final = 2_000
_BITE: Final = 100
"""So many of one source go before another that has as much is looked at."""
_OPEN: Final = (
    "EXISTS (SELECT 1 FROM deliveries d WHERE d.number = e.number) OR "
    "EXISTS (SELECT 1 FROM dead d WHERE d.number = e.number)"
)


def forget_dead(connection: sqlite3.Connection, before: float) -> Counter[str]:
    """Dead letters that are too old, the oldest first: how many went, by subscriber."""
    rows = connection.execute(
        "DELETE FROM dead WHERE dead_id IN "
        "(SELECT dead_id FROM dead WHERE at < ? ORDER BY at LIMIT ?) RETURNING subscriber",
        (before, PRUNED_AT_ONCE),
    ).fetchall()
    return Counter(name for (name,) in rows)


def give_way(connection: sqlite3.Connection, gone: Counter[str]) -> bool:
    """The oldest dead letters of the subscriber that has most of them; whether there were any."""
    rows = connection.execute(
        "DELETE FROM dead WHERE dead_id IN (SELECT dead_id FROM dead WHERE subscriber = "
        "(SELECT d.subscriber FROM dead d JOIN events e USING (number) "
        "GROUP BY d.subscriber ORDER BY sum(e.size) DESC LIMIT 1) "
        "ORDER BY dead_id LIMIT 100) RETURNING subscriber"
    ).fetchall()
    gone.update(name for (name,) in rows)
    return bool(rows)


def forget_old(connection: sqlite3.Connection, before: float) -> int:
    """How many bytes went."""
    rows = connection.execute(
        "DELETE FROM events WHERE number IN "  # noqa: S608 - words of ours
        f"(SELECT number FROM events e WHERE e.at < ? AND NOT ({_OPEN}) "
        "ORDER BY number LIMIT ?) RETURNING size",
        (before, PRUNED_AT_ONCE),
    ).fetchall()
    return sum(size for (size,) in rows)


def sizes_by_source(connection: sqlite3.Connection) -> dict[str, int]:
    """What could go. Reads every event: once for many rounds."""
    rows = connection.execute(
        f"SELECT source, sum(size) FROM events e WHERE NOT ({_OPEN}) GROUP BY source"  # noqa: S608
    )
    return dict(rows.fetchall())


def forget_most(
    connection: sqlite3.Connection, sizes: dict[str, int], excess: int
) -> tuple[int, int]:
    """Of whom there is most, until `excess` bytes went: how many events, how many bytes.

    `sizes` becomes what is left, without the sources that have none.
    """
    forgotten = freed = 0
    while sizes and freed < excess and forgotten < PRUNED_AT_ONCE:
        source, *others = heapq.nlargest(2, sizes, key=sizes.__getitem__)
        lead = sizes[source] - (sizes[others[0]] if others else 0)
        rows = _oldest(connection, source, PRUNED_AT_ONCE - forgotten)
        numbers, size = _bite(rows, lead, excess - freed)
        connection.executemany("DELETE FROM events WHERE number = ?", numbers)
        sizes[source] -= size
        if not numbers:
            del sizes[source]
        forgotten, freed = forgotten + len(numbers), freed + size
    return forgotten, freed


def _oldest(connection: sqlite3.Connection, source: str, most: int) -> list[tuple[int, int]]:
    rows = connection.execute(
        f"SELECT number, size FROM events e WHERE source = ? AND NOT ({_OPEN}) "  # noqa: S608
        "ORDER BY number LIMIT ?",
        (source, most),
    )
    return rows.fetchall()


def _bite(rows: list[tuple[int, int]], lead: int, excess: int) -> tuple[list[tuple[int]], int]:
    """What a source has more than others, at least a few, and no more than has to go."""
    numbers: list[tuple[int]] = []
    size = 0
    for number, each in rows:
        if size >= excess or (size >= lead and len(numbers) >= _BITE):
            break
        numbers.append((number,))
        size += each
    return numbers, size
