"""UiListener: where browsers find the plugins' pages and logs, on loopback and only while wanted.

Both loopback addresses are taken where the machine has both: browsers try `::1` first, and another
user of the machine who listened there would be sent the operator's key.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.server.logs_web import HOST, LogsWeb, origin
from orchestrator.server.loopback import LoopbackServer
from orchestrator.server.ui import Pages, UiApp, UiKeys

LOOK_SECONDS: Final = 1.0


class UiUnavailable(OrchestratorError):
    """Nobody listens for browsers: the port is taken, or nothing is to be shown."""

    kind, code = Kind.UNAVAILABLE, "ui_unavailable"


class UiListener:
    """`wanted` says which port should be listened on now; 0 takes any free one, None none.

    All of it runs in the daemon's loop.
    """

    def __init__(
        self, *, pages: Pages, keys: UiKeys, logs: LogsWeb, wanted: Callable[[], int | None]
    ) -> None:
        self._pages = pages
        self._keys = keys
        self._logs = logs
        self._wanted = wanted
        self._asked: int | None = None
        """The port asked for, while it is listened on."""
        self._app: UiApp | None = None
        self._server: LoopbackServer | None = None
        self._one = asyncio.Lock()
        self.trouble = ""
        """Why it does not listen though it should."""

    @property
    def port(self) -> int:
        """Where it listens; 0 while it does not."""
        return self._server.port if self._server is not None else 0

    @property
    def logs_origin(self) -> str:
        """Where the logs' pages are; empty while nobody listens."""
        return origin(self.port) if self._server is not None else ""

    async def run(self) -> None:
        """Until it is cancelled; then nobody listens any more."""
        try:
            while True:
                await self.settle()
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            self.close()

    async def settle(self) -> None:
        """Listen as is wanted now; what stands in the way is in `trouble`."""
        async with self._one:
            wanted = self._wanted()
            if wanted is not None and wanted == self._asked:
                return
            self.close()
            if wanted is None:
                return
            try:
                self._server = await LoopbackServer.open(wanted, self._app_at)
                self._asked = wanted
            except OSError as error:
                self.close()
                self.trouble = (
                    f"policy.ui.port: found {wanted} ({error.strerror or error}), "
                    "expected a free port of this machine"
                )

    async def address(self, plugin_id: str) -> str:
        """Where the plugin's pages are, with their key.

        Raises UiUnavailable, UiNotFound, PluginNotFound.
        """
        self._pages.page_sandbox(plugin_id)  # first: a wrong name is no trouble of ours
        await self.settle()
        if self._app is None:
            raise UiUnavailable(self.trouble or "no plugin has pages now")
        return self._app.address(plugin_id)

    async def logs_address(self, plugin_id: str) -> str:
        """Where the plugin's log is, with the key that opens every log.

        Raises UiUnavailable, PluginNotFound.
        """
        self._logs.address(plugin_id, 0)  # first: a wrong name is no trouble of ours
        self._logs.wanted = True
        await self.settle()
        if self._server is None:
            raise UiUnavailable(self.trouble)
        return self._logs.address(plugin_id, self.port)

    def close(self) -> None:
        """Nobody listens, and every browser's connection ends."""
        if self._server is not None:
            self._server.close()
        self._server, self._app, self._asked, self.trouble = None, None, None, ""

    def _app_at(self, port: int) -> ASGIApp:
        self._app = UiApp(pages=self._pages, keys=self._keys, port=port)
        pages, logs, host = self._app.app(), self._logs.app(port), f"{HOST}:{port}".encode()

        async def by_host(scope: Scope, receive: Receive, send: Send) -> None:
            hosts = [value for name, value in scope["headers"] if name == b"host"]
            await (logs if hosts == [host] else pages)(scope, receive, send)

        return by_host


def ui_route(listener: UiListener) -> Route:
    """`GET /v1/plugins/{id}/ui` of the daemon's own API: the address, for the operator."""

    async def address(request: Request) -> Response:
        return JSONResponse({"url": await listener.address(request.path_params["plugin_id"])})

    return Route("/v1/plugins/{plugin_id}/ui", address, methods=["GET"])


def logs_page_route(listener: UiListener) -> Route:
    """`GET /v1/plugins/{id}/logs/page`: where its log is for a browser, for the operator."""

    async def address(request: Request) -> Response:
        url = await listener.logs_address(request.path_params["plugin_id"])
        return JSONResponse({"url": url})

    return Route("/v1/plugins/{plugin_id}/logs/page", address, methods=["GET"])
