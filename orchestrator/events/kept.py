"""PluginsEvents: the latest of what plugins published, to look back on, within bounds for each.

What one plugin says pushes out what it said before, and nothing of anybody else's. Kept as text:
a few bytes of JSON can be a hundred times as large as objects.
"""

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from orchestrator.model.events import PluginEvent

KEPT_BYTES: Final = 1 << 20
"""Of one plugin's events, and as many as that holds."""
_EACH_BYTES: Final = 512
"""What an event costs beside its data."""


@dataclass(frozen=True, slots=True)
class _Row:
    number: int
    event: PluginEvent
    """Without its data."""
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data) + _EACH_BYTES


class _Shelf:
    """One plugin's."""

    def __init__(self) -> None:
        self.rows: deque[_Row] = deque()
        self._size = 0

    def add(self, row: _Row) -> None:
        self.rows.append(row)
        self._size += row.size
        while self._size > KEPT_BYTES:
            self._size -= self.rows.popleft().size


class PluginsEvents:
    """By source; `number` is the event's place among all."""

    def __init__(self) -> None:
        self._shelves: dict[str, _Shelf] = {}

    def add(self, number: int, event: PluginEvent) -> None:
        row = _Row(number, replace(event, data={}), json.dumps(dict(event.data)).encode())
        self._shelves.setdefault(event.source, _Shelf()).add(row)

    def latest(self, source: str | None, count: int) -> Iterator[tuple[int, PluginEvent]]:
        """The latest of one source or of all, with their numbers."""
        shelves = self._shelves.items()
        rows = [row for name, shelf in shelves if source in {None, name} for row in shelf.rows]
        for row in sorted(rows, key=lambda row: row.number)[max(0, len(rows) - count) :]:
            yield row.number, replace(row.event, data=json.loads(row.data))
