"""DatabaseLedger: one plugin's connections to databases, as told to the audit log."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from orchestrator.model.audit import AuditAction, AuditEntry, Auditor, AuditOutcome
from orchestrator.sandbox.meter import TokenBucket
from orchestrator.sandbox.party_counts import Carried

_ENTRIES_PER_SECOND: Final = 1.0
_ENTRIES_BURST: Final = 20


@dataclass(slots=True, kw_only=True, eq=False)
class Tally:
    """One connection's, or several ended ones' together."""

    database: str
    carried: Carried
    """Of all connections of the plugin, whoever tells of them."""
    connections: int = 1
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
    """Each connection gets an entry when it ends; a plugin that floods gets sums instead."""

    def __init__(
        self,
        *,
        plugin_id: str,
        auditor: Auditor,
        now: Callable[[], float],
        monotonic: Callable[[], float],
        carried: Carried | None = None,
    ) -> None:
        self._carried = carried or Carried()
        self._plugin_id = plugin_id
        self._auditor = auditor
        self._now = now
        self._bucket = TokenBucket(
            per_second=_ENTRIES_PER_SECOND, burst=_ENTRIES_BURST, now=monotonic
        )
        self._live: set[Tally] = set()
        self._untold: dict[str, Tally] = {}

    def began(self, database: str) -> Tally:
        """A connection stands; what passes is counted in the tally."""
        tally = Tally(database=database, carried=self._carried)
        self._live.add(tally)
        return tally

    def ended(self, tally: Tally) -> None:
        """A connection is over; quiet if `flush` told of it already."""
        if tally not in self._live:
            return
        self._add(tally)
        if self._bucket.take():
            self._tell(tally.database)

    def flush(self) -> None:
        """Tell what was held back, and what still stands: the broker closes."""
        for tally in list(self._live):
            self._add(tally)
        for database in sorted(self._untold):
            self._tell(database)

    def _add(self, tally: Tally) -> None:
        self._live.discard(tally)
        whole = self._untold.setdefault(
            tally.database,
            Tally(database=tally.database, carried=self._carried, connections=0),
        )
        whole.connections += tally.connections
        whole.sent_bytes += tally.sent_bytes
        whole.received_bytes += tally.received_bytes

    def _tell(self, database: str) -> None:
        tally = self._untold.pop(database)
        self._auditor.record(
            AuditEntry(
                at=self._now(),
                actor=f"plugin:{self._plugin_id}",
                action=AuditAction.DATABASE,
                outcome=AuditOutcome.ALLOWED,
                plugin_id=self._plugin_id,
                why="granted by database_access",
                data={
                    "database": database,
                    "connections": tally.connections,
                    "sent_bytes": tally.sent_bytes,
                    "received_bytes": tally.received_bytes,
                },
            )
        )
