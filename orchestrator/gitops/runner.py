"""Runner: carries a sync out, one step at a time; each is on disk before what follows from it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from pydantic import JsonValue

from orchestrator.clock import Clock
from orchestrator.errors import OrchestratorError
from orchestrator.gitops.book import Book
from orchestrator.gitops.endings import Endings
from orchestrator.gitops.hooks import GitHookFailed, Hooks
from orchestrator.gitops.prepared import Prepared, as_applied, prepare
from orchestrator.gitops.reading import fingerprint, is_passing, short
from orchestrator.gitops.repository import Commit
from orchestrator.gitops.seen import Seen
from orchestrator.gitops.state import MAX_WORDS, Applied, Run, Trouble
from orchestrator.gitops.steps import Next, Step, next_step
from orchestrator.gitops.tree import GitTrees
from orchestrator.manager.deployment import Deployment
from orchestrator.manager.manager import PluginManager
from orchestrator.manager.revisions import Note
from orchestrator.model.events import EventName
from orchestrator.model.git import GitSource, Prune, SyncHook

WAIT_SECONDS: Final = 1.0
"""Longest wait for news of a wave; mostly an event comes before."""

_Action = Callable[[GitSource, Prepared, Run], Awaitable[None]]


class Runner:
    """One per daemon; used by one task."""

    def __init__(
        self,
        *,
        book: Book,
        manager: PluginManager,
        trees: GitTrees,
        hooks: Hooks,
        seen: Seen,
        endings: Endings,
        clock: Clock,
    ) -> None:
        self._book = book
        self._manager = manager
        self._trees = trees
        self._hooks = hooks
        self._seen = seen
        self._endings = endings
        self._clock = clock
        self._actions: Mapping[Step, _Action] = {
            Step.CALL_PRE: self._call_pre,
            Step.SUBMIT: self._submit,
            Step.PRUNE: self._prune,
            Step.CALL_POST: self._call_post,
        }
        self.prepared: Prepared | None = None
        """Of the run under way, or of the last one."""

    def begin(self, commit: Commit, *, who: str, why: str, prune: bool) -> None:
        """A sync of that commit is under way from now on.

        What one that it overtakes has changed goes back with it, if it must go back.
        """
        record, now = self._book.record, self._clock.now()
        before = record.run.before if record.run is not None else {}
        run = Run(commit=commit, who=who, why=why, began_at=now, prune=prune, before=before)
        quarantine = {sha: text for sha, text in record.quarantine.items() if sha != commit.sha}
        attempt = None if record.attempt is not None and record.attempt.is_new else record.attempt
        self._book.put(run=run, asked=None, attempt=attempt, quarantine=quarantine)
        self.prepared = None
        self._endings.tell(EventName.GITOPS_STARTED, commit, {"who": who, "why": why})

    async def step(self, source: GitSource, run: Run) -> float:
        """The next step of the run; seconds until the one after.

        Raises what may pass by itself: EngineUnavailable, StoreUnavailable, GitTimedOut.
        """
        if run.failure:
            await self._revert(source, run)
            return 0.0
        resumed = self.prepared is None and run.submitted
        try:
            prepared = await self._ready(source, run)
        except OrchestratorError as error:
            if is_passing(error):
                raise
            if run.before:
                self._book.put(run=replace(run, failure=str(error)))
            else:
                self._endings.refuse(source, run, str(error))
            return 0.0
        run = self._resumed(run) if resumed else run
        applied = self._book.record.applied
        conditions = {name: self._seen.condition(name, applied.get(name)) for name in run.before}
        following = next_step(run, prepared.course, conditions, self._clock.monotonic())
        if following.step is Step.WAIT:
            return WAIT_SECONDS
        if following.step in self._actions:
            await self._actions[following.step](source, prepared, run)
        else:
            self._move(source, prepared, run, following)
        return 0.0

    def _resumed(self, run: Run) -> Run:
        """A wave has its time again: while no daemon was there, nothing could become well."""
        resumed = replace(run, since=self._clock.monotonic())
        self._book.put(run=resumed)
        return resumed

    def _move(self, source: GitSource, prepared: Prepared, run: Run, following: Next) -> None:
        """Steps that do nothing but turn a page."""
        if following.step is Step.NEXT_WAVE:
            self._book.put(run=replace(run, wave=run.wave + 1, submitted=False))
        elif following.step is Step.FAIL:
            self._book.put(run=replace(run, failure=following.words))
        else:
            self._endings.finish(source, prepared, run)

    # -- steps ----------------------------------------------------------------------------------

    async def _ready(self, source: GitSource, run: Run) -> Prepared:
        known = self.prepared
        if known is None or known.commit.sha != run.commit.sha:
            known = self.prepared = await prepare(run.commit, self._trees, source, self._manager)
        return known

    async def _call_pre(self, source: GitSource, prepared: Prepared, run: Run) -> None:
        """One that fails holds the revision up, and nothing was changed: it is tried again."""
        hook = source.sync.pre_sync[run.pre_done]
        try:
            # Before the first sync of all, the plugins that would be called are not there yet.
            if self._book.record.synced is not None:
                await self._call(hook, run, f"pre-{run.pre_done}")
        except GitHookFailed as error:
            self._endings.postpone(run, str(error))
        else:
            self._book.put(run=replace(run, pre_done=run.pre_done + 1))

    async def _call_post(self, source: GitSource, prepared: Prepared, run: Run) -> None:
        """One that fails says that the revision does not work."""
        hook = source.sync.post_sync[run.post_done]
        try:
            await self._call(hook, run, f"post-{run.post_done}")
        except GitHookFailed as error:
            self._book.put(run=replace(run, failure=str(error)))
        else:
            self._book.put(run=replace(run, post_done=run.post_done + 1))

    async def _call(self, hook: SyncHook, run: Run, phase: str) -> None:
        synced = self._book.record.synced
        words = {"$revision": run.commit.sha, "$previous": synced.sha if synced else ""}
        request_id = f"gitops-{short(run.commit.sha)}-{int(run.began_at)}-{phase}"
        await self._hooks.call(hook, request_id=request_id, words=words)

    async def _submit(self, source: GitSource, prepared: Prepared, run: Run) -> None:
        """Make a wave wanted. What was before is on disk first, so that it can go back."""
        record = self._book.record
        wave = prepared.course.waves[run.wave]
        prints = {name: fingerprint(prepared.deployments[name].inputs) for name in wave}
        changed = [name for name in wave if self._seen.wanted(name) != prints[name]]
        before = {name: record.applied.get(name) for name in changed if name not in run.before}
        run = replace(run, before={**run.before, **before})
        self._book.put(run=run)
        refused = await self._change([prepared.deployments[name] for name in wave], run)
        applied = {
            name: Applied(
                sha=run.commit.sha,
                file=prepared.files[name],
                fingerprint=prints[name],
                wave=prepared.wave_of(name),
            )
            for name in wave
            if name not in refused
        }
        troubles = [self._trouble(prepared.files[name], name, e) for name, e in refused.items()]
        self._book.put(
            applied={**self._book.record.applied, **applied},
            run=replace(
                run,
                before={name: was for name, was in run.before.items() if name not in refused},
                submitted=True,
                since=self._clock.monotonic(),
                troubles=(*run.troubles, *troubles),
            ),
        )

    async def _change(
        self, deployments: Sequence[Deployment], run: Run
    ) -> dict[str, OrchestratorError]:
        """All at once; if that is refused, each by itself, so that one holds no other up."""
        note, names = _note(run), [deployment.plugin_id for deployment in deployments]
        once = {name: one for name in names if (one := self._book.once(name)) is not None}
        try:
            await self._manager.change(deployments, (), note, still=self._followed, once=once)
        except OrchestratorError as error:
            if is_passing(error):
                raise
            if len(deployments) == 1:
                return {deployments[0].plugin_id: error}
        else:
            return {}
        refused: dict[str, OrchestratorError] = {}
        for deployment in deployments:
            refused |= await self._change([deployment], run)
        return refused

    async def _prune(self, source: GitSource, prepared: Prepared, run: Run) -> None:
        """Take away what is gone, if that may be; never on the word of a half-readable commit."""
        applied = self._book.record.applied
        gone = prepared.gone(applied)
        new = {name for name, was in run.before.items() if was is None}
        everything = {*gone} == applied.keys() - new
        guarded = {*gone} if everything else {*gone} & {*self._book.record.guarded}
        auto = source.sync.prune is Prune.AUTO
        may = tuple(name for name in gone if run.prune or (auto and name not in guarded))
        removed: tuple[str, ...] = ()
        troubles: list[Trouble] = []
        if may and not prepared.troubles:
            try:
                self._book.remember_once(self._seen.inputs(may))
                await self._manager.change((), may, _note(run), still=self._followed)
                removed = may
            except OrchestratorError as error:
                if is_passing(error):
                    raise
                troubles = [self._trouble(applied[may[0]].file, may[0], error)]
        self._book.put(
            applied={name: one for name, one in applied.items() if name not in removed},
            gone=tuple(name for name in gone if name not in removed),
            guarded=tuple(sorted(guarded - {*removed})),
            run=replace(run, pruned=True, removed=removed, troubles=(*run.troubles, *troubles)),
        )

    async def _revert(self, source: GitSource, run: Run) -> None:
        """What the run changed goes back to what git said before; what it made new stays."""
        before = {name: was for name, was in run.before.items() if was is not None}
        good, bad = await as_applied(before, self._trees, source, self._manager)
        why = f"git: back from {short(run.commit.sha)}: {run.failure}"
        back = replace(run, who="orchestrator", why=why)
        bad |= await self._change([*good.values()], back) if good else {}
        words = "; ".join(
            [run.failure, *(f"{name} did not go back: {e}" for name, e in bad.items())]
        )
        applied = {**self._book.record.applied, **{n: before[n] for n in before if n not in bad}}
        self._endings.fail(source, run, words, applied)
        if good:
            names: list[JsonValue] = [*sorted(good.keys() - bad.keys())]
            data: dict[str, JsonValue] = {"plugins": names, "reason": words}
            self._endings.tell(EventName.GITOPS_ROLLED_BACK, run.commit, data)

    def clear_away(self) -> None:
        """Remove the files of commits that nothing refers to any more."""
        self._endings.clear_away()

    def _followed(self) -> bool:
        """Not once `down` took everything away while a step was waiting for its turn."""
        return self._book.is_open

    def _trouble(self, file: str, name: str, error: OrchestratorError) -> Trouble:
        words = str(error).replace(f"{self._trees.folder}/", "commit ")
        return Trouble(file=file, plugin_id=name, words=f"{name} ({file}): {words}"[:MAX_WORDS])


def _note(run: Run) -> Note:
    commit = run.commit
    why = run.why or f"git {short(commit.sha)} of {commit.author}: {commit.subject}"
    return Note(who=run.who, why=why)
