"""MetricsListener: `GET /metrics` over TCP for Prometheus, where `monitoring.listen` says so.

Nothing else of the API is here, and nothing can be changed here. A web page must not read it
either: browsers send the name that they looked up as Host, so only addresses are taken there, and
the few names that always mean this machine. Nor may it, or another user of the machine, keep the
daemon from its calls by asking again and again: there is one scrape at a time, and a rest after it.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchestrator.model.monitoring import split_address
from orchestrator.monitoring.exposition import content_type_for

LOOK_SECONDS: Final = 1.0
MAX_CONNECTIONS: Final = 32
"""At one time; more are closed unheard."""
HEAD_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 30.0
MAX_HEAD_BYTES: Final = 16_384
REST: Final = 3.0
"""Times as long as a scrape took, until the next one begins: calls have three quarters at least."""
_ELSEWHERE: Final = frozenset({"cross-site", "same-site"})
"""What browsers say in Sec-Fetch-Site of what another page asks for."""
_NAMES: Final = frozenset({"localhost", "host.docker.internal", "host.containers.internal"})
"""What means this machine to its own programs and to its containers."""
_TEXT: Final = "text/plain; charset=utf-8"
_LOG = logging.getLogger("orchestrator.server")

Scrape = Callable[[str], Awaitable[tuple[str, bytes]]]
"""From what `Accept` says to (content type, text)."""


def metrics_route(scrape: Scrape) -> Route:
    """`GET /metrics` on the daemon's own socket."""

    async def metrics(request: Request) -> Response:
        content_type, text = await scrape(request.headers.get("accept", ""))
        return Response(text, headers={"Content-Type": content_type})

    return Route("/metrics", metrics, methods=["GET"])


class MetricsListener:
    """`wanted` says where to listen now; empty: nowhere. All of it runs in the daemon's loop."""

    def __init__(self, *, scrape: Scrape, wanted: Callable[[], str]) -> None:
        self.trouble = ""
        """Why it does not listen though it should."""
        self.scrape = scrape
        self._wanted = wanted
        self._asked = ""
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._one = asyncio.Lock()
        self._last: dict[str, tuple[float, tuple[str, bytes]]] = {}
        """Format → (when it was begun, the last answer)."""
        self._rest_until = 0.0

    @property
    def port(self) -> int:
        """Where it listens; 0 while it does not."""
        if self._server is None:
            return 0
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def state(self) -> str:
        """Where it listens, or why not; for `status`."""
        return self.trouble or (self._asked if self._server is not None else "not listening")

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
        wanted = self._wanted()
        if wanted == self._asked and (self._server is not None or not wanted):
            return
        self.close()
        self._asked = wanted
        if not wanted:
            self.trouble = ""
            return
        address, port = split_address(wanted)
        try:
            self._server = await asyncio.start_server(
                self._serve, address, port, limit=MAX_HEAD_BYTES
            )
        except OSError as error:
            trouble = (
                f"monitoring.listen: found {wanted} ({error.strerror or error}), "
                "expected an address of this machine and a free port of it"
            )
            if trouble != self.trouble:
                _LOG.error("%s", trouble)
            self.trouble = trouble
        else:
            self.trouble = ""

    def close(self) -> None:
        """Nobody listens, and every connection ends."""
        if self._server is not None:
            self._server.close()
        for writer in self._open:
            writer.transport.abort()
        self._server, self._asked = None, ""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request a connection; the task is the server's."""
        if len(self._open) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        self._open.add(writer)
        try:
            with contextlib.suppress(
                OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError
            ):  # a TimeoutError is an OSError
                async with asyncio.timeout(HEAD_SECONDS):
                    head = await reader.readuntil(b"\r\n\r\n")
                async with asyncio.timeout(ANSWER_SECONDS):
                    writer.write(await self._answer(head))
                    await writer.drain()
                    writer.close()
                    await writer.wait_closed()
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    async def _answer(self, head: bytes) -> bytes:
        line, *rows = head.decode("latin-1").split("\r\n")[:-2]
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (row.partition(":") for row in rows)
        }
        method, _, rest = line.partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        if not is_own_host(headers.get("host", "")):
            return _response(421, _TEXT, b"expected this machine's address as Host\n")
        if path != "/metrics":
            return _response(404, _TEXT, b"expected /metrics\n")
        if method not in {"GET", "HEAD"}:
            return _response(405, _TEXT, b"expected GET\n", more="Allow: GET, HEAD\r\n")
        if headers.get("sec-fetch-site", "") in _ELSEWHERE:
            return _response(403, _TEXT, b"expected no other page to ask for this\n")
        content_type, text = await self._scraped(headers.get("accept", ""))
        return _response(200, content_type, text, whole=method == "GET")

    async def _scraped(self, accept: str) -> tuple[str, bytes]:
        """Never older than the question; whoever asks while others wait has the same as they."""
        clock, kind = asyncio.get_running_loop(), content_type_for(accept)
        asked = clock.time()
        async with self._one:
            began, answer = self._last.get(kind, (0.0, ("", b"")))
            if began > asked:
                return answer
            await asyncio.sleep(self._rest_until - clock.time())
            began = clock.time()
            answer = await self.scrape(accept)
            self._last[kind] = (began, answer)
            self._rest_until = clock.time() + REST * (clock.time() - began)
            return answer


def is_own_host(host: str) -> bool:
    """Whether a Host header is an address, or one of the names of this machine itself."""
    name, _, port = host.rpartition(":")
    if not port.isdecimal():
        name = host
    if name.lower() in _NAMES:
        return True
    with contextlib.suppress(ValueError):
        ip_address(name.removeprefix("[").removesuffix("]"))
        return True
    return False


def _response(
    status: int, content_type: str, body: bytes, *, more: str = "", whole: bool = True
) -> bytes:
    head = (
        f"HTTP/1.1 {status} \r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        f"X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n{more}"
        "Connection: close\r\n\r\n"
    )
    return head.encode("latin-1") + (body if whole else b"")
