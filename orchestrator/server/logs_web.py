"""The plugins' logs in a browser: `http://127.0.0.1:<port>/plugins/<id>/logs`, on the pages' port.

No plugin has this origin: theirs are names below `localhost`. What a plugin wrote is a stranger's
text, so the page that shows it is the same for all, puts lines in as text only, and may load
nothing from anywhere else. Who may read is told by a key in a header that no other page can send;
it is in no cookie, as those would go to every port of this machine.
"""

import hmac
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from orchestrator.engine.base import LogLine
from orchestrator.errors import Kind, OrchestratorError
from orchestrator.server.problems import PROBLEM_TYPE, RETRY_AFTER_SECONDS, error_problem
from orchestrator.server.query import number

HOST: Final = "127.0.0.1"
MAX_LINES: Final = 5_000
"""In one answer that is not followed; what is more is told by a last line of its own."""
MAX_FOLLOWED: Final = 16
"""Answers at one time that go on as new lines come: each holds a stream of the engine's."""
_FOLDER: Final = Path(__file__).with_name("logs_page")
_HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
        "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Cache-Control": "no-store",
    }
)


class LogsForbidden(OrchestratorError):
    """No key, or one that does not fit."""

    kind, code = Kind.DENIED, "logs_forbidden"


class TooManyReaders(OrchestratorError):
    """As many follow logs as may."""

    kind, code = Kind.OVERLOADED, "too_many_log_readers"


class Logs(Protocol):
    """See manager/plugin_logs.py."""

    def lines(
        self, plugin_id: str, *, follow: bool, since: float, tail: int | None
    ) -> AsyncGenerator[LogLine, None]:
        """Raises PluginNotFound, before any line."""


class LogsWeb:
    """`key` opens every plugin's log; it fits for as long as the daemon lives."""

    def __init__(self, *, logs: Logs, key: str) -> None:
        self.wanted = False
        """Whether somebody asked where the pages are; from then on they are served."""
        self._logs = logs
        self._key = key
        self._followed = 0

    def address(self, plugin_id: str, port: int) -> str:
        """With the key behind `#`, where a browser sends it to nobody. Raises PluginNotFound."""
        self._logs.lines(plugin_id, follow=False, since=0.0, tail=1)
        return f"{origin(port)}/plugins/{plugin_id}/logs#key={self._key}"

    def app(self, port: int) -> ASGIApp:
        """For requests whose Host is `127.0.0.1:<port>`, and for no other."""
        return Starlette(
            routes=[
                Route("/plugins/{plugin_id}/logs", _page, methods=["GET"]),
                Route("/plugins/{plugin_id}/logs/lines", self.lines, methods=["GET"]),
                Route("/logs/page.js", _script, methods=["GET"]),
                Route("/logs/page.css", _style, methods=["GET"]),
            ],
            exception_handlers={OrchestratorError: _problem, HTTPException: _nothing},
        )

    async def lines(self, request: Request) -> Response:
        """JSON lines {stream, at, text}: from `since` to `until`, in seconds since the epoch."""
        self._check(request)
        follow = request.query_params.get("follow") == "1"
        since, until = number(request, "since"), number(request, "until")
        tail = min(int(number(request, "tail")), MAX_LINES) or None
        if follow and self._followed >= MAX_FOLLOWED:
            raise TooManyReaders(
                f"found {MAX_FOLLOWED} pages that follow logs, expected fewer: close one"
            )
        plugin_id: str = request.path_params["plugin_id"]
        found = self._logs.lines(plugin_id, follow=follow, since=since, tail=tail)
        chosen = self._follow(found) if follow else _window(found, until)
        return StreamingResponse(chosen, media_type="application/x-ndjson", headers=_HEADERS)

    def _check(self, request: Request) -> None:
        kind, _, key = request.headers.get("authorization", "").partition(" ")
        if kind != "Bearer" or not hmac.compare_digest(key.encode(), self._key.encode()):
            raise LogsForbidden(
                "found no key that fits; `orchestrator logs PLUGIN --web` prints the right address"
            )

    async def _follow(self, lines: AsyncGenerator[LogLine, None]) -> AsyncIterator[bytes]:
        self._followed += 1
        try:
            async with aclosing(lines):
                async for line in lines:
                    yield _encoded(asdict(line))
        finally:
            self._followed -= 1


def origin(port: int) -> str:
    """Where the logs' pages are."""
    return f"http://{HOST}:{port}"


async def _window(lines: AsyncGenerator[LogLine, None], until: float) -> AsyncIterator[bytes]:
    count = 0
    async with aclosing(lines):
        async for line in lines:
            if until and line.at > until:
                return
            if count == MAX_LINES:
                yield _encoded({"more": True})
                return
            count += 1
            yield _encoded(asdict(line))


def _encoded(line: dict[str, object]) -> bytes:
    return json.dumps(line).encode() + b"\n"


async def _page(request: Request) -> Response:
    return _file("page.html", "text/html; charset=utf-8")


async def _script(request: Request) -> Response:
    return _file("page.js", "text/javascript; charset=utf-8")


async def _style(request: Request) -> Response:
    return _file("page.css", "text/css; charset=utf-8")


def _file(name: str, content_type: str) -> Response:
    headers = {**_HEADERS, "Content-Type": content_type}
    return Response((_FOLDER / name).read_bytes(), headers=headers)


async def _problem(request: Request, error: Exception) -> Response:
    if not isinstance(error, OrchestratorError):
        raise error
    status, body = error_problem(error)
    later = {"Retry-After": str(RETRY_AFTER_SECONDS)} if error.kind is Kind.OVERLOADED else {}
    return Response(
        body, status_code=status, media_type=PROBLEM_TYPE, headers={**_HEADERS, **later}
    )


async def _nothing(request: Request, error: Exception) -> Response:
    """Another address, or another method."""
    status = error.status_code if isinstance(error, HTTPException) else 404
    return Response(status_code=status, headers=_HEADERS)
