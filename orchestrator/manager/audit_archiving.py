"""AuditArchiving: the audit log gets shorter by command, and says so itself.

What the log must be able to tell after a loss of the state file, which permissions stand revoked,
is written anew before the records that told it are removed.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from orchestrator.clock import Clock
from orchestrator.errors import OrchestratorError
from orchestrator.manager.auditing import Clerk
from orchestrator.manager.overridden import stored_overrides
from orchestrator.model.audit import AuditAction, AuditEntry, AuditOutcome
from orchestrator.policy.overrides import OverrideState
from orchestrator.store.audit_archive import Pieces
from orchestrator.store.audit_log import AuditLog
from orchestrator.store.base import RecordStore


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveWish:
    """Which records, where to, and who says so."""

    folder: Path
    before: float
    """Seconds since the epoch."""
    who: str
    why: str = ""


class AuditArchiving:
    """One per daemon; one archive at a time."""

    def __init__(self, *, log: AuditLog, store: RecordStore, clerk: Clerk, clock: Clock) -> None:
        self.log = log
        self._store = store
        self._clerk = clerk
        self._clock = clock
        self._one = asyncio.Lock()

    async def archive(self, wish: ArchiveWish) -> Pieces | None:
        """What was moved; None where nothing is old enough. Raises AuditNotArchived."""
        words = f"audit archive {wish.folder}"
        async with self._one:
            try:
                pieces = await asyncio.to_thread(self.log.copy_out, wish.folder, before=wish.before)
                if pieces is not None:
                    self._carry_over()
                    await self.log.release(pieces, self._told(wish))
            except OrchestratorError as error:
                self._clerk.refusal(words, error, who=wish.who, why=wish.why)
                raise
        data: dict[str, JsonValue] = {
            "before": wish.before,
            "segments": len(pieces.pieces) if pieces is not None else 0,
        }
        self._clerk.command(words, data, who=wish.who, why=wish.why)
        return pieces

    def _told(self, wish: ArchiveWish) -> AuditEntry:
        reason = f": {wish.why}" if wish.why else ""
        return AuditEntry(
            at=self._clock.now(),
            actor="operator",
            action=AuditAction.AUDIT_LOG,
            outcome=AuditOutcome.DONE,
            why=f"audit log: older records were archived to {wish.folder}{reason}",
            data={"user": wish.who},
        )

    def _carry_over(self) -> None:
        for override in stored_overrides(self._store):
            if override.state is not OverrideState.REVOKED:
                continue
            self._clerk.permission(
                AuditAction.PERMISSION_REVOKE,
                AuditOutcome.DONE,
                override.plugin_id,
                why=override.why,
                data={
                    "permission": override.permission,
                    "user": override.who,
                    "revoked_at": override.when,
                    "found": "stands since then; told anew, as older records are archived",
                },
            )
