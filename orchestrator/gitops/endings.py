"""Endings: how a sync ends: what is written down of it, who is told, what may be cleared away."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import JsonValue

from orchestrator.clock import Clock
from orchestrator.events.bus import PluginEventBus
from orchestrator.gitops.book import Book
from orchestrator.gitops.prepared import Prepared
from orchestrator.gitops.repository import Commit
from orchestrator.gitops.state import MAX_WORDS, Applied, Entry, Outcome, Run, failed_again
from orchestrator.gitops.tree import GitTrees
from orchestrator.manager.deployment import Inputs
from orchestrator.manager.manager import PluginManager
from orchestrator.manager.revisions import Revision
from orchestrator.model.events import EventName
from orchestrator.model.git import GitSource


class Endings:
    """One per daemon."""

    def __init__(
        self,
        *,
        book: Book,
        manager: PluginManager,
        trees: GitTrees,
        bus: PluginEventBus,
        clock: Clock,
    ) -> None:
        self._book = book
        self._manager = manager
        self._trees = trees
        self._bus = bus
        self._clock = clock

    def finish(self, source: GitSource, prepared: Prepared, run: Run) -> None:
        record, now = self._book.record, self._clock.now()
        troubles, before = (*prepared.troubles, *run.troubles), frozenset(record.troubles)
        words = _together([trouble.words for trouble in troubles])
        # Settings that changed meanwhile are for another sync.
        attempt = record.attempt if record.attempt is not None and record.attempt.is_new else None
        if prepared.passing:
            sha = run.commit.sha
            attempt = failed_again(record.attempt, sha, at=now, words=words, passing=True)
        outcome = Outcome.PARTLY if troubles else Outcome.SYNCED
        entry = _entry(run, now, outcome, words)
        record = record if _is_repeated(record.history, entry) else record.with_entry(
            entry, source.history
        )  # fmt: skip
        self._book.write(
            replace(
                record,
                run=None,
                synced=run.commit,
                synced_at=now,
                troubles=troubles,
                failing="",
                attempt=attempt,
                syncs_total=record.syncs_total + 1,
                failures_total=record.failures_total + bool(troubles),
            )
        )
        self.clear_away()
        data: dict[str, JsonValue] = {"outcome": outcome, "who": run.who, "why": run.why}
        data |= {"added": [*entry.added], "changed": [*entry.changed], "removed": [*entry.removed]}
        data["troubles"] = [trouble.words for trouble in troubles]
        new = [it for it in troubles if it.denied and it.plugin_id and it not in before]
        data["refused_by_policy"] = {it.plugin_id: it.words for it in new}
        self.tell(EventName.GITOPS_SYNCED, run.commit, data)

    def refuse(self, source: GitSource, run: Run, words: str) -> None:
        """It could not even be begun, and is not tried again by itself; nothing was changed."""
        applied = self._book.record.applied
        self._give_up(source, run, Outcome.REFUSED, words, applied)
        self.tell(EventName.GITOPS_REFUSED, run.commit, {"reason": words, "who": run.who})

    def fail(self, source: GitSource, run: Run, words: str, applied: Mapping[str, Applied]) -> None:
        """It did not work, and is not tried again by itself; what it changed has gone back."""
        self._give_up(source, run, Outcome.FAILED, words, applied)
        self.tell(EventName.GITOPS_FAILED, run.commit, {"reason": words, "who": run.who})

    def _give_up(
        self,
        source: GitSource,
        run: Run,
        outcome: Outcome,
        words: str,
        applied: Mapping[str, Applied],
    ) -> None:
        now = self._clock.now()
        record = self._book.record.with_quarantined(run.commit.sha, words)
        record = record.with_entry(_entry(run, now, outcome, words), source.history)
        failures = record.failures_total + 1
        self._book.write(
            replace(
                record,
                run=None,
                applied=applied,
                failing=words[:MAX_WORDS],
                failures_total=failures,
            )
        )

    def postpone(self, run: Run, words: str) -> None:
        """Nothing was changed, and it may go better later."""
        record, sha = self._book.record, run.commit.sha
        again = failed_again(record.attempt, sha, at=self._clock.now(), words=words, passing=True)
        failures = record.failures_total + 1
        self._book.put(run=None, attempt=again, failing=words, failures_total=failures)
        self.tell(EventName.GITOPS_FAILED, run.commit, {"reason": words, "who": run.who})

    def tell(self, name: EventName, commit: Commit, data: Mapping[str, JsonValue]) -> None:
        about: dict[str, JsonValue] = {"revision": commit.sha, "author": commit.author}
        self._bus.publish(name, data={**about, "subject": commit.subject, **data})

    def clear_away(self, *, spare: bool = True) -> None:
        """Remove the files of commits that nothing uses: git holds those that can be gone back to.

        Those of revisions that `rollout undo` can go back to stay while there is room, and `spare`.
        """
        record, manager = self._book.record, self._manager
        commits = [record.head, record.wanted]
        applied = [*record.applied.values()]
        if record.run is not None:
            commits.append(record.run.commit)
            applied += [was for was in record.run.before.values() if was is not None]
        shas = {commit.sha for commit in commits if commit is not None}
        shas |= {one.sha for one in applied}
        inputs = [held.inputs for held in manager.fleet.held.values()]
        earlier: list[Revision] = []
        for name, deployment in manager.fleet.deployments.items():
            rollout = manager.rollouts.of(name)
            # The last one that was well may serve still, or again.
            used = [rollout.wanted, rollout.effective, *rollout.healthy[:1]]
            inputs += [deployment.inputs, *(revision.inputs for revision in used)]
            earlier += rollout.healthy
        shas |= {sha for each in inputs for sha in self._trees_of(each)}
        newest = sorted(earlier, key=lambda revision: -revision.at) if spare else []
        self._trees.keep(shas, [sha for each in newest for sha in self._trees_of(each.inputs)])

    def _trees_of(self, inputs: Inputs) -> list[str]:
        paths = [inputs.origin, inputs.build_folder, *inputs.secret_files.values()]
        paths += inputs.credential_files.values()
        root = self._trees.folder
        below = [Path(path) for path in paths if path and Path(path).is_relative_to(root)]
        return [path.relative_to(root).parts[0] for path in below if path != root]


def _together(words: Sequence[str]) -> str:
    """In one line, unless one of them needs several."""
    return ("\n" if any("\n" in one for one in words) else "; ").join(words)


def _entry(run: Run, now: float, outcome: Outcome, words: str) -> Entry:
    names = sorted(run.before)
    return Entry(
        commit=run.commit,
        at=now,
        who=run.who,
        why=run.why,
        outcome=outcome,
        reason=words[:MAX_WORDS],
        added=tuple(name for name in names if run.before[name] is None),
        changed=tuple(name for name in names if run.before[name] is not None),
        removed=run.removed,
    )


def _is_repeated(history: Sequence[Entry], entry: Entry) -> bool:
    """Whether it says nothing new: the same commit again, and nothing changed."""
    if not history or entry.added or entry.changed or entry.removed:
        return False
    last = history[-1]
    return (last.commit.sha, last.outcome, last.reason) == (
        entry.commit.sha,
        entry.outcome,
        entry.reason,
    )
