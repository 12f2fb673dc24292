"""The following of a git repository, put together: a part of the composition root of its own."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.clock import Clock
from orchestrator.daemon.settings import DaemonSettings
from orchestrator.events.bus import PluginEventBus
from orchestrator.gitops.book import Book
from orchestrator.gitops.commands import GitOpsCommands
from orchestrator.gitops.endings import Endings
from orchestrator.gitops.git import Git
from orchestrator.gitops.hooks import Hooks
from orchestrator.gitops.remote import Remote
from orchestrator.gitops.report import gitops_status
from orchestrator.gitops.repository import GitRepository
from orchestrator.gitops.runner import Runner
from orchestrator.gitops.seen import Seen
from orchestrator.gitops.submodules import Submodules
from orchestrator.gitops.sync import GitOps
from orchestrator.gitops.tree import GitTrees
from orchestrator.manager.auditing import Clerk
from orchestrator.manager.manager import PluginManager
from orchestrator.model.git import GitWebhook
from orchestrator.model.gitops import SyncState
from orchestrator.monitoring.sources import SyncFacts
from orchestrator.sandbox.audit_ledger import AuditLedger
from orchestrator.server.gitops_routes import GitOpsApi
from orchestrator.server.webhook import Webhook, WebhookListener


@dataclass(frozen=True, slots=True, kw_only=True)
class GitOpsParts:
    """Who follows, who listens for pushes, and what operators reach both through."""

    gitops: GitOps
    listener: WebhookListener
    api: GitOpsApi
    facts: Callable[[], SyncFacts | None]
    """For /metrics; None while no repository is followed."""


def gitops_of(
    settings: DaemonSettings,
    *,
    manager: PluginManager,
    bus: PluginEventBus,
    clerk: Clerk,
    clock: Clock,
) -> GitOpsParts:
    """After `restore`: where an earlier daemon was, this one goes on."""
    folder = settings.folder / "git"
    book = Book(manager.fleet.store)
    git = Git(home=folder / "home", environment=os.environ)
    repository = GitRepository(git, folder / "repository")
    trees = GitTrees(repository, folder / "trees", book.tree_bounds, boot_id=_boot_id())
    remote = Remote(
        repository=repository,
        trees=trees,
        keys=settings.secrets_root / ".git",
        monotonic=clock.monotonic,
    )

    async def bring(sha: str) -> None:
        if book.source is not None:
            await remote.bring(book.source, sha)

    trees.bring = bring
    trees.fill_in = Submodules(
        git,
        folder / "submodules",
        source=lambda: book.source,
        credentials=remote.credentials,
        bounds=book.tree_bounds,
    ).fill
    seen = Seen(manager)
    endings = Endings(book=book, manager=manager, trees=trees, bus=bus, clock=clock)
    trees.make_room = lambda: endings.clear_away(spare=False)
    runner = Runner(
        book=book,
        manager=manager,
        trees=trees,
        hooks=Hooks(manager.loop.doors),
        seen=seen,
        endings=endings,
        clock=clock,
    )
    gitops = GitOps(
        book=book,
        remote=remote,
        runner=runner,
        seen=seen,
        manager=manager,
        bus=bus,
        clock=clock,
    )

    def wanted() -> GitWebhook | None:
        return book.source.webhook if book.source is not None else None

    webhook = Webhook(
        wanted=wanted,
        pushed=gitops.hurry,
        ledger=AuditLedger(auditor=clerk.auditor, now=clock.now, monotonic=clock.monotonic),
        clock=clock,
    )
    listener = WebhookListener(webhook, wanted=wanted)
    commands = GitOpsCommands(
        gitops=gitops,
        manager=manager,
        bus=bus,
        clerk=clerk,
        clock=clock,
        webhook_port=lambda: listener.port,
    )
    api = GitOpsApi(commands=commands, webhook=webhook)

    in_step_at = 0.0

    def facts() -> SyncFacts | None:
        nonlocal in_step_at
        status = gitops_status(gitops, manager)
        if status is None:
            return None
        if status.state in {SyncState.SYNCED, SyncState.SUSPENDED}:
            in_step_at = status.looked_at
        return SyncFacts(
            states={str(state): state is status.state for state in SyncState},
            # Nobody may have pushed for days: what counts is that all is as git was last seen.
            last_success=max(status.synced_at, in_step_at),
            syncs=status.syncs_total,
            failures=status.failures_total,
            heals=status.heals_total,
        )

    return GitOpsParts(gitops=gitops, listener=listener, api=api, facts=facts)


def _boot_id() -> str:
    """Another one after each start of the machine; empty where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
