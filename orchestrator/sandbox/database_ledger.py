"""DatabaseLedger: one plugin's connections to databases, as told to the audit log."""

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.model.audit import AuditAction, AuditEntry, AuditOutcome
from orchestrator.sandbox.audit_ledger import AuditLedger
from orchestrator.sandbox.party_counts import Carried

_WHY = "granted by database_access"


@dataclass(slots=True, kw_only=True, eq=False)
class Tally:
    """One connection's."""

    database: str
    carried: Carried
    """Of all connections of the plugin, whoever tells of them."""
    sent_bytes: int = 0
    """From the plugin to the database."""
    received_bytes: int = 0

    def sent(self, count: int) -> None:
        self.sent_bytes += count
        self.carried.sent += count

    def received(self, count: int) -> None:
        self.received_bytes += count
        self.carried.received += count


class DatabaseLedger:
    """Each connection is told when it ends, within the bound of `entries`."""

    def __init__(
        self,
        *,
        plugin_id: str,
        entries: AuditLedger,
        now: Callable[[], float],
        carried: Carried | None = None,
    ) -> None:
        self._carried = carried or Carried()
        self._plugin_id = plugin_id
        self._entries = entries
        self._now = now
        self._live: dict[Tally, None] = {}

    def began(self, database: str) -> Tally:
        """A connection stands; what passes is counted in the tally."""
        tally = Tally(database=database, carried=self._carried)
        self._live[tally] = None
        return tally

    def ended(self, tally: Tally) -> None:
        """A connection is over; quiet if `flush` told of it already."""
        if tally not in self._live:
            return
        del self._live[tally]
        target = {"database": tally.database}
        self._entries.note(
            AuditEntry(
                at=self._now(),
                actor=f"plugin:{self._plugin_id}",
                action=AuditAction.DATABASE,
                outcome=AuditOutcome.ALLOWED,
                plugin_id=self._plugin_id,
                why=_WHY,
                data=target,
            ),
            kind="",
            target=target,
            adds={
                "connections": 1,
                "sent_bytes": tally.sent_bytes,
                "received_bytes": tally.received_bytes,
            },
        )

    def flush(self) -> None:
        """Tell what still stands: the broker closes."""
        for tally in list(self._live):
            self.ended(tally)
