"""GitOpsCommands: what operators say to the following of a repository; audited, with reasons."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pydantic import JsonValue

from orchestrator.clock import Clock
from orchestrator.errors import Kind, OrchestratorError
from orchestrator.events.bus import PluginEventBus
from orchestrator.gitops.address import check_path, check_ref, check_url
from orchestrator.gitops.difference import difference
from orchestrator.gitops.prepared import prepare
from orchestrator.gitops.reading import short
from orchestrator.gitops.report import gitops_status
from orchestrator.gitops.repository import Commit
from orchestrator.gitops.state import Asked, Entry, Outcome, Suspension, SyncRecord, told_anew
from orchestrator.gitops.sync import GitOps
from orchestrator.manager.auditing import Clerk
from orchestrator.manager.manager import OPERATOR, PluginManager
from orchestrator.manager.monitored import store_monitoring
from orchestrator.manager.revisions import Note
from orchestrator.model.events import EventName
from orchestrator.model.git import GitSource
from orchestrator.model.gitops import GitOpsStatus
from orchestrator.model.load import load_instance_config
from orchestrator.model.policy import InstanceConfig

_GOOD = frozenset({Outcome.SYNCED, Outcome.PARTLY})


class GitOpsNotConfigured(OrchestratorError):
    """No repository is followed."""

    kind, code = Kind.CONFLICT, "gitops_not_configured"


class GitOpsSuspended(OrchestratorError):
    """Nothing is taken up while it is suspended."""

    kind, code = Kind.CONFLICT, "gitops_suspended"


class GitRevisionNotFound(OrchestratorError):
    """No such revision in the history, or none that could be meant."""

    kind, code = Kind.NOT_FOUND, "git_revision_not_found"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Who says it, and why."""

    who: str = OPERATOR
    why: str = ""


class GitOpsCommands:
    """Each changes the book and wakes the one who follows it."""

    def __init__(
        self,
        *,
        gitops: GitOps,
        manager: PluginManager,
        bus: PluginEventBus,
        clerk: Clerk,
        clock: Clock,
        webhook_port: Callable[[], int] = lambda: 0,
    ) -> None:
        self._webhook_port = webhook_port
        self._gitops = gitops
        self._manager = manager
        self._bus = bus
        self._clerk = clerk
        self._clock = clock

    async def follow(
        self,
        wish: Wish,
        config: Path | None,
        over: Mapping[str, str],
        *,
        monitoring: bool | None = None,
    ) -> GitSource:
        """Follow a repository from now on, under the policy of `config`.

        `over` is laid over its `git`. Raises InvalidFile, GitUrlRefused and its kin,
        GitOpsNotConfigured (neither says where), and what `up` raises.
        """
        words = "up --git" + (f" {over['url']}" if "url" in over else "")
        try:
            source = await self._follow(wish, config, over)
            self._monitor(config, by_command=monitoring)
        except OrchestratorError as error:
            self._clerk.refusal(words, error, who=wish.who, why=wish.why)
            raise
        data: dict[str, JsonValue] = {"url": source.url, "ref": source.ref, "path": source.path}
        self._clerk.command(words, data, who=wish.who, why=wish.why)
        return source

    def status(self) -> GitOpsStatus | None:
        """How it stands; None while no repository is followed."""
        return gitops_status(self._gitops, self._manager, webhook_port=self._webhook_port())

    def forget(self) -> None:
        """Follow nothing any more; what is wanted stays wanted. Raises StoreUnavailable."""
        if self._gitops.book.source is not None:
            self._gitops.book.close()
            self._gitops.remote.forget()

    def sync(self, wish: Wish, *, prune: bool) -> dict[str, JsonValue]:
        """Look at the remote, and take up what it has, whatever was before.

        Raises GitOpsNotConfigured, GitOpsSuspended.
        """
        record = self._followed("sync", wish)
        if record.suspended is not None:
            raise self._refused(
                "sync",
                wish,
                GitOpsSuspended("found gitops suspended, expected `orchestrator gitops resume`"),
            )
        asked = Asked(who=wish.who, why=wish.why, prune=prune)
        self._gitops.book.put(asked=asked, seen="", wanted=record.head)
        self._gitops.hurry()
        answer: dict[str, JsonValue] = {"prune": prune, "syncs": record.syncs_total}
        self._done("sync", wish, answer)
        return answer

    def rollback(self, wish: Wish, to: str) -> dict[str, JsonValue]:
        """Take up an earlier revision, and leave the newest alone until there is a newer one.

        Raises GitOpsNotConfigured, GitRevisionNotFound, GitOpsSuspended.
        """
        record = self._followed("rollback", wish)
        if record.suspended is not None:
            error = GitOpsSuspended("found gitops suspended, expected `orchestrator gitops resume`")
            raise self._refused("rollback", wish, error)
        target = rollback_target(record, to)
        if target is None:
            known = ", ".join(short(e.commit.sha) for e in record.history if e.outcome in _GOOD)
            found = f"revision {to!r}" if to else "no earlier revision"
            words = f"found {found}, expected the beginning of one of: {known or 'none'}"
            raise self._refused("rollback", wish, GitRevisionNotFound(words))
        why = f": {wish.why}" if wish.why else ""
        words = f"rolled back by {wish.who} to {short(target.sha)}{why}"
        for commit in (record.head, record.wanted):
            if commit is not None and commit.sha != target.sha:
                record = record.with_quarantined(commit.sha, words)
        asked = Asked(who=wish.who, why=words)
        self._gitops.book.write(replace(record, wanted=target, asked=asked))
        self._gitops.wake()
        answer: dict[str, JsonValue] = {"to": target.sha, "subject": target.subject}
        self._done("rollback", wish, answer)
        return answer

    def suspend(self, wish: Wish) -> dict[str, JsonValue]:
        """From now on nothing is taken up and nothing set back. Raises GitOpsNotConfigured."""
        record = self._followed("suspend", wish)
        changed = record.suspended is None
        if changed:
            held = Suspension(who=wish.who, why=wish.why, at=self._clock.now())
            self._gitops.book.put(suspended=held)
            self._tell(EventName.GITOPS_SUSPENDED, wish)
        answer: dict[str, JsonValue] = {"changed": changed}
        self._done("suspend", wish, answer)
        return answer

    def resume(self, wish: Wish) -> dict[str, JsonValue]:
        """Go on where it was. Raises GitOpsNotConfigured."""
        record = self._followed("resume", wish)
        changed = record.suspended is not None
        if changed:
            self._gitops.book.put(suspended=None)
            self._gitops.hurry()
            self._tell(EventName.GITOPS_RESUMED, wish)
        answer: dict[str, JsonValue] = {"changed": changed}
        self._done("resume", wish, answer)
        return answer

    def history(self) -> list[dict[str, JsonValue]]:
        """Every revision that is remembered, the oldest first."""
        return [_row(entry) for entry in self._gitops.book.record.history]

    async def diff(self) -> list[dict[str, JsonValue]]:
        """Git, what is wanted and what runs, field by field.

        Raises GitOpsNotConfigured, GitRevisionEmpty, EngineUnavailable and their kin.
        """
        source, record = self._gitops.book.source, self._gitops.book.record
        if source is None or record.head is None:
            raise GitOpsNotConfigured("found no revision, expected a repository that was looked at")
        trees = self._gitops.remote.trees
        prepared = await prepare(record.head, trees, source, self._manager)
        rows = difference(prepared, self._manager, frozenset(record.applied))
        return [asdict(row) for row in rows]

    # -------------------------------------------------------------------------------------------

    async def _follow(self, wish: Wish, config: Path | None, over: Mapping[str, str]) -> GitSource:
        loaded = load_instance_config(config) if config is not None else None
        base = loaded.git if loaded is not None else None
        if base is None and "url" not in over:
            raise GitOpsNotConfigured(
                f"{config or 'orchestrator.yaml'}: found no `git`, expected it, or `up --git URL`"
            )
        fields = base.model_dump(mode="json") if base is not None else {}
        source = GitSource.model_validate({**fields, **over}, strict=False)
        check_url(source.url)
        check_ref(source.ref)
        check_path(source.path)
        if loaded is not None:
            note = Note(who=wish.who, why="up --git")
            await self._manager.change((), (), note, policy=loaded.policy)
        book, before = self._gitops.book, self._gitops.book.source
        if book.follow(source):
            self._gitops.remote.forget()
        # What was given up for a reason of this machine's may go better under another policy.
        synced = book.record.synced
        changed = before != source or bool(book.record.troubles)
        book.put(seen="", attempt=told_anew(synced.sha) if synced and changed else None)
        self._gitops.hurry()
        return source

    def _monitor(self, config: Path | None, *, by_command: bool | None) -> None:
        """What the file and the command say of monitoring, as after any `up`."""
        told = load_instance_config(config) if config is not None else InstanceConfig()
        fleet = self._manager.fleet
        fleet.monitoring = store_monitoring(fleet.store, told.monitoring, by_command=by_command)

    def _followed(self, verb: str, wish: Wish) -> SyncRecord:
        if self._gitops.book.source is None:
            raise self._refused(
                verb,
                wish,
                GitOpsNotConfigured("found no repository, expected `orchestrator up --git URL`"),
            )
        return self._gitops.book.record

    def _tell(self, name: EventName, wish: Wish) -> None:
        self._bus.publish(name, data={"who": wish.who, "why": wish.why})
        self._gitops.wake()

    def _done(self, verb: str, wish: Wish, answer: Mapping[str, JsonValue]) -> None:
        self._clerk.command(f"gitops {verb}", answer, who=wish.who, why=wish.why)

    def _refused(self, verb: str, wish: Wish, error: OrchestratorError) -> OrchestratorError:
        self._clerk.refusal(f"gitops {verb}", error, who=wish.who, why=wish.why)
        return error


def rollback_target(record: SyncRecord, to: str) -> Commit | None:
    """The revision meant by `to`, the beginning of a commit's id; empty: the last good one before.

    None if there is none, or more than one. Pure.
    """
    good = [entry.commit for entry in record.history if entry.outcome in _GOOD]
    runs = record.synced.sha if record.synced is not None else ""
    if not to:
        return next((commit for commit in reversed(good) if commit.sha != runs), None)
    found = {commit.sha: commit for commit in good if commit.sha.startswith(to)}
    return next(iter(found.values())) if len(found) == 1 else None


def _row(entry: Entry) -> dict[str, JsonValue]:
    commit = entry.commit
    return {
        "revision": commit.sha,
        "author": commit.author,
        "committed_at": commit.at,
        "subject": commit.subject,
        "at": entry.at,
        "who": entry.who,
        "why": entry.why,
        "outcome": entry.outcome,
        "reason": entry.reason,
        "added": [*entry.added],
        "changed": [*entry.changed],
        "removed": [*entry.removed],
    }
