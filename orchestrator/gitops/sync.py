"""GitOps: follows a repository: looks, decides, and has the next step done; again and again.

What it does is write what is wanted, through the manager; the reconcile loop does the rest. Nothing
is written to the remote, so any number of orchestrators may follow one.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from pydantic import JsonValue

from orchestrator.clock import Clock
from orchestrator.errors import OrchestratorError
from orchestrator.events.bus import PluginEventBus
from orchestrator.gitops.book import Book
from orchestrator.gitops.decide import Decision, Move, View, decide, drift_key, pause_after
from orchestrator.gitops.git import GitFailed, GitTimedOut
from orchestrator.gitops.prepared import as_applied
from orchestrator.gitops.reading import fingerprint, is_passing, short
from orchestrator.gitops.remote import Remote
from orchestrator.gitops.repository import Commit, GitUnreachable
from orchestrator.gitops.runner import Runner
from orchestrator.gitops.seen import Seen
from orchestrator.gitops.state import Asked, Entry, Outcome, failed_again
from orchestrator.gitops.tree import GitTree
from orchestrator.gitops.windows import is_open
from orchestrator.manager.manager import PluginManager
from orchestrator.manager.revisions import Note
from orchestrator.model.events import EventName, PluginEvent
from orchestrator.model.git import GitSource

REST_SECONDS: Final = 20.0
"""Longest rest while a repository is followed: windows open, and events can be missed."""
AUTO: Final = "gitops"
_HEARD: Final = ("orchestrator.rollout.", "orchestrator.desired.", "orchestrator.engine.found")
_LOG = logging.getLogger("orchestrator")


class GitOps:
    """One per daemon. `run` is its life; commands change the book and wake it."""

    def __init__(
        self,
        *,
        book: Book,
        remote: Remote,
        runner: Runner,
        seen: Seen,
        manager: PluginManager,
        bus: PluginEventBus,
        clock: Clock,
    ) -> None:
        self.book = book
        self.remote = remote
        self.runner = runner
        self.seen = seen
        self._manager = manager
        self._bus = bus
        self._clock = clock
        self._woken = asyncio.Event()
        self._stumbles = 0
        self._again_at = 0.0
        """When what could not be done is tried again; of the monotonic clock."""
        self.looked_at = 0.0
        bus.listen(self._hear)

    def wake(self) -> None:
        """Something changed: decide anew."""
        self._woken.set()

    def hurry(self) -> None:
        """Somebody says that something was pushed."""
        self.remote.hurry()
        self.wake()

    async def run(self) -> None:
        """For ever, until cancelled."""
        while True:
            self._woken.clear()
            seconds = await self.turn()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._woken.wait()

    async def turn(self) -> float | None:
        """One decision and what follows from it; seconds until the next, None: until woken."""
        source = self.book.source
        if source is None:
            return None
        if self.remote.due_in <= 0:
            await self._look(source)
        if self._stumbling > 0:
            return min(self._stumbling, self.remote.due_in)
        now = self._clock.now()
        settled = self.book.record.not_after(now)
        if settled is not self.book.record:
            self.book.write(settled)
        decision = decide(self.view(source), now)
        try:
            seconds = await self._do(source, decision)
        except OrchestratorError as error:
            if not is_passing(error):
                raise
            return self._stumble(error)
        self._stumbles = 0
        return max(0.0, min(seconds, self.remote.due_in, REST_SECONDS))

    def view(self, source: GitSource) -> View:
        """All that the decision needs to know."""
        record, sync = self.book.record, source.sync
        wanted = record.wanted.sha if record.wanted is not None else ""
        return View(
            suspended=record.suspended is not None,
            running=record.run.commit.sha if record.run is not None else "",
            failing=record.run is not None and bool(record.run.failure),
            # What was pushed just before counts: the remote is looked at first, if it answers.
            asked=record.asked is not None and bool(record.seen or self.remote.trouble),
            wanted=wanted,
            synced=record.synced.sha if record.synced is not None else "",
            quarantined=wanted in record.quarantine,
            auto=sync.auto,
            window_open=is_open(sync.windows, self._clock.now()),
            attempt=record.attempt,
            drifted=self.seen.drifted(record.applied) if record.run is None else (),
            self_heal=sync.self_heal,
            heal=record.heal,
            retry_seconds=sync.retry_seconds,
            retry_most_seconds=sync.retry_most_seconds,
        )

    def next_move(self, source: GitSource) -> Move:
        """What would be done now."""
        return decide(self.view(source), self._clock.now()).move

    # -- looking --------------------------------------------------------------------------------

    async def _look(self, source: GitSource) -> None:
        """Whether the remote has something new; what it has must be fit to be taken up."""
        was_well = not self.remote.trouble
        try:
            ref = await self.remote.look(source)
        except OrchestratorError as error:
            self._tell_unreachable(error, was_well=was_well)
            return
        self.looked_at = self._clock.now()
        if not was_well:
            self._bus.publish(EventName.GITOPS_REACHED)
        if source is not self.book.source or (ref.sha == self.book.record.seen and self._has_head):
            return
        try:
            commit, tree = await self.remote.fetch(source, ref)
        except OrchestratorError as error:
            if isinstance(error, GitUnreachable | GitFailed | GitTimedOut) or is_passing(error):
                self.remote.failed(source, error)
                self._tell_unreachable(error, was_well=was_well)
            else:
                self._refuse(source, ref.sha, error)
            return
        if source is not self.book.source:
            return  # another repository is followed by now
        _tell_left_out(tree)
        self._take(ref.sha, commit)

    @property
    def _has_head(self) -> bool:
        """Whether the files of the newest commit are here: a restored state comes without them."""
        head = self.book.record.head
        return head is None or self.remote.trees.find(head.sha) is not None

    def _take(self, seen: str, commit: Commit) -> None:
        """A new head; what was gone back to is over with it."""
        record = self.book.record
        moved = record.head is None or record.head.sha != commit.sha
        self.book.put(seen=seen, head=commit, refused="", **({"wanted": commit} if moved else {}))
        if moved:
            self.runner.clear_away()  # also while no sync ends well, each commit brings files

    def _refuse(self, source: GitSource, seen: str, error: OrchestratorError) -> None:
        """What the remote has now is unfit; what was made of it before stays."""
        words = str(error)
        commit = Commit(sha=seen, author="", at=0.0, subject="")
        entry = Entry(
            commit=commit,
            at=self._clock.now(),
            who=AUTO,
            why="",
            outcome=Outcome.REFUSED,
            reason=words,
        )
        self.book.write(self.book.record.with_entry(entry, source.history))
        failures = self.book.record.failures_total + 1
        self.book.put(seen=seen, refused=words, failures_total=failures)
        data: dict[str, JsonValue] = {"revision": seen, "reason": words}
        self._bus.publish(EventName.GITOPS_REFUSED, data=data)

    def _tell_unreachable(self, error: OrchestratorError, *, was_well: bool) -> None:
        if was_well:
            data: dict[str, JsonValue] = {"code": error.code, "reason": str(error)}
            self._bus.publish(EventName.GITOPS_UNREACHABLE, data=data)

    # -- doing ----------------------------------------------------------------------------------

    async def _do(self, source: GitSource, decision: Decision) -> float:
        record = self.book.record
        if decision.move is Move.GO_ON and record.run is not None:
            return await self.runner.step(source, record.run)
        if decision.move is Move.SYNC and record.wanted is not None:
            asked = record.asked or Asked(who=AUTO, why="")
            self.runner.begin(record.wanted, who=asked.who, why=asked.why, prune=asked.prune)
            return 0.0
        if decision.move is Move.HEAL:
            await self._heal(source)
            return 0.0
        if decision.until is None:
            return REST_SECONDS
        return max(0.0, decision.until - self._clock.now())

    async def _heal(self, source: GitSource) -> None:
        """Set back what somebody changed by hand, to what git last made."""
        view, record = self.view(source), self.book.record
        try:
            chosen = {name: record.applied[name] for name in view.drifted}
            good, bad = await as_applied(chosen, self.remote.trees, source, self._manager)
            note = Note(who=AUTO, why="git: set back what was changed by hand")
            if good:
                await self._manager.change(
                    [*good.values()], (), note, still=lambda: self.book.is_open
                )
        except OrchestratorError as error:
            self._healed_not(view, {" ".join(view.drifted): error})
            return
        if bad:
            self._healed_not(view, bad)
        else:
            self.book.put(heal=None)
        if good:
            # What it comes to now is what git says: an image's tag may have been moved since.
            now = {
                name: replace(record.applied[name], fingerprint=fingerprint(one.inputs))
                for name, one in good.items()
            }
            record = self.book.record
            heals = record.heals_total + len(good)
            self.book.put(applied={**record.applied, **now}, heals_total=heals)
            names: list[JsonValue] = [*sorted(good)]
            why = "something else was wanted than git says"
            self._bus.publish(EventName.GITOPS_HEALED, data={"plugins": names, "why": why})

    def _healed_not(self, view: View, errors: Mapping[str, OrchestratorError]) -> None:
        words = "; ".join(f"{name}: {error}" for name, error in errors.items())
        again = failed_again(
            self.book.record.heal, drift_key(view), at=self._clock.now(), words=words, passing=True
        )
        self.book.put(heal=again)

    # -------------------------------------------------------------------------------------------

    @property
    def _stumbling(self) -> float:
        return self._again_at - self._clock.monotonic()

    def _stumble(self, error: OrchestratorError) -> float:
        """A step could not be done, through nothing of the revision's own: it is done later."""
        self._stumbles += 1
        _LOG.warning("git: %s", error)
        pause = pause_after(self._stumbles, first=1.0, most=60.0)
        self._again_at = self._clock.monotonic() + pause
        return pause

    def _hear(self, event: PluginEvent) -> None:
        if event.type.startswith(_HEARD):
            self.wake()


def _tell_left_out(tree: GitTree) -> None:
    parts = (("submodules", tree.submodules), ("links to nothing", tree.lost_links))
    for what, names in parts:
        if names:
            _LOG.warning("git %s: %s are left out: %s", short(tree.sha), what, ", ".join(names))
