"""Dispatcher: from a request to the plugin's method and back, with every failure as a problem.

Shared by the server and the test harness, so that a test sees the answers that the host sees.
"""

import logging
from collections.abc import Callable, Iterator
from threading import Lock
from typing import Any

from orchestrator_sdk.call import CURRENT
from orchestrator_sdk.context import SECRETS_DIR, PluginContext
from orchestrator_sdk.errors import InputError, PluginError
from orchestrator_sdk.host import HostClient
from orchestrator_sdk.interface import PluginEvent, PluginInterface, PluginStatus
from orchestrator_sdk.loop import LoopThread
from orchestrator_sdk.messages import BYTES_TYPE, JSON_TYPE, Reply, Request, problem
from orchestrator_sdk.messages import from_json as _from_json
from orchestrator_sdk.messages import to_json as _to_json
from orchestrator_sdk.pages import PREFIX as _UI_PREFIX
from orchestrator_sdk.pages import ui_reply, ui_request
from orchestrator_sdk.tools import tools_of

_log = logging.getLogger("orchestrator_sdk")

_NEW, _RUNNING, _CLEANED = "is not initialized", "is running", "was cleaned up"


class Dispatcher:
    """One plugin object and its state; every lane's thread calls `handle`."""

    def __init__(
        self,
        plugin: PluginInterface,
        *,
        secrets_dir: str = SECRETS_DIR,
        host: HostClient | None = None,
    ) -> None:
        self._plugin = plugin
        self._tools = tools_of(plugin)
        self._secrets_dir = secrets_dir
        self._host = host
        self._state = _NEW
        self._lifecycle = Lock()
        self._loop = LoopThread()
        self._routes: dict[str, tuple[str, Callable[[Request], Reply]]] = {
            "/v1/execute": ("POST", self._execute),
            "/v1/events": ("POST", self._event),
            "/v1/status": ("GET", self._status),
            "/v1/initialize": ("POST", self._initialize),
            "/v1/cleanup": ("POST", self._cleanup),
        }

    def handle(self, request: Request) -> Reply:
        """Never raises: what the plugin raises becomes a problem, its traceback goes to the log."""
        try:
            route = self._routes.get(request.path)
            if route is None and request.path.startswith(_UI_PREFIX):
                return self._ui(request)
            if route is None:
                return problem(404, "not_found", f"{request.path} is no path of the contract")
            method, handler = route
            if request.method != method:
                detail = f"{request.method} {request.path} found, {method} expected"
                return problem(405, "method_not_allowed", detail)
            return handler(request)
        except PluginError as error:
            return problem(error.status, error.code, error.detail, error.title)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin may raise anything
            return _failed(error)

    def close(self) -> None:
        """Clean the plugin up unless the host had it done, and stop the event loop."""
        if self._state is _RUNNING:
            self.handle(Request("POST", "/v1/cleanup", {}))
        self._loop.close()

    def _execute(self, request: Request) -> Reply:
        self._expect_running()
        name = request.headers.get("x-tool")
        if name is not None:
            return self._reply(self._call_tool(name, request.body))
        content_type = request.headers.get("content-type", JSON_TYPE)
        if not request.body:
            return self._reply(self._plugin.execute(None))
        if content_type == JSON_TYPE or _says_json(content_type):
            return self._reply(self._plugin.execute(_from_json(request.body)))
        return self._reply(self._plugin.execute(request.body))

    def _call_tool(self, name: str, body: bytes) -> Any:
        tool = self._tools.get(name)
        if tool is None:
            offered = ", ".join(sorted(self._tools)) or "none"
            raise PluginError(
                f"tool {name!r} found, one of {offered} expected", 404, None, "no_tool"
            )
        return tool(_object(body) if body else {})

    def _ui(self, request: Request) -> Reply:
        self._expect_running()
        return ui_reply(self._settled(self._plugin.handle_ui(ui_request(request))))

    def _event(self, request: Request) -> Reply:
        self._expect_running()
        event, call = PluginEvent(_object(request.body)), CURRENT.get()
        traceparent = event.extensions.get("traceparent")
        if call is not None and isinstance(traceparent, str):
            call.follow(traceparent)
        self._settled(self._plugin.handle_event(event))
        return Reply(200, b"{}")

    def _status(self, request: Request) -> Reply:
        self._expect_running()
        status = self._settled(self._plugin.get_status())
        if not isinstance(status, PluginStatus):
            found = type(status).__name__
            raise PluginError(f"get_status returned {found}, PluginStatus expected")
        return Reply(200, _to_json(status.as_dict()))

    def _initialize(self, request: Request) -> Reply:
        start = _object(request.body)
        with self._lifecycle:
            if self._state is not _NEW:
                return problem(409, "already_initialized", f"the plugin {self._state}")
            self._plugin.context = self._context(start)
            self._plugin.config = _member(start, "config")
            taken = self._plugin.initialize(self._plugin.config, self._plugin.context)
            if self._settled(taken) is False:
                return problem(500, "initialize_refused", "initialize returned False")
            self._state = _RUNNING
        return Reply(200, b"{}")

    def _context(self, start: dict[str, Any]) -> PluginContext:
        granted = _member(start, "context")
        return PluginContext(
            plugin_id=str(start.get("plugin_id", "")),
            instance_id=str(start.get("instance_id", "")),
            data_dir=granted.get("data_dir"),
            permissions=_member(granted, "permissions"),
            limits=_member(granted, "limits"),
            core_version=str(granted.get("core_version", "")),
            secrets_dir=self._secrets_dir,
            host=self._host,
        )

    def _cleanup(self, request: Request) -> Reply:
        with self._lifecycle:
            before, self._state = self._state, _CLEANED
            if before is _RUNNING and self._settled(self._plugin.cleanup()) is False:
                return problem(500, "cleanup_failed", "cleanup returned False")
        return Reply(200, b"{}")

    def _expect_running(self) -> None:
        if self._state is not _RUNNING:
            raise PluginError(f"the plugin {self._state}", 503, code="not_running")

    def _settled(self, result: Any) -> Any:
        return self._loop.run(result) if hasattr(result, "__await__") else result

    def _reply(self, result: Any) -> Reply:
        result = self._settled(result)
        if isinstance(result, bytes | bytearray | memoryview):
            return Reply(200, bytes(result), BYTES_TYPE)
        if hasattr(result, "__anext__"):
            result = self._loop.iterate(result)
        if hasattr(result, "__next__"):
            return Reply(200, _begun(result), BYTES_TYPE)
        return Reply(200, _to_json(result))


def _begun(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Fetch the first piece before the head is sent, so that an early failure is a problem."""
    return _resumed(next(pieces, b""), pieces)


def _resumed(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield first
        yield from rest
    finally:
        close = getattr(rest, "close", None)
        if close is not None:
            close()


def _failed(error: BaseException) -> Reply:
    call = CURRENT.get()
    if call is not None and call.cancelled():
        _log.warning("the host gave the call up: %s", type(error).__name__)
    else:
        _log.error("the plugin raised %s", type(error).__name__, exc_info=error)
    return problem(500, "plugin_exception", f"{type(error).__name__}: {error}")


def _says_json(content_type: str) -> bool:
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == JSON_TYPE or media_type.endswith("+json")


def _object(body: bytes) -> dict[str, Any]:
    value = _from_json(body)
    if not isinstance(value, dict):
        raise InputError(f"{type(value).__name__} found, a JSON object expected")
    return value


def _member(document: dict[str, Any], name: str) -> dict[str, Any]:
    value = document.get(name) or {}
    if not isinstance(value, dict):
        raise InputError(f"{name}: {type(value).__name__} found, a JSON object expected")
    return value
