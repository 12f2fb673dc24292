"""Asks the daemon's API for events; the house has one plugin that subscribes and does not run."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from orchestrator.model.events import EventName
from tests.unit.manager.permission_house import PermissionHouse

SECONDS = 20.0


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def ask(house: PermissionHouse, method: str, target: str, wish: object = None) -> Answer:
    """One request, as uvicorn would hand it to the application."""
    path, _, query = target.partition("?")
    body = wish if isinstance(wish, bytes) else json.dumps(wish or {}).encode()
    answer, sent = Answer(), asyncio.Event()

    async def receive() -> dict[str, Any]:
        if sent.is_set():
            await asyncio.sleep(SECONDS)
        sent.set()
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {k.decode(): v.decode() for k, v in message["headers"]}
        else:
            answer.body += message.get("body", b"")

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [],
        "http_version": "1.1",
        "scheme": "http",
        "server": ("orchestrator", 80),
        "client": None,
        "root_path": "",
    }
    async with asyncio.timeout(SECONDS):
        await house.daemon.api.app()(cast("Any", scope), receive, cast("Any", send))
    return answer


@asynccontextmanager
async def asked_house(tmp_path: Path) -> AsyncIterator[PermissionHouse]:
    """`notes` subscribes and does not run: what comes waits."""
    house = PermissionHouse(tmp_path)
    house.policy(events={"max_pending": 2, "max_published": 3})
    house.plugin(permissions=[], subscribes=["order.*", str(EventName.PLUGIN_OOM)])
    house.manifest()
    async with house.open():
        await house.up()
        yield house


async def publish(house: PermissionHouse, event_type: str = "order.created", **wish: Any) -> Answer:
    return await ask(house, "POST", "/v1/events", {"type": event_type, **wish})
