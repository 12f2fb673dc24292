"""The bus against a model in the test's own words: whatever happens in whatever order.

The model is two pictures of each subscriber's queue: what is on disk, and what would be there once
all was written. A crash makes the second one the first.
"""

import copy
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from orchestrator.events import queue, queues
from tests.unit.events.event_house import REFUSED, TAKEN, EventHouse

SUBSCRIBES = {"all": ("a.*",), "one": ("a.b",), "own": ("orchestrator.*", "a.c")}
NAMES = st.sampled_from(sorted(SUBSCRIBES))
TYPES = st.sampled_from(["a.b", "a.c", "z"])
MAX_TRIES = 3
RETENTION_SECONDS = 3_600.0


@pytest.fixture(autouse=True, scope="module")
def _small_windows() -> Iterator[None]:
    """So that a few events reach beyond them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queue, "WINDOW", 2)
        patch.setattr(queues, "WINDOW", 2)
        yield


@dataclass
class Letter:
    """One event for one subscriber."""

    event_id: str
    since: float
    tries: int = 0


@dataclass
class Picture:
    """What one would find."""

    waiting: dict[str, list[Letter]] = field(default_factory=dict)
    dead: dict[str, list[str]] = field(default_factory=dict)
    own_ids: dict[str, str] = field(default_factory=dict)


def is_for(name: str, event_type: str) -> bool:
    if name == "all":
        return event_type in {"a.b", "a.c"}
    return (name, event_type) in {("one", "a.b"), ("own", "a.c")}


class Bus(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.house = EventHouse(
            Path(self.folder.name) / "events.db",
            max_tries=MAX_TRIES,
            retention_hours=RETENTION_SECONDS / 3_600,
        )
        self.disk = Picture()
        self.soon = Picture()
        self.offered: list[tuple[str, str, str, tuple[str, ...], float]] = []
        self.pausing: set[str] = set()
        self.expected: list[tuple[str, bool]] = []
        for name in SUBSCRIBES:
            self.deploy(name)

    def teardown(self) -> None:
        self.house.close()
        self.folder.cleanup()

    # -- what happens ---------------------------------------------------------------------------

    @rule(event_type=TYPES, own_id=st.sampled_from(["", "", "x", "y"]))
    def offer(self, event_type: str, own_id: str) -> None:
        wanted = self.house.subscribers.wanted
        names = tuple(name for name in wanted if is_for(name, event_type))
        event_id = self.house.offer(event_type, own_id=own_id)
        self.offered.append((event_id, own_id, event_type, names, self.house.clock.at))

    @rule()
    def flush(self) -> None:
        self.house.flush()
        self._written()

    @rule()
    def meet_a_full_disk(self) -> None:
        """What was offered is refused; what must be written waits."""
        failures = len(self.house.failures)
        self.house.writer.full = True
        self.house.flush()
        self.house.writer.full = False
        assert len(self.house.failures) - failures == len(self.offered)
        self.offered.clear()

    @rule()
    def crash(self) -> None:
        self.house.crash()
        self.offered.clear()
        self.pausing.clear()
        self.soon = copy.deepcopy(self.disk)
        self._written()

    @rule(name=NAMES, flush=st.booleans())
    def take(self, name: str, flush: bool) -> None:  # noqa: FBT001 - hypothesis names it
        if self.house.answer(name, TAKEN, flush=False):
            self.soon.waiting[name].pop(0)
            self._expire()
        if flush:
            self.flush()

    @rule(name=NAMES)
    def fail(self, name: str) -> None:
        if self.house.answer(name, REFUSED, flush=False):
            letter = self.soon.waiting[name][0]
            letter.tries += 1
            if letter.tries == MAX_TRIES:
                self._bury(name)
            else:
                self.pausing.add(name)
        self.flush()

    @rule(name=NAMES)
    def stop(self, name: str) -> None:
        if name in self.house.subscribers.ways:
            self.pausing.add(name)
        self.house.stop(name)
        self._written()

    @rule(name=NAMES)
    def start(self, name: str) -> None:
        if name in self.house.subscribers.wanted:
            self.house.start(name)
        self._written()

    @rule(name=NAMES)
    def undeploy(self, name: str) -> None:
        self.flush()
        self.house.subscribers.wanted.pop(name, None)
        self.house.subscribers.up.discard(name)
        self.house.subscribers.ways.pop(name, None)
        self.pausing.discard(name)
        self.house.queues.drop_absent()
        self.soon.waiting.pop(name, None)
        self.flush()

    @rule(name=NAMES)
    def deploy(self, name: str) -> None:
        self.house.subscribe(name, *SUBSCRIBES[name], up=False)

    @rule(name=NAMES)
    def revive(self, name: str) -> None:
        self.flush()
        if name not in self.house.subscribers.wanted:
            return  # whoever asks is told that there is no such plugin
        self.house.revive(name)
        now = self.house.clock.at
        letters = [Letter(event_id, now) for event_id in self.soon.dead.pop(name, [])]
        if letters:
            self.soon.waiting.setdefault(name, []).extend(letters)
        self._written()

    @rule(seconds=st.sampled_from([61.0, RETENTION_SECONDS / 2, RETENTION_SECONDS * 2]))
    def wait(self, seconds: float) -> None:
        self.flush()
        self.house.wait(seconds)
        self.pausing.clear()
        self._written()

    @rule(seconds=st.sampled_from([RETENTION_SECONDS * 3, -RETENTION_SECONDS * 3]))
    def set_the_clock(self, seconds: float) -> None:
        """Nothing has waited longer for it, nor less long."""
        self.flush()
        self.house.clock.jumped += seconds
        self.house.wait(0)
        self._written()

    @rule()
    def prune(self) -> None:
        """It may forget which ids were repeats only once the events are old."""
        self.flush()
        self.house.queues.prune()
        self.flush()
        self.soon.own_ids = {
            own_id: event_id
            for own_id, event_id in self.soon.own_ids.items()
            if event_id in self._kept()
        }
        self._written()

    # -- what must hold -------------------------------------------------------------------------

    @invariant()
    def nothing_is_accepted_but_what_is_on_disk(self) -> None:
        assert self.house.accepted == self.expected

    @invariant()
    def one_that_runs_is_sent_the_first_that_waits_for_it(self) -> None:
        house = self.house
        if house.writer.jobs:
            return
        for name in house.subscribers.up & house.subscribers.wanted.keys() - self.pausing:
            way = house.subscribers.ways.get(name)
            head = next((it.event_id for it in self.soon.waiting.get(name, [])), None)
            assert (way.due.event_id if way else None) == head

    @invariant()
    def what_waits_is_counted(self) -> None:
        if not self.offered:
            waiting = {name: len(them) for name, them in self.soon.waiting.items() if them}
            assert self.house.queues.pending() == waiting

    @invariant()
    def the_disk_holds_what_waits_and_what_is_dead(self) -> None:
        if self.house.writer.jobs:
            return
        for name in SUBSCRIBES:
            dues, _ = self.house.log.due(name, after=0, count=10_000, most_bytes=1 << 30)
            expected = self.soon.waiting.get(name, [])
            assert [(due.event_id, due.tries) for due in dues] == [
                (letter.event_id, letter.tries) for letter in expected
            ]
            assert [row[1] for row in self.house.dead(name)] == self.soon.dead.get(name, [])

    # -------------------------------------------------------------------------------------------

    def _written(self) -> None:
        """All of it is on disk now."""
        for event_id, own_id, _, names, at in self.offered:
            first = self.soon.own_ids.get(own_id) if own_id else None
            self.expected.append((first or event_id, first is not None))
            if first is not None:
                continue
            if own_id:
                self.soon.own_ids[own_id] = event_id
            for name in names:
                self.soon.waiting.setdefault(name, []).append(Letter(event_id, at))
        self.offered.clear()
        self._expire()
        self.house.flush()
        self.disk = copy.deepcopy(self.soon)

    def _expire(self) -> None:
        """The first of a queue that is not on its way and has waited too long."""
        for name, letters in self.soon.waiting.items():
            way = self.house.subscribers.ways.get(name)
            while letters and self._is_old(letters[0]):
                if name in self.pausing or (way and way.due.event_id == letters[0].event_id):
                    break
                self._bury(name)

    def _kept(self) -> set[str]:
        rows = self.house.log._connection.execute("SELECT event_id FROM events")
        return {event_id for (event_id,) in rows}

    def _is_old(self, letter: Letter) -> bool:
        return self.house.clock.at - letter.since > RETENTION_SECONDS

    def _bury(self, name: str) -> None:
        letter = self.soon.waiting[name].pop(0)
        self.soon.dead.setdefault(name, []).append(letter.event_id)


TestBus = Bus.TestCase
TestBus.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
