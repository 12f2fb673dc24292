"""A host broker on a real socket, and neighbours whose answers the test chooses."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.clock import SystemClock
from orchestrator.sandbox.call import Call, CallFailure, Reply
from orchestrator.sandbox.callers import CallLedger, RunningCall
from orchestrator.sandbox.host_api import Callee, HostBounds, HostGrant
from orchestrator.sandbox.host_broker import HOST_SOCKET, HostBroker
from orchestrator.sandbox.host_events import Publication
from tests.unit.sandbox.broker_house import MemoryAuditor, SlowClock

GRANT = HostGrant(
    plugin_id="asker",
    publishes=("order.created", "stock.*"),
    callees=frozenset({"helper", "asker", "gone"}),
    max_execution_seconds=30.0,
)

OK = Reply(status=200, content_type="application/json", body=b'{"ok": true}')


@dataclass(frozen=True)
class Made:
    """One call as a neighbour got it."""

    plugin_id: str
    call: Call
    body: bytes
    inherited: RunningCall


@dataclass
class Neighbourhood:
    """Fakes of everything around a host broker."""

    callers: CallLedger = field(default_factory=lambda: CallLedger(SystemClock().monotonic))
    result: Reply | CallFailure | Exception = OK
    made: list[Made] = field(default_factory=list)
    published: list[Publication] = field(default_factory=list)
    hold: asyncio.Event | None = None
    cancelled: int = 0

    async def call(
        self, plugin_id: str, call: Call, body: bytes, *, inherited: RunningCall
    ) -> Reply | CallFailure:
        self.made.append(Made(plugin_id, call, body, inherited))
        try:
            if self.hold is not None:
                await self.hold.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    async def publish(self, publication: Publication) -> str:
        self.published.append(publication)
        return f"e{len(self.published)}"

    def find(self, plugin_id: str) -> Callee | None:
        if plugin_id == "gone":
            return None
        return Callee(
            plugin_id=plugin_id,
            name=plugin_id.title(),
            version="1.2.3",
            description="helps",
            running=True,
            tools=(),
        )

    def failure(self, failure: CallFailure) -> tuple[int, bytes]:
        return 503, json.dumps({"code": failure.code, "detail": failure.detail}).encode()

    def new_request_id(self) -> str:
        return f"h{len(self.made) + 1}"


@dataclass
class HostHouse:
    path: Path
    broker: HostBroker
    neighbours: Neighbourhood
    auditor: MemoryAuditor
    clock: SlowClock


@asynccontextmanager
async def host_house(
    folder: Path, bounds: HostBounds | None = None, grant: HostGrant = GRANT
) -> AsyncIterator[HostHouse]:
    neighbours, auditor, clock = Neighbourhood(), MemoryAuditor(), SlowClock()
    broker = HostBroker(
        grant=grant,
        neighbours=neighbours,
        auditor=auditor,
        clock=clock,
        bounds=bounds,
    )
    await broker.open(folder)
    try:
        yield HostHouse(folder / HOST_SOCKET, broker, neighbours, auditor, clock)
    finally:
        broker.close()
        await asyncio.sleep(0.01)


def post(path: str, body: bytes = b"{}", headers: str = "") -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: host\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    ).encode() + body


def execute(callee: str = "helper", body: bytes = b"{}", headers: str = "") -> bytes:
    return post(f"/v1/plugins/{callee}/execute", body, headers)


def event(**fields: object) -> bytes:
    whole = {"specversion": "1.0", "type": "order.created", "id": "1", "source": "me", **fields}
    return post("/v1/events", json.dumps(whole).encode())
