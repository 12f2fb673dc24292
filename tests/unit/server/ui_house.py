"""A listener for pages with a browser before it and a plugin behind it, on real sockets."""

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.engine.base import LogLine
from orchestrator.manager.manager import PluginNotFound
from orchestrator.sandbox.call import CallFailure
from orchestrator.sandbox.sandbox import PluginSandbox
from orchestrator.server.logs_web import LogsWeb
from orchestrator.server.ui import UiKeys, UiNotFound
from orchestrator.server.ui_server import UiListener
from tests.unit.sandbox.house import SECONDS, Dialled, House, Request

SECRET = b"the daemon's own"
LOGS_KEY = "5ec8e7"


@dataclass
class FakePages:
    """What the test put there has pages."""

    sandboxes: dict[str, PluginSandbox | CallFailure] = field(default_factory=dict)

    def page_sandbox(self, plugin_id: str) -> PluginSandbox | CallFailure:
        if plugin_id not in self.sandboxes:
            raise UiNotFound(f"found no pages of {plugin_id!r}")
        return self.sandboxes[plugin_id]


@dataclass
class WrittenLogs:
    """PluginLogs whose lines the test wrote; `more` holds what comes while they are followed."""

    lines_of: dict[str, list[LogLine]] = field(default_factory=dict)
    more: asyncio.Queue[LogLine] = field(default_factory=asyncio.Queue)
    asked: list[dict[str, Any]] = field(default_factory=list)
    open_now: int = 0
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    def lines(
        self, plugin_id: str, *, follow: bool, since: float, tail: int | None
    ) -> AsyncGenerator[LogLine, None]:
        if plugin_id not in self.lines_of:
            raise PluginNotFound(f"found no plugin {plugin_id!r}")
        self.asked.append({"follow": follow, "since": since, "tail": tail})
        return self._read(self.lines_of[plugin_id][-(tail or 0) :], since=since, follow=follow)

    async def _read(
        self, lines: list[LogLine], *, since: float, follow: bool
    ) -> AsyncGenerator[LogLine, None]:
        self.open_now += 1
        try:
            for line in lines:
                if line.at >= since:
                    yield line
            while follow:
                yield await self.more.get()
        finally:
            self.open_now -= 1
            self.closed.set()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def header(self, name: str) -> str:
        [value] = self.values(name)
        return value

    @property
    def code(self) -> str:
        """Of a problem of the host's own."""
        assert self.header("content-type") == "application/problem+json"
        code: str = json.loads(self.body)["code"]
        return code


class UiHouse(House):
    """The plugin `echo` has pages; `self.port` is where browsers find them."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.pages = FakePages()
        self.keys = UiKeys(SECRET)
        self.wanted: int | None = 0
        self.written = WrittenLogs()
        self.logs = LogsWeb(logs=self.written, key=LOGS_KEY)
        self.listener = UiListener(
            pages=self.pages, keys=self.keys, logs=self.logs, wanted=lambda: self.wanted
        )
        self.line: Dialled

    async def open(self) -> None:
        sandbox, _, [self.line] = await self.ready()
        self.pages.sandboxes["echo"] = sandbox
        await self.listener.settle()

    @property
    def host(self) -> str:
        return f"echo.localhost:{self.listener.port}"

    @property
    def origin(self) -> str:
        return f"http://{self.host}"

    @property
    def cookie(self) -> str:
        """What a browser that was let in sends."""
        return f"orchestrator_ui_{self.listener.port}={self.keys.session('echo')}"

    def plain(self, **more: str | None) -> dict[str, str]:
        """Headers of a browser that was let in, with `more` over them; None leaves one out."""
        headers: dict[str, str | None] = {"Host": self.host, "Cookie": self.cookie}
        headers |= {name.replace("_", "-").title(): value for name, value in more.items()}
        return {name: value for name, value in headers.items() if value is not None}

    async def ask(
        self,
        target: str = "/plugins/echo/ui/",
        *,
        method: str = "GET",
        body: bytes = b"",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        sent = self.plain() if headers is None else headers
        lines = [f"{method} {target} HTTP/1.1", *(f"{k}: {v}" for k, v in sent.items())]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        return await self.raw("\r\n".join([*lines, "", ""]).encode("latin-1") + body, method)

    async def raw(self, data: bytes, method: str = "GET") -> Answer:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.listener.port)
        try:
            async with asyncio.timeout(SECONDS):
                writer.write(data)
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
                pairs = [row.partition(": ") for row in head[1:]]
                headers = [(name.lower(), value) for name, _, value in pairs]
                length = int(dict(headers).get("content-length", "0")) if method != "HEAD" else 0
                return Answer(int(head[0].split()[1]), headers, await reader.readexactly(length))
        finally:
            writer.close()

    async def served(
        self,
        page: bytes = b"page",
        *,
        status: int = 200,
        sent: str = "Content-Type: text/html\r\n",
        **request: Any,
    ) -> tuple[Answer, Request]:
        """A request that reaches the plugin: what the browser got, what the plugin was asked."""
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(self.ask(**request))
            seen = await self.line.request()
            self.line.answer(page, status=status, headers=sent)
        return asked.result(), seen

    async def stop(self) -> None:
        self.listener.close()
        self.close()
        await asyncio.sleep(0.01)
