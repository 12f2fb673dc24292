"""The plugins' own pages, each plugin on an origin of its own: `http://<id>.localhost:<port>`.

A plugin's page is a stranger's program in the operator's browser. So it gets no origin that means
anything elsewhere: browsers resolve `*.localhost` to this machine and take each name for a site of
its own, and the daemon's API is not on that listener at all. Who may look is told by a key that
opens one plugin's pages and nothing more.
"""

import asyncio
import hashlib
import hmac
import itertools
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Protocol
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.manager.deployment import Deployment
from orchestrator.model.permissions import PermissionKind
from orchestrator.sandbox.call import Call, CallFailure, FailureCode, Reply
from orchestrator.sandbox.desk import Door, invoke
from orchestrator.server.problems import PROBLEM_TYPE, error_problem, failure_problem

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
MAX_BODY_BYTES: Final = 1 << 20
PAGE_SECONDS: Final = 10.0
_SAFE: Final = frozenset({"GET", "HEAD"})
_PAGE: Final = re.compile(
    r"/plugins/(?P<id>[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?)/ui/(?P<path>[\x21-\x7e]{0,1024})"
)
_QUERY: Final = re.compile(r"[\x21-\x7e]{0,2048}")
_ENTRY: Final = re.compile(r"key=([0-9a-f]{64})")
_TYPE: Final = re.compile(r"[\x20-\x7e]{1,256}")
_REQUEST_IDS = itertools.count(1)

# What a page may do is said here once, whatever the plugin sends. `sandbox` keeps it from opening
# windows, dialogues and downloads; the origin stays its own, or its style sheets would not come.
_CONTENT_POLICY: Final = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' data: blob:; "
    "connect-src 'self'; worker-src 'none'; frame-src 'none'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'self'; webrtc 'block'; "
    "sandbox allow-scripts allow-forms allow-same-origin"
)
PAGE_HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Content-Security-Policy": _CONTENT_POLICY,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Origin-Agent-Cluster": "?1",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=(), clipboard-read=(), "
        "display-capture=(), usb=(), serial=(), hid=(), bluetooth=(), midi=(), payment=()",
        # Not no-referrer: with it a form's own POST would say `Origin: null`.
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "X-DNS-Prefetch-Control": "off",
        "X-Frame-Options": "DENY",
        "Cache-Control": "no-store",
    }
)


class UiForbidden(OrchestratorError):
    """No key, the wrong key, the wrong host, or a request from another origin."""

    kind, code = Kind.DENIED, "ui_forbidden"


class UiNotFound(OrchestratorError):
    """The plugin has no pages, or the address is none of a page."""

    kind, code = Kind.NOT_FOUND, "ui_not_found"


class UiTimeout(OrchestratorError):
    """A browser took too long to send what it began."""

    kind, code = Kind.TIMEOUT, "ui_timeout"


class Pages(Protocol):
    """Who knows which plugins may show pages."""

    def page_sandbox(self, plugin_id: str) -> Door | CallFailure:
        """Raises UiNotFound for a plugin without the permission user_interface."""


class Deployments(Protocol):
    """The manager, as far as pages need it."""

    def deployment(self, plugin_id: str) -> Deployment:
        """Raises PluginNotFound."""


class Sandboxes(Protocol):
    """The router of calls."""

    def route(self, plugin_id: str) -> Door | CallFailure: ...


class GrantedPages:
    """Pages are for plugins whose grant has user_interface; asked anew for every request."""

    def __init__(self, deployments: Deployments, sandboxes: Sandboxes) -> None:
        self._deployments = deployments
        self._sandboxes = sandboxes

    def page_sandbox(self, plugin_id: str) -> Door | CallFailure:
        if not has_pages(self._deployments.deployment(plugin_id)):
            raise UiNotFound(
                f"found {plugin_id}, which is not granted user_interface, "
                "expected a plugin with pages"
            )
        return self._sandboxes.route(plugin_id)


def has_pages(deployment: Deployment) -> bool:
    """Whether its grant has user_interface."""
    kinds = {permission.kind for permission in deployment.grant.permissions}
    return PermissionKind.USER_INTERFACE in kinds


class UiKeys:
    """One key a plugin, from one secret of the daemon's; none is stored.

    The key in an address and the cookie that it becomes are different values: who finds an old
    cookie has no address to open.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def key(self, plugin_id: str) -> str:
        return self._code("key", plugin_id)

    def session(self, plugin_id: str) -> str:
        return self._code("session", plugin_id)

    def fits(self, plugin_id: str, key: str) -> bool:
        return hmac.compare_digest(self.key(plugin_id).encode(), key.encode())

    def fits_session(self, plugin_id: str, cookie: str) -> bool:
        return hmac.compare_digest(self.session(plugin_id).encode(), cookie.encode())

    def _code(self, purpose: str, plugin_id: str) -> str:
        return hmac.new(self._secret, f"{purpose}:{plugin_id}".encode(), hashlib.sha256).hexdigest()


class UiApp:
    """`/plugins/<id>/ui/…` on the listener for pages; `port` is the listener's own."""

    def __init__(self, *, pages: Pages, keys: UiKeys, port: int) -> None:
        self._pages = pages
        self._keys = keys
        self._port = port
        # Cookies do not tell ports apart: another instance's must not overwrite ours.
        self._cookie = f"orchestrator_ui_{port}"

    def app(self) -> Starlette:
        return Starlette(
            routes=[Route("/{path:path}", self.page, methods=[*METHODS])],
            exception_handlers={OrchestratorError: _problem, HTTPException: _refused_method},
        )

    def address(self, plugin_id: str) -> str:
        """What an operator opens: the key is taken out of the address at the first look.

        Raises UiNotFound, PluginNotFound.
        """
        self._pages.page_sandbox(plugin_id)
        return f"{self._origin(plugin_id)}{_root(plugin_id)}?key={self._keys.key(plugin_id)}"

    async def page(self, request: Request) -> Response:
        plugin_id, path = _split(request)
        if request.headers.getlist("host") != [self._host(plugin_id)]:
            # Anybody's name can lead to this machine (DNS rebinding); only ours counts.
            raise UiForbidden(f"found another host, expected {self._host(plugin_id)}")
        if request.headers.get("service-worker") is not None:
            raise UiForbidden("found a service worker, expected none: pages may not have any")
        entry = _ENTRY.fullmatch(request.url.query)
        if entry is not None and not path and request.method == "GET":
            return self._let_in(plugin_id, entry[1])
        self._check(plugin_id, request)
        sandbox = self._pages.page_sandbox(plugin_id)
        if isinstance(sandbox, CallFailure):
            return _failure(sandbox)
        return await self._ask(sandbox, request, path)

    def _let_in(self, plugin_id: str, key: str) -> Response:
        if not self._keys.fits(plugin_id, key):
            raise UiForbidden(
                "found a key that does not fit; `orchestrator ui PLUGIN` prints the right one"
            )
        answer = RedirectResponse(_root(plugin_id), status_code=303, headers=PAGE_HEADERS)
        answer.set_cookie(
            self._cookie,
            self._keys.session(plugin_id),
            httponly=True,
            samesite="strict",
            path=_root(plugin_id),
        )
        return answer

    def _check(self, plugin_id: str, request: Request) -> None:
        """Whoever asks is the plugin's own page, or the operator's address bar."""
        if not any(self._keys.fits_session(plugin_id, value) for value in self._cookies(request)):
            raise UiForbidden("found no key; `orchestrator ui PLUGIN` prints the address with it")
        origin = request.headers.get("origin")
        expected = self._origin(plugin_id)
        if origin != expected and (origin is not None or request.method not in _SAFE):
            raise UiForbidden(f"found origin {(origin or 'none')[:100]!r}, expected {expected}")
        site = request.headers.get("sec-fetch-site", "none")
        if site not in {"same-origin", "none"}:
            raise UiForbidden(f"found a {site[:20]!r} request, expected one of the page's own")

    def _cookies(self, request: Request) -> list[str]:
        """All of our name: a page can put one of its own before ours, but not take ours away."""
        pairs = ";".join(request.headers.getlist("cookie")).split(";")
        named = [pair.strip().partition("=") for pair in pairs]
        return [value for name, _, value in named if name == self._cookie]

    async def _ask(self, sandbox: Door, request: Request, path: str) -> Response:
        body = await _body(request)
        if body is None:
            detail = f"found a body of more than {MAX_BODY_BYTES} bytes, expected at most that"
            return _failure(CallFailure(code=FailureCode.REQUEST_TOO_LARGE, detail=detail))
        reply = await invoke(sandbox, _call(request, path, len(body), sandbox), body)
        return _failure(reply) if isinstance(reply, CallFailure) else _page(reply)

    def _host(self, plugin_id: str) -> str:
        return f"{plugin_id}.localhost:{self._port}"

    def _origin(self, plugin_id: str) -> str:
        return f"http://{self._host(plugin_id)}"


def _root(plugin_id: str) -> str:
    return f"/plugins/{plugin_id}/ui/"


def _split(request: Request) -> tuple[str, str]:
    """(plugin, path of the page) as they were sent: decoded, `%3F` would begin a query."""
    raw: bytes = request.scope["raw_path"]
    match = _PAGE.fullmatch(raw.decode("latin-1"))
    if match is None or not _QUERY.fullmatch(request.url.query):
        raise UiNotFound("found an address of no page, expected /plugins/PLUGIN/ui/…")
    names = re.split(r"[/\\]", unquote(match["path"]))
    if not {".", ".."}.isdisjoint(names) or any("\0" in name for name in names):
        raise UiNotFound("found an address that leads upwards, expected a page's own")
    return match["id"], match["path"]


def _call(request: Request, path: str, length: int, sandbox: Door) -> Call:
    query = f"?{request.url.query}" if request.url.query else ""
    content_type = request.headers.get("content-type", "")
    return Call(
        request_id=f"ui-{next(_REQUEST_IDS)}",
        deadline_seconds=sandbox.deadline_seconds(PAGE_SECONDS),
        # A plugin need not know that an answer to HEAD has no body: the listener cuts it off.
        method="GET" if request.method == "HEAD" else request.method,
        path=f"/v1/ui/{path}{query}",
        content_type=content_type if _TYPE.fullmatch(content_type) else "application/octet-stream",
        content_length=length,
        caller="ui",
    )


async def _body(request: Request) -> bytes | None:
    """None: it is too large. Raises UiTimeout."""
    body = bytearray()
    try:
        async with asyncio.timeout(PAGE_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    return None
    except TimeoutError as error:
        raise UiTimeout(f"found no end of the body within {PAGE_SECONDS:g} s") from error
    except ClientDisconnect as error:
        raise UiTimeout("found the end of the connection, expected the rest of a body") from error
    return bytes(body)


def _page(reply: Reply) -> Response:
    """The plugin's status, type and body; nothing else of what it sent."""
    # In a multipart answer each part would bring headers of its own.
    plain = _TYPE.fullmatch(reply.content_type) and not re.match(
        r"\s*multipart/", reply.content_type, re.IGNORECASE
    )
    content_type = reply.content_type if plain else "application/octet-stream"
    headers = {**PAGE_HEADERS, "Content-Type": content_type}
    return Response(reply.body, status_code=reply.status, headers=headers)


def _failure(failure: CallFailure) -> Response:
    status, body = failure_problem(failure)
    return Response(body, status_code=status, media_type=PROBLEM_TYPE, headers=PAGE_HEADERS)


async def _problem(request: Request, error: Exception) -> Response:
    if not isinstance(error, OrchestratorError):
        raise error
    status, body = error_problem(error)
    return Response(body, status_code=status, media_type=PROBLEM_TYPE, headers=PAGE_HEADERS)


async def _refused_method(request: Request, error: Exception) -> Response:
    """OPTIONS among them: no other origin is ever promised anything."""
    return Response(status_code=405, headers={**PAGE_HEADERS, "Allow": ", ".join(METHODS)})
