"""Where the state of an instance lies, and how it is opened: for the daemon, or only to look."""

from orchestrator.daemon.settings import DaemonSettings
from orchestrator.store.base import RecordStore
from orchestrator.store.rebuild import open_or_rebuild
from orchestrator.store.sqlite import SqliteStore


def open_state(settings: DaemonSettings, *, now: float) -> RecordStore:
    """For the one who holds the instance's lock. Raises StoreTooNew, StoreUnavailable.

    A corrupt file is set aside and rebuilt; `manager.rebuilding` sees to what follows from that.
    """
    lived = any(settings.audit_folder.glob("*.jsonl"))
    return open_or_rebuild(settings.database, now=now, expected=lived)


def open_state_to_read(settings: DaemonSettings) -> RecordStore | None:
    """With a daemon at it or not; None if there is no state yet.

    Raises StoreCorrupt, StoreTooNew, StoreUnavailable.
    """
    if not settings.database.exists():
        return None
    return SqliteStore.open_to_read(settings.database)
