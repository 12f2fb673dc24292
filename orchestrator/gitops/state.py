"""SyncRecord: what must not be forgotten of the syncs, in one record; and what each part means."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from pydantic import TypeAdapter, ValidationError

from orchestrator.gitops.repository import Commit
from orchestrator.store.base import Record, RecordStore

GITOPS: Final = "gitops"
_STATE: Final = "state"
MAX_QUARANTINED: Final = 50
MAX_WORDS: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """A plugin as git last made it wanted."""

    sha: str
    """The commit in whose tree its manifest lies."""
    file: str
    """Below the repository's root."""
    fingerprint: str
    """Of all that it was decided from: another one is somebody's change by hand."""
    wave: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What of a revision could not be made so; the plugin stays as it was."""

    file: str
    plugin_id: str
    """Empty if not even that can be read."""
    words: str
    """Names the commit, and where it can the file and the line."""
    denied: bool = False
    """Policy does not allow it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A sync under way. A daemon that is killed goes on with it where it was."""

    commit: Commit
    who: str
    why: str
    began_at: float
    prune: bool = False
    """Somebody confirmed that what is gone may go."""
    pre_done: int = 0
    post_done: int = 0
    wave: int = 0
    submitted: bool = False
    """Whether the plugins of `wave` are wanted already."""
    since: float = 0.0
    """When the wave was submitted, by the monotonic clock of the daemon that did it: the clock on
    the wall may be set meanwhile. Another daemon gives it its time again."""
    pruned: bool = False
    before: Mapping[str, Applied | None] = field(default_factory=dict)
    """Each plugin that this run changed, as it was."""
    removed: tuple[str, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    failure: str = ""
    """Why the revision is given up; then what it changed goes back."""
    passing: bool = False
    """Whether some of the troubles may pass by themselves: it is tried again."""


class Outcome(StrEnum):
    """What became of a revision."""

    SYNCED = "synced"
    PARTLY = "partly"
    """Some of its files could not be made so."""
    FAILED = "failed"
    """It did not work, and what it changed went back."""
    REFUSED = "refused"
    """It may not be taken up at all: not signed, hostile, empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the history."""

    commit: Commit
    at: float
    who: str
    why: str
    outcome: Outcome
    reason: str = ""
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """The tries of one revision, or of one repair; another one begins anew."""

    of: str
    tries: int
    at: float
    """When the last one failed."""
    words: str
    passing: bool
    """Whether it may help to try again though nothing changed."""

    @property
    def is_new(self) -> bool:
        """Whether it is still to be tried, under settings that changed."""
        return self.tries == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspension:
    who: str
    why: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An operator's wish for a sync."""

    who: str
    why: str
    prune: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRecord:
    """All of it."""

    seen: str = ""
    """The id that the remote's ref had when it was last looked at; a tag's is not a commit's."""
    head: Commit | None = None
    wanted: Commit | None = None
    """What is to be: head, or what was gone back to."""
    synced: Commit | None = None
    synced_at: float = 0.0
    applied: Mapping[str, Applied] = field(default_factory=dict)
    troubles: tuple[Trouble, ...] = ()
    """Of the last sync."""
    failing: str = ""
    """What came of the hooks, or of a failure, that the whole must tell."""
    run: Run | None = None
    attempt: Attempt | None = None
    heal: Attempt | None = None
    quarantine: Mapping[str, str] = field(default_factory=dict)
    """Commit → why it is not taken up again by itself."""
    suspended: Suspension | None = None
    asked: Asked | None = None
    gone: tuple[str, ...] = ()
    """Plugins that the synced revision no longer has, and that are still there."""
    guarded: tuple[str, ...] = ()
    """Those of them that went all at once: they stay until somebody confirms it."""
    refused: str = ""
    """Why what the remote has now is not even looked at."""
    history: tuple[Entry, ...] = ()
    syncs_total: int = 0
    failures_total: int = 0
    heals_total: int = 0

    def with_quarantined(self, sha: str, why: str) -> "SyncRecord":
        """The oldest are forgotten: a commit that old comes back by somebody's will only."""
        kept = {**{k: v for k, v in self.quarantine.items() if k != sha}, sha: why[:MAX_WORDS]}
        return replace(self, quarantine=dict([*kept.items()][-MAX_QUARANTINED:]))

    def not_after(self, now: float) -> "SyncRecord":
        """After the clock was set back, tries lie in the future: their pauses begin at `now`."""
        attempt, heal = _not_after(self.attempt, now), _not_after(self.heal, now)
        if attempt is self.attempt and heal is self.heal:
            return self
        return replace(self, attempt=attempt, heal=heal)

    def with_entry(self, entry: Entry, keep: int) -> "SyncRecord":
        return replace(self, history=(*self.history, entry)[-keep:])


def failed_again(
    before: Attempt | None, of: str, *, at: float, words: str, passing: bool
) -> Attempt:
    """One more try of `of` that failed; the first of another begins to count anew."""
    tries = before.tries + 1 if before is not None and before.of == of else 1
    return Attempt(of=of, tries=tries, at=at, words=words[:MAX_WORDS], passing=passing)


def _not_after(attempt: Attempt | None, now: float) -> Attempt | None:
    return replace(attempt, at=now) if attempt is not None and attempt.at > now else attempt


def told_anew(of: str) -> Attempt:
    """What is synced is gone through again: under other settings it may come to something else."""
    return Attempt(of=of, tries=0, at=0.0, words="the settings changed", passing=True)


_CODEC = TypeAdapter(SyncRecord)


def save(store: RecordStore, record: SyncRecord) -> None:
    """Raises StoreUnavailable."""
    value: Record = _CODEC.dump_python(record, mode="json")
    store.put_all(GITOPS, {_STATE: value})


def saved(store: RecordStore) -> SyncRecord:
    """As an earlier daemon left it. A record of another shape is none: git says all of it anew."""
    record = store.load(GITOPS).get(_STATE)
    if record is None:
        return SyncRecord()
    try:
        return _CODEC.validate_python(dict(record), strict=False)
    except ValidationError:
        return SyncRecord()
