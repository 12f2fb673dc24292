"""DatabaseBroker: a socket for each granted database, and a metered relay of bytes behind it.

Nothing of a database's protocol is interpreted: what the plugin may do there is between the
database and the credentials that the plugin was given.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from orchestrator.clock import Clock
from orchestrator.model.audit import AuditAction, Auditor
from orchestrator.model.databases import TcpAddress, UnixAddress
from orchestrator.sandbox.audit_ledger import AuditLedger
from orchestrator.sandbox.broker import RefusalCode, RefusalLog, Refused
from orchestrator.sandbox.database_ledger import DatabaseLedger
from orchestrator.sandbox.database_target import DatabaseTarget
from orchestrator.sandbox.listener import bind_unix, make_folder
from orchestrator.sandbox.meter import NetworkMeter, TokenBucket
from orchestrator.sandbox.party_counts import HostClass, PartyCounts

_CHUNK_BYTES: Final = 1 << 16
"""Also the most that waits in one direction of a connection, twice over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseLimits:
    """Of one plugin, over all its databases."""

    connections: int = 32
    connects_per_second: float = 20.0
    connects_burst: int = 64
    connect_seconds: float = 5.0


class DatabaseBroker:
    """Implements Broker for one plugin."""

    def __init__(
        self,
        *,
        plugin_id: str,
        targets: tuple[DatabaseTarget, ...],
        meter: NetworkMeter,
        auditor: Auditor,
        clock: Clock,
        limits: DatabaseLimits | None = None,
        counts: PartyCounts | None = None,
    ) -> None:
        counts = counts or PartyCounts()
        self._targets = targets
        self._meter = meter
        self._limits = limits or DatabaseLimits()
        self._entries = AuditLedger(auditor=auditor, now=clock.now, monotonic=clock.monotonic)
        self._refusals = RefusalLog(
            plugin_id=plugin_id,
            action=AuditAction.DATABASE,
            ledger=self._entries,
            now=clock.now,
            # A client tries again and again while its database is down.
            repeated=frozenset({RefusalCode.CONNECT_FAILED}),
            total=counts.refusals,
        )
        self._ledger = DatabaseLedger(
            plugin_id=plugin_id,
            entries=self._entries,
            now=clock.now,
            carried=counts.to(HostClass.DATABASE),
        )
        self._connects = TokenBucket(
            per_second=self._limits.connects_per_second,
            burst=self._limits.connects_burst,
            now=clock.monotonic,
        )
        self._servers: list[tuple[asyncio.AbstractServer, Path]] = []
        self._running: dict[asyncio.Task[object], list[asyncio.StreamWriter]] = {}
        """Each connection's task, with the ends that it holds."""

    async def open(self, folder: Path) -> None:
        """Listen in `folder` at db/<name>/ of each database. Before the container starts."""
        self.close()
        self._entries.open()
        for target in self._targets:
            path = folder / target.socket_path
            for parent in (path.parent.parent, path.parent):
                make_folder(parent)
            server = await asyncio.start_unix_server(
                partial(self._serve, target),
                sock=bind_unix(path, mode=0o666),
                limit=_CHUNK_BYTES,
            )
            self._servers.append((server, path))

    def close(self) -> None:
        """Take the sockets away and end every connection now."""
        for server, path in self._servers:
            server.close()
            path.unlink(missing_ok=True)
        self._servers.clear()
        for task, ends in self._running.items():
            for end in ends:
                end.transport.abort()  # not a byte more, whatever the task is about to do
            task.cancel()
        self._ledger.flush()
        self._entries.close()

    @property
    def connections(self) -> int:
        return len(self._running)

    # -- one connection -------------------------------------------------------------------------

    async def _serve(
        self, target: DatabaseTarget, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """The task is the server's; it ends with its connection, whatever happens."""
        task = asyncio.current_task()
        if task is None or not self._servers:  # it was accepted, and then the broker was closed
            writer.transport.abort()
            return
        try:
            self._admit(target)
            ends = self._running[task] = [writer]
            await self._relay(target, reader, writer, ends)
        except Refused as refused:
            self._refusals.note(refused)
        except asyncio.CancelledError:
            pass  # by close(); the task has no other parent that would want to know
        finally:
            self._running.pop(task, None)
            writer.transport.abort()

    def _admit(self, target: DatabaseTarget) -> None:
        if len(self._running) >= self._limits.connections:
            raise Refused(
                RefusalCode.TOO_MANY_CONNECTIONS,
                f"{len(self._running)} connections to databases are open,"
                f" expected at most {self._limits.connections}",
                evidence={"database": target.name},
            )
        if not self._connects.take():
            raise Refused(
                RefusalCode.RATE_LIMITED,
                f"found more than {self._limits.connects_per_second:g} connections to databases a"
                " second, expected fewer",
                evidence={"database": target.name},
            )
        if self._meter.left() <= 0:
            raise self._over_quota(target)

    async def _relay(
        self,
        target: DatabaseTarget,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        ends: list[asyncio.StreamWriter],
    ) -> None:
        database_reader, database_writer = await self._connect(target)
        ends.append(database_writer)
        tally = self._ledger.began(target.name)
        over_quota = False
        try:
            for end in ends:
                # So that `drain` waits for the last byte, and no end is taken away before it.
                end.transport.set_write_buffer_limits(high=0)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, database_writer, tally.sent))
                group.create_task(self._pump(database_reader, writer, tally.received))
        except* OSError:
            pass  # either side hung up hard
        except* _QuotaUsedUp:
            over_quota = True
        finally:
            database_writer.transport.abort()
            self._ledger.ended(tally)
        if over_quota:
            raise self._over_quota(target)

    async def _connect(
        self, target: DatabaseTarget
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            async with asyncio.timeout(self._limits.connect_seconds):
                match target.address:
                    case UnixAddress(path=path):
                        return await asyncio.open_unix_connection(path, limit=_CHUNK_BYTES)
                    case TcpAddress(host=host, port=port):
                        return await asyncio.open_connection(host, port, limit=_CHUNK_BYTES)
        except OSError as error:  # a TimeoutError is an OSError
            why = str(error) or f"no answer within {self._limits.connect_seconds:g} s"
            raise Refused(
                RefusalCode.CONNECT_FAILED,
                f"database {target.name} cannot be reached: {why}",
                evidence={"database": target.name},
            ) from error

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        count: Callable[[int], None],
    ) -> None:
        """One direction, to its end; what is not taken off at the far side is not read here."""
        while chunk := await reader.read(_CHUNK_BYTES):
            if writer.transport.is_closing():
                return
            allowed = self._meter.take(len(chunk))
            count(allowed)
            writer.write(chunk[:allowed])
            await writer.drain()
            if allowed < len(chunk):
                raise _QuotaUsedUp
        if not writer.transport.is_closing():
            with contextlib.suppress(OSError):
                writer.write_eof()

    def _over_quota(self, target: DatabaseTarget) -> Refused:
        return Refused(
            RefusalCode.QUOTA_EXCEEDED,
            f"the network quota of {self._meter.limit_bytes} bytes is used up",
            evidence={"database": target.name},
        )


class _QuotaUsedUp(Exception):
    """Ends both directions of a connection; never further."""
