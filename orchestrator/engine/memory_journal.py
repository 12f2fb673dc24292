"""Journal: what the in-memory engine tells, to be read again and followed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Journal(Generic[T]):
    """A list that can be followed by many while it grows."""

    def __init__(self) -> None:
        self.items: list[T] = []
        self._ended = False
        self._waiting: set[asyncio.Event] = set()

    def append(self, item: T) -> None:
        self.items.append(item)
        self._wake()

    def end(self) -> None:
        """Whoever follows it comes to the end."""
        self._ended = True
        self._wake()

    async def follow(self) -> AsyncIterator[T]:
        position = 0
        while True:
            while position < len(self.items):
                position += 1
                yield self.items[position - 1]
            if self._ended:
                return
            changed = asyncio.Event()
            self._waiting.add(changed)
            try:
                await changed.wait()
            finally:
                self._waiting.discard(changed)

    def _wake(self) -> None:
        for waiting in self._waiting:
            waiting.set()

    def ended_copy(self) -> "Journal[T]":
        """What it holds now, for who does not wait for more."""
        copy: Journal[T] = Journal()
        copy.items = list(self.items)
        copy.end()
        return copy
