"""HostBroker: `host.sock`, the plain HTTP API that a plugin with `plugin_communication` is given.

The caller is known by its socket. What may be called and published is fixed when the broker is
made; deadlines, depth and chain are inherited from the call that the plugin says it is serving.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from orchestrator.clock import Clock
from orchestrator.errors import OrchestratorError
from orchestrator.model.audit import AuditAction, Auditor
from orchestrator.sandbox.audit_ledger import AuditLedger
from orchestrator.sandbox.broker import PROBLEM_TYPE, RefusalCode, RefusalLog, Refused
from orchestrator.sandbox.call import Call, CallFailure, FailureCode, Reply
from orchestrator.sandbox.callers import RunningCall, check_callee, inherit
from orchestrator.sandbox.host_api import HostBounds, HostGrant, Neighbours
from orchestrator.sandbox.host_events import read_event
from orchestrator.sandbox.http_head import RequestHead, malformed, shown
from orchestrator.sandbox.http_server import BrokerServer, ClientConnection, RequestReader
from orchestrator.sandbox.meter import TokenBucket
from orchestrator.sandbox.party_counts import PartyCounts

HOST_SOCKET: Final = "host.sock"
_MAX_HEAD_BYTES: Final = 16_384
_LATE_SECONDS: Final = 0.5
"""How far a call may outlive its deadline before the broker stops waiting for its failure."""
_EXECUTE: Final = re.compile(rb"/v1/plugins/([a-z0-9-]{1,63})/execute")
_WORD: Final = re.compile(rb"[\x21-\x7e]{1,128}")
_TYPE: Final = re.compile(rb"[\x20-\x7e]{1,256}")
_MILLISECONDS: Final = re.compile(rb"[0-9]{1,11}")


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    content_type: str
    body: bytes


class HostBroker:
    """See the module; a Broker."""

    def __init__(
        self,
        *,
        grant: HostGrant,
        neighbours: Neighbours,
        auditor: Auditor,
        clock: Clock,
        bounds: HostBounds | None = None,
        counts: PartyCounts | None = None,
    ) -> None:
        self._grant = grant
        self._neighbours = neighbours
        self._bounds = bounds or HostBounds()
        self._ledger = AuditLedger(auditor=auditor, now=clock.now, monotonic=clock.monotonic)
        self._refusals = RefusalLog(
            plugin_id=grant.plugin_id,
            action=AuditAction.HOST_CALL,
            ledger=self._ledger,
            now=clock.now,
            total=(counts or PartyCounts()).refusals,
        )
        self._bucket = TokenBucket(
            per_second=self._bounds.requests_per_second,
            burst=self._bounds.burst,
            now=clock.monotonic,
        )
        self._buffered = 0
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
        """Listen at folder/host.sock."""
        self._ledger.open()
        await self._server.open(folder / HOST_SOCKET)

    def close(self) -> None:
        """Take the socket away and end every connection, with the calls made over it."""
        self._server.close()
        self._ledger.close()

    # -- one connection -------------------------------------------------------------------------

    async def _serve(self, client: ClientConnection) -> None:
        while await self._another(client.reader):
            try:
                head = await self._head(client.reader)
                answer = await self._answer(head, client)
            except Refused as refused:
                self._refusals.note(refused)
                client.refuse(refused)
                return
            async with asyncio.timeout(self._bounds.idle_seconds):
                await client.answer(
                    answer.status, answer.content_type, answer.body, keep_alive=head.keep_alive
                )
            if not head.keep_alive:
                return

    async def _another(self, reader: RequestReader) -> bool:
        try:
            async with asyncio.timeout(self._bounds.idle_seconds):
                return await reader.wait()
        except TimeoutError:
            return False

    async def _head(self, reader: RequestReader) -> RequestHead:
        if not self._bucket.take():
            raise Refused(
                RefusalCode.RATE_LIMITED,
                f"found more than {self._bounds.requests_per_second:g} requests a second",
            )
        async with self._in_time("a request's head"):
            return await reader.head()

    async def _answer(self, head: RequestHead, client: ClientConnection) -> _Answer:
        match head.method, head.target:
            case "POST", b"/v1/events":
                return await self._publish(head, client)
            case "GET", b"/v1/plugins":
                return self._list(head)
            case "POST", target if (match := _EXECUTE.fullmatch(target)) is not None:
                return await self._execute(match[1].decode(), head, client)
            case _:
                raise Refused(
                    RefusalCode.UNKNOWN_ENDPOINT,
                    f"found {head.method} {shown(head.target)}, expected POST /v1/events, "
                    "GET /v1/plugins or POST /v1/plugins/{id}/execute",
                )

    # -- GET /v1/plugins ------------------------------------------------------------------------

    def _list(self, head: RequestHead) -> _Answer:
        if head.has_body:
            raise malformed("found a body with GET, expected none")
        found = [self._neighbours.find(name) for name in sorted(self._grant.callees)]
        plugins = [
            {
                "plugin_id": callee.plugin_id,
                "name": callee.name,
                "version": callee.version,
                "description": callee.description,
                "running": callee.running,
                "tools": [tool.model_dump(mode="json") for tool in callee.tools],
            }
            for callee in found
            if callee is not None
        ]
        return _json(200, {"plugins": plugins})

    # -- POST /v1/events ------------------------------------------------------------------------

    async def _publish(self, head: RequestHead, client: ClientConnection) -> _Answer:
        async with self._body(head, client, most=self._bounds.max_event_bytes) as body:
            publication = read_event(
                body, plugin_id=self._grant.plugin_id, publishes=self._grant.publishes
            )
        event_id = await self._neighbours.publish(publication)
        return _json(202, {"event_id": event_id})

    # -- POST /v1/plugins/{id}/execute ----------------------------------------------------------

    async def _execute(self, callee: str, head: RequestHead, client: ClientConnection) -> _Answer:
        inherited = self._inherit(callee, head)
        async with self._body(head, client, most=self._bounds.max_body_bytes) as body:
            call = self._call(head, len(body), inherited)
            result = await self._while_connected(callee, call, body, inherited, client)
        if isinstance(result, Reply):
            return _Answer(result.status, result.content_type, result.body)
        return _Answer(*_with_type(self._neighbours.failure(result)))

    def _inherit(self, callee: str, head: RequestHead) -> RunningCall:
        """What the new call inherits; Refused where there must be none. Before its body is read."""
        me = self._grant.plugin_id
        served = self._neighbours.callers.running(
            me,
            request_id=_header(head, b"x-request-id", _WORD),
            traceparent=_header(head, b"traceparent", _WORD),
        ) or RunningCall(deadline_seconds=self._grant.max_execution_seconds, depth=0, chain=())
        check_callee(me, callee, self._grant.callees)
        inherited = inherit(me, callee, served)
        return replace(inherited, deadline_seconds=_earlier(inherited.deadline_seconds, head))

    def _call(self, head: RequestHead, size: int, inherited: RunningCall) -> Call:
        has_tool = bool(head.header(b"x-tool"))
        return Call(
            request_id=self._neighbours.new_request_id(),
            deadline_seconds=inherited.deadline_seconds,
            tool=(_header(head, b"x-tool", _WORD) or "(none)") if has_tool else "",
            content_type=_header(head, b"content-type", _TYPE) or "application/json",
            content_length=size,
            caller=f"plugin:{self._grant.plugin_id}",
            traceparent=_header(head, b"traceparent", _WORD) or inherited.traceparent,
        )

    async def _while_connected(
        self,
        callee: str,
        call: Call,
        body: bytes,
        inherited: RunningCall,
        client: ClientConnection,
    ) -> Reply | CallFailure:
        """The call's result; a caller that hangs up meanwhile ends it."""
        async with asyncio.TaskGroup() as group:
            calling = group.create_task(self._result(callee, call, body, inherited))
            watching = group.create_task(client.reader.wait())
            await asyncio.wait({calling, watching}, return_when=asyncio.FIRST_COMPLETED)
            calling.cancel()  # nothing, where it is done
            watching.cancel()
        if not calling.cancelled():
            return calling.result()
        if client.reader.pending:
            raise malformed("found a second request before the first one's answer")
        raise ConnectionResetError

    async def _result(
        self, callee: str, call: Call, body: bytes, inherited: RunningCall
    ) -> Reply | CallFailure:
        try:
            async with asyncio.timeout(call.deadline_seconds + _LATE_SECONDS):
                return await self._neighbours.call(callee, call, body, inherited=inherited)
        except TimeoutError:
            detail = f"{callee} did not answer within {call.deadline_seconds:g} s"
            return CallFailure(code=FailureCode.DEADLINE_EXCEEDED, detail=detail)
        except OrchestratorError as error:
            return CallFailure(
                code=FailureCode.PLUGIN_NOT_RUNNING, detail=str(error), repeat="safe"
            )

    # -------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _body(
        self, head: RequestHead, client: ClientConnection, *, most: int
    ) -> AsyncIterator[bytes]:
        """The body whole, accounted for while the block lasts."""
        body = bytearray()
        try:
            async with self._in_time("a request's body"):
                if head.content_length > most:
                    raise _too_large(most)
                await self._ask_for_body(head, client)
                async for piece in client.reader.body(head):
                    self._buffered += len(piece)
                    body += piece
                    self._bound(len(body), most)
            if client.reader.pending:
                raise malformed("found a second request before the first one's answer")
            yield bytes(body)
        finally:
            self._buffered -= len(body)

    def _bound(self, size: int, most: int) -> None:
        if size > most:
            raise _too_large(most)
        if self._buffered > self._bounds.max_buffered_bytes:
            raise Refused(
                RefusalCode.RATE_LIMITED,
                f"found more than {self._bounds.max_buffered_bytes} bytes of bodies at one time",
            )

    async def _ask_for_body(self, head: RequestHead, client: ClientConnection) -> None:
        if head.header(b"expect"):
            await client.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    @asynccontextmanager
    async def _in_time(self, what: str) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._bounds.request_seconds):
                yield
        except TimeoutError:
            raise Refused(
                RefusalCode.REQUEST_TIMEOUT,
                f"found no end of {what} within {self._bounds.request_seconds:g} s",
            ) from None


def _too_large(most: int) -> Refused:
    return Refused(
        RefusalCode.REQUEST_TOO_LARGE, f"found a body of more than {most} bytes, expected less"
    )


def _earlier(deadline_seconds: float, head: RequestHead) -> float:
    """The caller may ask for less time than it has."""
    wished = head.header(b"x-deadline-ms")
    if not _MILLISECONDS.fullmatch(wished):
        return deadline_seconds
    return max(0.001, min(deadline_seconds, int(wished) / 1000))


def _header(head: RequestHead, name: bytes, shape: re.Pattern[bytes]) -> str:
    value = head.header(name)
    return value.decode() if shape.fullmatch(value) else ""


def _with_type(answer: tuple[int, bytes]) -> tuple[int, str, bytes]:
    return answer[0], PROBLEM_TYPE, answer[1]


def _json(status: int, value: object) -> _Answer:
    return _Answer(status, "application/json", json.dumps(value).encode())
