"""PostgresStore: the same records in a PostgreSQL database, for state that is to outlive a machine.

All records are kept in memory as well: reading never waits. A write waits at most DEADLINE_SECONDS,
whatever the database does: it runs in a thread of its own, and a connection that does not answer is
cut. After that writes fail at once until a connection stands again, which that thread tries by
itself. One daemon holds an instance, by an advisory lock and by its name in `orchestrator_holders`.
"""

import contextlib
import hashlib
import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import psycopg

from orchestrator.errors import OrchestratorError
from orchestrator.store.base import (
    AllRecords,
    Record,
    StoreCorrupt,
    StoreTaken,
    StoreUnavailable,
    checksum,
)
from orchestrator.store.migrations import Step, pending

T = TypeVar("T")
Connection = psycopg.Connection[tuple[Any, ...]]
Texts = dict[str, dict[str, str]]

DEADLINE_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 2.0
"""Between attempts to connect again."""
PATIENCE_SECONDS: Final = 0.5
"""How long a write waits for a connection that was lost: a server that restarts is soon back."""
_CONNECT_SECONDS: Final = 3
_LOCK_PAUSES: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
_STATEMENT_MS: Final = 4_000
_MIGRATION_LOCK: Final = 6_142_301_954_873_201
_OPTIONS: Final = " ".join(
    f"-c {name}={value}"
    for name, value in {
        "statement_timeout": _STATEMENT_MS,
        "lock_timeout": _STATEMENT_MS,
        "idle_in_transaction_session_timeout": _STATEMENT_MS,
        # A daemon that vanished with its machine must not hold the lock for hours.
        "tcp_keepalives_idle": 10,
        "tcp_keepalives_interval": 5,
        "tcp_keepalives_count": 3,
    }.items()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """Which database, and whose records in it."""

    url: str
    """Without a password."""
    instance: str
    password: str | None = field(default=None, repr=False)
    """None leaves it to libpq: PGPASSFILE, ~/.pgpass, PGPASSWORD."""
    to_read: bool = False


class PostgresStore:
    """Used by one thread, the event loop's; the connection belongs to another."""

    def __init__(self, database: Database, *, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        self._database = database
        self._deadline = deadline_seconds
        self._name = f"orchestrator {uuid.uuid4().hex}"
        self._held = False
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="state")
        self._connection: Connection | None = None
        self._connecting: Future[tuple[Connection, Texts]] | None = None
        self._next_try = 0.0
        self._refusal: OrchestratorError | None = None
        self._texts: Texts = {}

    @classmethod
    def open(
        cls, database: Database, *, deadline_seconds: float = DEADLINE_SECONDS
    ) -> "PostgresStore":
        """Connect, bring the tables to this version, and take the instance.

        Raises StoreUnavailable, StoreTaken, StoreTooNew, StoreCorrupt.
        """
        store = cls(database, deadline_seconds=deadline_seconds)
        try:
            store._connected(patience=deadline_seconds + _CONNECT_SECONDS)
        except BaseException:
            store.close()
            raise
        return store

    def load(self, kind: str) -> dict[str, Record]:
        return {key: json.loads(text) for key, text in self._texts.get(kind, {}).items()}

    def put_all(self, kind: str, records: Mapping[str, Record | None]) -> None:
        texts = {
            key: json.dumps(dict(record)) if record is not None else None
            for key, record in records.items()
        }
        gone = [(self._database.instance, kind, key) for key, t in texts.items() if t is None]
        kept = [self._row(kind, key, text) for key, text in texts.items() if text is not None]

        def write(connection: Connection) -> None:
            with connection.transaction(), connection.cursor() as cursor:
                cursor.executemany(_DELETE, gone)
                cursor.executemany(_UPSERT, kept)

        self._run(write)
        table = self._texts.setdefault(kind, {})
        table.update({key: text for key, text in texts.items() if text is not None})
        for key in texts.keys() - {row[2] for row in kept}:
            table.pop(key, None)

    def dump(self) -> dict[str, dict[str, Record]]:
        return {kind: self.load(kind) for kind, table in self._texts.items() if table}

    def replace(self, records: AllRecords) -> None:
        texts = {
            kind: {key: json.dumps(dict(record)) for key, record in table.items()}
            for kind, table in records.items()
        }
        rows = [
            self._row(kind, k, text) for kind, table in texts.items() for k, text in table.items()
        ]

        def write(connection: Connection) -> None:
            with connection.transaction(), connection.cursor() as cursor:
                cursor.execute(_DELETE_ALL, (self._database.instance,))
                cursor.executemany(_UPSERT, rows)

        self._run(write)
        self._texts = texts

    def close(self) -> None:
        """The lock goes with the connection."""
        if self._connecting is not None:
            self._connecting.add_done_callback(_close_result)
        if self._connection is not None:
            self._worker.submit(self._connection.close)
        self._worker.shutdown(wait=False)

    # -------------------------------------------------------------------------------------------

    def _row(self, kind: str, key: str, text: str) -> tuple[str, str, str, str, str]:
        return self._database.instance, kind, key, text, checksum(kind, key, text)

    def _run(self, work: Callable[[Connection], T]) -> T:
        """Once more if the connection was found dead: writing the same again changes nothing."""
        try:
            return self._attempt(work)
        except _ConnectionDead:
            try:
                return self._attempt(work)
            except _ConnectionDead as error:
                raise self._unavailable(str(error)) from error

    def _attempt(self, work: Callable[[Connection], T]) -> T:
        connection = self._connected(patience=PATIENCE_SECONDS)
        future = self._worker.submit(work, connection)
        try:
            return future.result(self._deadline)
        except TimeoutError as error:
            self._drop(connection)
            raise self._unavailable(f"it did not answer within {self._deadline:g} s") from error
        except psycopg.Error as error:
            if connection.closed:
                self._drop(connection)
                raise _ConnectionDead(_words(error)) from error
            raise self._unavailable(_words(error)) from error

    def _connected(self, *, patience: float) -> Connection:
        """The connection, if it stands or comes to stand soon."""
        if self._connection is not None:
            return self._connection
        if self._connecting is None:
            if self._refusal is not None and time.monotonic() < self._next_try:
                raise self._refusal
            self._connecting = self._worker.submit(self._connect)
        else:
            patience = 0.0  # somebody has waited for it already
        try:
            self._connection, self._texts = self._connecting.result(patience)
        except TimeoutError as error:
            raise self._unavailable("it does not answer") from error
        except psycopg.Error as error:
            raise self._refused(self._unavailable(_words(error))) from error
        except OrchestratorError as error:
            self._refused(error)
            raise
        self._connecting = self._refusal = None
        self._held = True
        return self._connection

    def _refused(self, refusal: OrchestratorError) -> OrchestratorError:
        """Said again, without asking, until it is time to try once more."""
        self._connecting = None
        self._refusal, self._next_try = refusal, time.monotonic() + RETRY_SECONDS
        return refusal

    def _drop(self, connection: Connection) -> None:
        """Cut it, so that the thread that waits for it is free again."""
        self._connection = None
        with (
            contextlib.suppress(OSError, psycopg.Error),
            socket.socket(fileno=os.dup(connection.fileno())) as cut,
        ):
            cut.shutdown(socket.SHUT_RDWR)
        self._worker.submit(connection.close)

    def _unavailable(self, why: str) -> StoreUnavailable:
        return StoreUnavailable(
            f"the state in PostgreSQL (instance {self._database.instance}): {why}"
        )

    # -- in the thread --------------------------------------------------------------------------

    def _connect(self) -> tuple[Connection, Texts]:
        # libpq's own ways to a password, where none was given, stay open.
        more: dict[str, Any] = {"password": self._database.password}
        connection: Connection = psycopg.connect(
            self._database.url,
            autocommit=True,
            application_name=self._name,
            connect_timeout=_CONNECT_SECONDS,
            options=_OPTIONS,
            **{name: value for name, value in more.items() if value},
        )
        try:
            if not self._database.to_read:
                _migrate(connection)
                self._take(connection)
            return connection, self._read(connection)
        except BaseException:
            connection.close()
            raise

    def _take(self, connection: Connection) -> None:
        """The lock, and proof that nobody else had it since we did."""
        instance = self._database.instance
        # A daemon that has just ended, or our own earlier connection: the server may not know yet.
        connection.execute(_END_OWN, (self._name,))
        for pause in _LOCK_PAUSES:
            if _lock(connection, instance):
                break
            time.sleep(pause)
        else:
            raise StoreTaken(
                f"instance {instance}: found another daemon at its state in PostgreSQL,"
                " expected none; end that one, or give this one another --instance"
            )
        with connection.transaction():
            row = connection.execute(_HOLDER, (instance,)).fetchone()
            if self._held and row != (self._name,):
                raise StoreTaken(
                    f"instance {instance}: another daemon took its state in PostgreSQL over while"
                    " this one was cut off; end this one"
                )
            connection.execute(_HOLD, (instance, self._name))

    def _read(self, connection: Connection) -> Texts:
        if connection.execute("SELECT to_regclass('orchestrator_records')").fetchone() == (None,):
            return {}
        _check_version(connection)
        texts: Texts = {}
        rows = connection.execute(_SELECT, (self._database.instance,))
        for kind, key, text, stored in rows:
            if checksum(kind, key, text) != stored:
                raise StoreCorrupt(
                    f"the state in PostgreSQL: record {kind}/{key} of instance"
                    f" {self._database.instance} is not as it was written"
                )
            texts.setdefault(kind, {})[key] = text
        return texts


class _ConnectionDead(Exception):
    """What it said at last."""


_SELECT: Final = "SELECT kind, key, value, checksum FROM orchestrator_records WHERE instance = %s"
_DELETE: Final = "DELETE FROM orchestrator_records WHERE instance = %s AND kind = %s AND key = %s"
_DELETE_ALL: Final = "DELETE FROM orchestrator_records WHERE instance = %s"
_UPSERT: Final = (
    "INSERT INTO orchestrator_records (instance, kind, key, value, checksum)"
    " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (instance, kind, key)"
    " DO UPDATE SET value = excluded.value, checksum = excluded.checksum"
)
_HOLDER: Final = "SELECT holder FROM orchestrator_holders WHERE instance = %s"
_HOLD: Final = (
    "INSERT INTO orchestrator_holders (instance, holder) VALUES (%s, %s)"
    " ON CONFLICT (instance) DO UPDATE SET holder = excluded.holder"
)
_END_OWN: Final = (
    "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity"
    " WHERE application_name = %s AND pid <> pg_backend_pid()"
)
_VERSION: Final = "SELECT version FROM orchestrator_version"


def _lock(connection: Connection, instance: str) -> bool:
    digest = hashlib.sha256(f"orchestrator/{instance}".encode()).digest()
    number = int.from_bytes(digest[:8], "big", signed=True)
    return connection.execute("SELECT pg_try_advisory_lock(%s)", (number,)).fetchone() == (True,)


def _migrate(connection: Connection) -> None:
    """Step by step, each in one transaction; daemons of several instances one after the other."""
    while True:
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATION_LOCK,))
            connection.execute("CREATE TABLE IF NOT EXISTS orchestrator_version (version INT)")
            steps = _check_version(connection)
            if not steps:
                return
            for statement in steps[0].postgresql:
                connection.execute(statement)
            connection.execute("DELETE FROM orchestrator_version")
            connection.execute("INSERT INTO orchestrator_version VALUES (%s)", (steps[0].version,))


def _check_version(connection: Connection) -> tuple[Step, ...]:
    """What is missing. Raises StoreTooNew."""
    row = connection.execute(_VERSION).fetchone()
    return pending(row[0] if row is not None else 0, where="the state in PostgreSQL")


def _close_result(future: "Future[tuple[Connection, Texts]]") -> None:
    """A connection that came to stand when nobody waited for it any more."""
    if not future.cancelled() and future.exception() is None:
        future.result()[0].close()


def _words(error: psycopg.Error) -> str:
    return " ".join(str(error).split()) or type(error).__name__
