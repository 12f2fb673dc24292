"""EgressBroker: `egress.sock`, the HTTP proxy that a plugin with `external_api` is given.

CONNECT for whoever speaks TLS itself, absolute form for plain HTTP and for hosts to which the
operator attached a credential. The order is: understand, compare with the grant, resolve, check
every address, connect to a checked one, count every byte.
"""

import asyncio
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.clock import Clock
from orchestrator.model.audit import AuditAction, AuditEntry, Auditor, AuditOutcome
from orchestrator.sandbox.audit_ledger import AuditLedger
from orchestrator.sandbox.broker import RefusalCode, RefusalLog, Refused
from orchestrator.sandbox.egress_policy import EgressRules, where
from orchestrator.sandbox.egress_relay import Ending, Relay
from orchestrator.sandbox.egress_request import EgressRequest, read_request
from orchestrator.sandbox.egress_uplink import Dialler, Uplink, Upstream
from orchestrator.sandbox.http_head import malformed
from orchestrator.sandbox.http_server import BrokerServer, ClientConnection
from orchestrator.sandbox.meter import NetworkMeter, TokenBucket
from orchestrator.sandbox.party_counts import HostClass, PartyCounts

EGRESS_SOCKET: Final = "egress.sock"
_MAX_HEAD_BYTES: Final = 32_768
_LONGEST_RETRY_SECONDS: Final = 86_400
_ESTABLISHED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressBounds:
    """The bounds of one egress.sock."""

    requests_per_second: float = 20.0
    burst: int = 100
    max_connections: int = 32
    lookups: int = 4
    """Names that are looked up at the same time."""
    head_seconds: float = 10.0
    """From connecting to the last byte of the request's head."""
    resolve_seconds: float = 5.0
    connect_seconds: float = 10.0
    idle_seconds: float = 300.0
    total_seconds: float = 3_600.0


class EgressBroker:
    """See the module; a Broker. One request a connection."""

    def __init__(
        self,
        *,
        plugin_id: str,
        rules: EgressRules,
        meter: NetworkMeter,
        auditor: Auditor,
        clock: Clock,
        uplink: Uplink,
        bounds: EgressBounds | None = None,
        counts: PartyCounts | None = None,
    ) -> None:
        self._counts = counts or PartyCounts()
        self._plugin_id = plugin_id
        self._rules = rules
        self._meter = meter
        self._clock = clock
        self._bounds = bounds or EgressBounds()
        self._dialler = Dialler(
            uplink,
            rules,
            resolve_seconds=self._bounds.resolve_seconds,
            connect_seconds=self._bounds.connect_seconds,
            lookups=self._bounds.lookups,
        )
        self._ledger = AuditLedger(auditor=auditor, now=clock.now, monotonic=clock.monotonic)
        self._refusals = RefusalLog(
            plugin_id=plugin_id,
            action=AuditAction.EGRESS,
            ledger=self._ledger,
            now=clock.now,
            total=self._counts.refusals,
        )
        self._bucket = TokenBucket(
            per_second=self._bounds.requests_per_second,
            burst=self._bounds.burst,
            now=clock.monotonic,
        )
        self._server = BrokerServer(
            self._serve,
            max_connections=self._bounds.max_connections,
            max_head_bytes=_MAX_HEAD_BYTES,
            note=self._refusals.note,
        )

    @property
    def refusals(self) -> Counter[RefusalCode]:
        """How often it said no, by code."""
        return self._refusals.counts

    async def open(self, folder: Path) -> None:
        """Listen at folder/egress.sock."""
        self._ledger.open()
        await self._server.open(folder / EGRESS_SOCKET)

    def close(self) -> None:
        """Take the socket away and cut every connection, tunnels too."""
        self._server.close()
        self._ledger.close()

    async def _serve(self, client: ClientConnection) -> None:
        try:
            request = await self._request(client)
            if request is None:
                return
            upstream = await self._dialler.dial(request)
        except Refused as refused:
            self._refuse(client, refused)
            return
        await self._carry(client, request, upstream)

    async def _request(self, client: ClientConnection) -> EgressRequest | None:
        """The one request of a connection; None where nothing came. Raises Refused."""
        try:
            async with asyncio.timeout(self._bounds.head_seconds):
                if not await client.reader.wait():
                    return None
                if not self._bucket.take():
                    raise Refused(
                        RefusalCode.RATE_LIMITED,
                        f"found more than {self._bounds.requests_per_second:g} requests a second",
                    )
                head = await client.reader.head()
        except TimeoutError:
            raise Refused(
                RefusalCode.REQUEST_TIMEOUT,
                f"found no request within {self._bounds.head_seconds:g} s",
            ) from None
        request = read_request(head, self._rules)
        if not request.tunnel and not head.has_body and client.reader.pending:
            raise malformed("found a second request before the first one's answer")
        self._check_quota(request)
        return request

    def _check_quota(self, request: EgressRequest) -> None:
        until = self._meter.exhausted_until()
        if until is not None:
            raise self._quota(request, until)

    def _quota(self, request: EgressRequest, until: float) -> Refused:
        meter = self._meter
        wait = min(until - self._clock.now(), _LONGEST_RETRY_SECONDS)
        return Refused(
            RefusalCode.QUOTA_EXCEEDED,
            f"found {meter.used()} bytes used within {meter.window_seconds:g} s, expected at most "
            f"{meter.limit_bytes} (max_network_mb)",
            evidence=where(request.endpoint),
            retry_after_seconds=max(1, math.ceil(wait)),
        )

    async def _carry(
        self, client: ClientConnection, request: EgressRequest, upstream: Upstream
    ) -> None:
        """Everything from here on is allowed, counted and taken down when it ends."""
        public = upstream.address.is_global
        relay = Relay(
            client,
            upstream,
            self._meter,
            carried=self._counts.to(HostClass.PUBLIC if public else HostClass.PRIVATE),
            idle_seconds=self._bounds.idle_seconds,
        )
        began = self._clock.monotonic()
        try:
            if request.tunnel:
                await client.send(_ESTABLISHED)
            await relay.run(request, total_seconds=self._bounds.total_seconds)
        finally:
            upstream.writer.transport.abort()
            self._record(request, upstream, relay, self._clock.monotonic() - began)
        if relay.ending is Ending.QUOTA:
            self._refusals.note(self._quota(request, self._meter.exhausted_until() or 0.0))
        if relay.refused is not None:
            relay.refused.evidence.update(where(request.endpoint))
            self._refuse(client, relay.refused, quietly=relay.received > 0)

    def _refuse(self, client: ClientConnection, refused: Refused, *, quietly: bool = False) -> None:
        """`quietly`: part of another answer is out already."""
        self._refusals.note(refused)
        if not quietly:
            client.refuse(refused)

    def _record(
        self, request: EgressRequest, upstream: Upstream, relay: Relay, seconds: float
    ) -> None:
        target = where(request.endpoint)
        form = "connect" if request.tunnel else "tls" if request.tls else "http"
        entry = AuditEntry(
            at=self._clock.now(),
            actor=f"plugin:{self._plugin_id}",
            action=AuditAction.EGRESS,
            outcome=AuditOutcome.ALLOWED,
            plugin_id=self._plugin_id,
            why=relay.ending,
            data={**target, "address": str(upstream.address), "form": form},
        )
        self._ledger.note(
            entry,
            kind=relay.ending,
            target=target,
            adds={
                "sent_bytes": relay.sent,
                "received_bytes": relay.received,
                "seconds": round(seconds, 3),
            },
        )
