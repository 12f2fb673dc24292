"""SubscriberQueue: the events that wait for one subscriber, delivered one at a time and in order.

The queue itself is on disk; a window of its head is in memory. An event leaves when it was taken,
or when it was tried too often or waited too long: then it is a dead letter.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from orchestrator.model.policy import EventPolicy
from orchestrator.store.event_values import Due

FIRST_DELAY_SECONDS: Final = 0.2
MAX_DELAY_SECONDS: Final = 60.0
WINDOW: Final = 32
WINDOW_BYTES: Final = 512 << 10
EXPIRED: Final = "expired"


@dataclass(frozen=True, slots=True)
class Answer:
    """How the delivery of an event ended."""

    taken: bool
    reason: str = ""
    """Why it was not taken."""
    is_try: bool = True
    """Whether it counts: a subscriber that was stopped meanwhile has not failed."""


class Carrier(Protocol):
    """The way to the subscribers."""

    def wants(self, subscriber: str, event_type: str) -> bool:
        """Whether it still subscribes to such events; True for one that is not deployed now."""

    def carry(self, subscriber: str, due: Due, done: Callable[[Answer], None]) -> bool:
        """Send an event; False if the subscriber cannot take one now. `done` comes once, then."""


class Post(Protocol):
    """What a queue says of itself; see EventQueues."""

    @property
    def carrier(self) -> Carrier: ...

    @property
    def policy(self) -> EventPolicy: ...

    def now(self) -> float: ...

    def after(self, seconds: float, act: Callable[[], None]) -> object: ...

    def load(self, queue: "SubscriberQueue") -> None:
        """Read the next window; `loaded` is called."""

    def taken(self, queue: "SubscriberQueue", due: Due) -> None:
        """It was taken."""

    def tried(self, queue: "SubscriberQueue", due: Due) -> None:
        """One more try failed."""

    def unwanted(self, queue: "SubscriberQueue", dues: Sequence[Due]) -> None:
        """Its present revision does not subscribe to them."""

    def buried(self, queue: "SubscriberQueue", due: Due, reason: str) -> None:
        """It is given up."""


class SubscriberQueue:
    """`wake` whenever the subscriber may have become able to take one."""

    def __init__(self, name: str, post: Post, *, behind: bool) -> None:
        self.name = name
        self.newest = 0
        """The last delivery that was in the window."""
        self._post = post
        self._window: deque[Due] = deque()
        self._window_bytes = 0
        self._behind = behind
        """Whether there is more on disk than in the window."""
        self._loading = False
        self._on_the_way: Due | None = None
        self._backs_off = False
        self._closed = False

    def close(self) -> None:
        """Nothing more is delivered, and what is on the way is nobody's."""
        self._closed = True
        self._window.clear()

    @property
    def closed(self) -> bool:
        return self._closed

    def add(self, due: Due) -> None:
        """An event was accepted for it."""
        if self._closed:
            return
        full = len(self._window) >= WINDOW or self._window_bytes >= WINDOW_BYTES
        if self._behind or full:
            self._behind = True
        else:
            self._push(due)
        self.wake()

    def look_again(self) -> None:
        """There is more on disk than it was told."""
        self._behind = True
        self.wake()

    def loaded(self, dues: list[Due], *, more: bool) -> None:
        """The window that it asked for."""
        self._loading = False
        if self._closed:
            return
        self._behind = more
        for due in dues:
            self._push(due)
        self.wake()

    def wake(self) -> None:
        """Send the next one if that can be."""
        if self._on_the_way is not None or self._backs_off:
            return
        self._skip()
        if self._closed or self._loading:
            return
        if self._window:
            self._send(self._window[0])
        elif self._behind:
            self._loading = True
            self._post.load(self)

    def _skip(self) -> None:
        """Past those at the head that are not to be sent any more: the rest must not wait for them.

        One that waited too long is a dead letter; one that is not subscribed to now is dropped.
        """
        unwanted = []
        while self._window:
            head = self._window[0]
            if self._is_expired(head):
                self._pop()
                self._post.buried(self, head, EXPIRED)
            elif not self._post.carrier.wants(self.name, head.type):
                self._pop()
                unwanted.append(head)
            else:
                break
        if unwanted:
            self._post.unwanted(self, unwanted)

    def _send(self, head: Due) -> None:
        self._on_the_way = head
        if not self._post.carrier.carry(self.name, head, lambda answer: self._done(head, answer)):
            self._on_the_way = None

    def _done(self, due: Due, answer: Answer) -> None:
        if self._closed or self._on_the_way is not due:
            return
        self._on_the_way = None
        if answer.taken:
            self._pop()
            self._post.taken(self, due)
        elif answer.is_try:
            due.tries += 1
            self._note_failure(due, answer.reason)
        else:
            self._back_off(FIRST_DELAY_SECONDS)
        self.wake()

    def _note_failure(self, due: Due, reason: str) -> None:
        if due.tries >= self._post.policy.max_tries:
            self._pop()
            self._post.buried(self, due, reason)
            return
        self._post.tried(self, due)
        self._back_off(min(MAX_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** (due.tries - 1)))

    def _back_off(self, seconds: float) -> None:
        def go_on() -> None:
            self._backs_off = False
            self.wake()

        self._backs_off = True
        self._post.after(seconds, go_on)

    def _is_expired(self, due: Due) -> bool:
        return self._post.now() - due.since > self._post.policy.retention_hours * 3_600

    def _push(self, due: Due) -> None:
        self._window.append(due)
        self._window_bytes += len(due.body)
        self.newest = due.delivery_id

    def _pop(self) -> None:
        self._window_bytes -= len(self._window.popleft().body)
