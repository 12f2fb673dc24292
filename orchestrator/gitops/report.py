"""Report: how what is wanted stands to what git says, per plugin and for the whole."""

from collections.abc import Collection, Iterator
from typing import Final

from orchestrator.gitops.decide import Move
from orchestrator.gitops.reading import short
from orchestrator.gitops.state import Applied, SyncRecord
from orchestrator.gitops.sync import GitOps
from orchestrator.manager.manager import PluginManager
from orchestrator.manager.statuses import statuses
from orchestrator.model.git import GitSource, Prune
from orchestrator.model.gitops import GitOpsStatus, PluginSync, SyncState
from orchestrator.model.status import PluginState, PluginStatus, RolloutState

_WORST: Final = (
    SyncState.DEGRADED,
    SyncState.PROGRESSING,
    SyncState.OUT_OF_SYNC,
    SyncState.SYNCED,
)
_Finding = tuple[SyncState, str]


def gitops_status(
    gitops: GitOps, manager: PluginManager, *, webhook_port: int = 0
) -> GitOpsStatus | None:
    """None while no repository is followed."""
    source, record = gitops.book.source, gitops.book.record
    if source is None:
        return None
    rows = tuple(_rows(gitops, manager, record))
    findings = [*_findings(gitops, source, record), *_of_rows(rows)]
    if record.suspended is not None:
        state = SyncState.SUSPENDED
    else:
        state = min((s for s, _ in findings), key=_WORST.index, default=SyncState.SYNCED)
    return GitOpsStatus(
        state=state,
        reasons=tuple(words for _, words in findings),
        url=source.url,
        ref=source.ref,
        path=source.path,
        environment=source.environment or "",
        head=record.head.sha if record.head is not None else "",
        wanted=record.wanted.sha if record.wanted is not None else "",
        synced=record.synced.sha if record.synced is not None else "",
        synced_at=record.synced_at,
        looked_at=gitops.looked_at,
        syncs_total=record.syncs_total,
        failures_total=record.failures_total,
        heals_total=record.heals_total,
        plugins=rows,
        prune_waiting=record.gone if source.sync.prune is not Prune.NEVER else (),
        moving=_moves(gitops, source, record),
        webhook_port=webhook_port,
    )


def _moves(gitops: GitOps, source: GitSource, record: SyncRecord) -> bool:
    if record.suspended is not None:
        return False
    if not record.seen and not gitops.remote.trouble:
        return True
    return gitops.next_move(source) is not Move.REST


def _findings(gitops: GitOps, source: GitSource, record: SyncRecord) -> Iterator[_Finding]:
    """What is to be said of the whole."""
    if record.suspended is not None:
        why = f": {record.suspended.why}" if record.suspended.why else ""
        yield SyncState.SUSPENDED, f"suspended by {record.suspended.who}{why}"
    if gitops.remote.trouble:
        yield SyncState.DEGRADED, f"the remote: {gitops.remote.trouble}"
    if gitops.book.trouble:
        yield SyncState.DEGRADED, f"the state: {gitops.book.trouble}"
    if record.refused:
        yield SyncState.DEGRADED, record.refused
    if not record.seen and not gitops.remote.trouble:
        yield SyncState.PROGRESSING, "the repository is about to be looked at"
    if record.run is not None:
        yield SyncState.PROGRESSING, f"{short(record.run.commit.sha)} is being taken up"
    elif record.wanted is not None:
        yield from _waiting(gitops, source, record)
    yield from ((SyncState.DEGRADED, trouble.words) for trouble in record.troubles)


def _waiting(gitops: GitOps, source: GitSource, record: SyncRecord) -> Iterator[_Finding]:
    """Why what is wanted is not taken up, or was not; nothing if it was."""
    view = gitops.view(source)
    sha = short(view.wanted)
    if view.quarantined:
        words = record.quarantine[view.wanted]
        yield SyncState.DEGRADED, f"{sha} is not tried again until there is a new commit: {words}"
    elif record.head is not None and record.head.sha != view.wanted:
        words = record.quarantine.get(record.head.sha, "it was gone back from")
        yield SyncState.OUT_OF_SYNC, f"{short(record.head.sha)} is left alone: {words}"
    attempt = view.attempt if view.attempt is not None and view.attempt.of == view.wanted else None
    if attempt is not None and not attempt.is_new:
        yield SyncState.DEGRADED, f"{sha} is tried again: {attempt.words}"
    elif (view.wanted != view.synced or attempt is not None) and not view.quarantined:
        if not view.auto:
            yield SyncState.OUT_OF_SYNC, f"{sha} waits for `orchestrator gitops sync`"
        elif not view.window_open:
            yield SyncState.OUT_OF_SYNC, f"{sha} waits for the next sync window"
        else:
            yield SyncState.PROGRESSING, f"{sha} is about to be taken up"


def _of_rows(rows: tuple[PluginSync, ...]) -> Iterator[_Finding]:
    for row in rows:
        if row.state is not SyncState.SYNCED:
            yield row.state, f"{row.plugin_id}: {row.reason}"


def _rows(gitops: GitOps, manager: PluginManager, record: SyncRecord) -> Iterator[PluginSync]:
    known = {row.plugin_id: row for row in statuses(manager.fleet)}
    drifted = {*gitops.seen.drifted(record.applied)}
    bad = {trouble.plugin_id: trouble.words for trouble in record.troubles if trouble.plugin_id}
    by_file = {trouble.file: trouble.words for trouble in record.troubles}
    for name, applied in sorted(record.applied.items()):
        words = bad.get(name) or by_file.get(applied.file, "")
        state, reason = (
            (SyncState.DEGRADED, f"stays as it was: {words}")
            if words
            else _standing(gitops, name, applied, drifted=drifted, status=known.get(name))
        )
        yield PluginSync(
            plugin_id=name,
            state=state,
            reason=reason,
            file=applied.file,
            revision=applied.sha,
            wave=applied.wave,
        )
    for name in sorted(bad.keys() - record.applied.keys()):
        [file] = {trouble.file for trouble in record.troubles if trouble.plugin_id == name} or {""}
        yield PluginSync(
            plugin_id=name, state=SyncState.DEGRADED, reason=bad[name], file=file, revision=""
        )


def _standing(
    gitops: GitOps,
    name: str,
    applied: Applied,
    *,
    drifted: Collection[str],
    status: PluginStatus | None,
) -> _Finding:
    """How one plugin stands whose file is well."""
    record = gitops.book.record
    if gitops.seen.held(name):
        return SyncState.OUT_OF_SYNC, "its update asks for more: it waits for a grant"
    if name in record.gone:
        return SyncState.OUT_OF_SYNC, "git no longer has it, and it was not removed"
    if name in drifted and record.run is None:
        tried = f"; {record.heal.words}" if record.heal is not None else ""
        return SyncState.OUT_OF_SYNC, f"something else is wanted than git says{tried}"
    if gitops.seen.wanted(name) != applied.fingerprint and gitops.seen.taken_back(name, applied):
        return SyncState.OUT_OF_SYNC, "it was undone by `orchestrator rollout undo`"
    return _running(status)


def _running(status: PluginStatus | None) -> _Finding:
    if status is None:
        return SyncState.PROGRESSING, "it is not there yet"
    rollout = status.rollout
    if status.status is PluginState.ERROR or (
        rollout is not None and rollout.state in {RolloutState.ROLLED_BACK, RolloutState.FAILED}
    ):
        return SyncState.DEGRADED, status.detail
    if rollout is not None and rollout.state is RolloutState.PROGRESSING:
        return SyncState.PROGRESSING, status.detail
    return SyncState.SYNCED, ""
