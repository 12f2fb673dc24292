"""Where the state of an instance lies, and how it is opened: for the daemon, or only to look."""

from orchestrator.daemon.settings import STORE_PASSWORD_VARIABLE, DaemonSettings, InvalidSetting
from orchestrator.errors import Kind, OrchestratorError
from orchestrator.store.base import RecordStore
from orchestrator.store.rebuild import open_or_rebuild
from orchestrator.store.sqlite import SqliteStore


class StoreDriverMissing(OrchestratorError):
    """State in PostgreSQL is wanted, and the package that speaks with it is not installed."""

    kind, code = Kind.UNAVAILABLE, "store_driver_missing"


def open_state(settings: DaemonSettings, *, now: float) -> RecordStore:
    """For the one who holds the instance's lock.

    A corrupt file is set aside and rebuilt; `manager.rebuilding` sees to what follows from that.
    Raises StoreTooNew, StoreUnavailable; of a database StoreTaken and StoreCorrupt as well.
    """
    if settings.store:
        return _postgres(settings, to_read=False)
    lived = any(settings.audit_folder.glob("*.jsonl"))
    return open_or_rebuild(settings.database, now=now, expected=lived)


def open_state_to_read(settings: DaemonSettings) -> RecordStore | None:
    """With a daemon at it or not; None if there is no state yet.

    Raises StoreCorrupt, StoreTooNew, StoreUnavailable.
    """
    if settings.store:
        return _postgres(settings, to_read=True)
    if not settings.database.exists():
        return None
    return SqliteStore.open_to_read(settings.database)


def _postgres(settings: DaemonSettings, *, to_read: bool) -> RecordStore:
    try:
        from orchestrator.store.postgres import Database, PostgresStore  # noqa: PLC0415 - optional
    except ImportError as error:
        raise StoreDriverMissing(
            f"state in PostgreSQL: found no usable psycopg ({error}), expected the extra"
            " `postgres`: install orchestrator's own wheel as `WHEEL[postgres]`"
        ) from error
    return PostgresStore.open(
        Database(
            url=settings.store,
            instance=settings.instance,
            password=_password(settings),
            to_read=to_read,
        )
    )


def _password(settings: DaemonSettings) -> str | None:
    """Raises InvalidSetting."""
    if settings.store_password_file is None:
        return None
    try:
        return settings.store_password_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSetting(
            f"{STORE_PASSWORD_VARIABLE}: {settings.store_password_file} cannot be read ({error}),"
            " expected a file that holds the password"
        ) from error
