"""DaemonClient: a small synchronous client of the daemon's unix socket.

On http.client of the standard library: a command line's start-up time is worth more here than a
richer client, and the daemon is on this machine.
"""

import contextlib
import http.client
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from orchestrator.client.lines import lines_of
from orchestrator.client.problem import problem_of
from orchestrator.client.reach import COMING_SECONDS, connect, reach
from orchestrator.errors import Kind, OrchestratorError
from orchestrator.version import CORE_VERSION

DEFAULT_SECONDS: Final = 30.0
DOWN_SECONDS: Final = 300.0
VERSION_HEADER: Final = "X-Orchestrator-Version"
STOPPING: Final = b'"code": "daemon_stopping"'
_AGAIN_SECONDS: Final = 0.05


class DaemonNotRunning(OrchestratorError):
    """Nobody listens on the instance's socket."""

    kind, code = Kind.UNAVAILABLE, "daemon_not_running"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResult:
    """A plugin's answer, or the problem that stands for it."""

    status: int
    content_type: str
    body: bytes
    retry_after: str = ""
    """When the daemon says to come again; no header of a plugin's own gets here."""


class DaemonClient:
    """One request a connection; `path` is the instance's socket.

    `on_other_version` hears, once, of a daemon whose version is not this client's.
    """

    def __init__(
        self, path: Path, *, on_other_version: Callable[[str], None] | None = None
    ) -> None:
        self._path = path
        self._on_other_version = on_other_version

    @property
    def path(self) -> Path:
        """The instance's socket."""
        return self._path

    def is_running(self) -> bool:
        """Whether somebody listens."""
        try:
            connect(self._path, 2.0).close()
        except OSError:
            return False
        return True

    def status(self, *, seconds: float = DEFAULT_SECONDS) -> dict[str, Any]:
        """The daemon itself. Raises DaemonNotRunning, as all that follow."""
        answer: dict[str, Any] = self._json("GET", "/v1/status", seconds=seconds)
        return answer

    def plugins(self) -> list[dict[str, Any]]:
        """Every plugin's status."""
        answer: list[dict[str, Any]] = self._json("GET", "/v1/plugins")
        return answer

    def plugin(self, plugin_id: str) -> dict[str, Any]:
        """Everything of one plugin. Raises DaemonProblem (plugin_not_found)."""
        answer: dict[str, Any] = self._json("GET", f"/v1/plugins/{plugin_id}")
        return answer

    def explanation(self, plugin_id: str) -> dict[str, Any]:
        """What it may do as it is deployed, as JSON and as lines. Raises DaemonProblem."""
        answer: dict[str, Any] = self._json("GET", f"/v1/plugins/{plugin_id}/explanation")
        return answer

    def apply(
        self,
        paths: list[Path],
        config: Path | None,
        environment: str | None = None,
        *,
        monitoring: bool | None = None,
    ) -> list[str]:
        """Make what `paths` hold wanted; the names. Raises DaemonProblem."""
        wish: dict[str, Any] = {
            "paths": [str(path) for path in paths],
            "config": str(config) if config else None,
        }
        # A daemon of an earlier version knows no such words.
        if environment is not None:
            wish["environment"] = environment
        if monitoring is not None:
            wish["monitoring"] = monitoring
        answer: dict[str, list[str]] = self._json("PUT", "/v1/desired", wish, seconds=900.0)
        return answer["plugins"]

    def monitoring(self) -> dict[str, Any]:
        """The monitoring stack: what is wanted of it, and how it does."""
        answer: dict[str, Any] = self._json("GET", "/v1/monitoring")
        return answer

    def shut_down(self, *, down: bool, volumes: bool) -> dict[str, Any]:
        """End the daemon; with `down` the plugins first."""
        wish = {"down": down, "volumes": volumes}
        answer: dict[str, Any] = self._json("POST", "/v1/shutdown", wish, seconds=DOWN_SECONDS)
        return answer

    def events(self, plugin_id: str | None = None) -> list[dict[str, Any]]:
        """The latest events."""
        query = f"?plugin={plugin_id}" if plugin_id else ""
        answer: list[dict[str, Any]] = self._json("GET", f"/v1/events{query}")
        return answer

    def audit(
        self, *, plugin: str | None, since: float | None, action: str | None, count: int
    ) -> list[dict[str, Any]]:
        """The newest audit records that match, newest last."""
        chosen = {"plugin": plugin, "since": since, "type": action, "count": count}
        query = urlencode({name: value for name, value in chosen.items() if value is not None})
        answer: list[dict[str, Any]] = self._json("GET", f"/v1/audit?{query}")
        return answer

    def audit_verify(self) -> dict[str, Any]:
        """Whether the audit log is whole."""
        answer: dict[str, Any] = self._json("GET", "/v1/audit/verify", seconds=600.0)
        return answer

    def audit_export(self) -> bytes:
        """Every audit record as a JSON line."""
        with contextlib.closing(self._open(600.0)) as connection:
            return self._read(self._send(connection, "GET", "/v1/audit/export", None, {}))

    def logs(
        self, plugin_id: str, *, follow: bool, since: float, tail: int
    ) -> Iterator[dict[str, Any]]:
        """Log lines: {stream, at, text}."""
        path = f"/v1/plugins/{plugin_id}/logs?follow={int(follow)}&since={since}&tail={tail}"
        connection = self._open(None if follow else DEFAULT_SECONDS)
        try:
            yield from self._lines(self._send(connection, "GET", path, None, {}))
        finally:
            connection.close()

    def call(
        self,
        plugin_id: str,
        body: bytes,
        *,
        content_type: str,
        tool: str | None,
        timeout_seconds: float | None,
    ) -> CallResult:
        """`POST /v1/plugins/{id}/execute`; problems are results, not exceptions."""
        headers = {"Content-Type": content_type}
        if tool:
            headers["X-Tool"] = tool
        if timeout_seconds is not None:
            headers["X-Deadline-Ms"] = str(max(1, int(timeout_seconds * 1000)))
        path = f"/v1/plugins/{plugin_id}/execute"
        until = time.monotonic() + COMING_SECONDS
        while True:
            result = self._call(path, body, headers)
            # Refused by a daemon that ends: nothing was done, and the next one is on its way.
            # Only its own answer bears the header: a plugin could say the rest, and be called anew.
            refused = result.status == http.client.SERVICE_UNAVAILABLE and result.retry_after
            if not refused or STOPPING not in result.body:
                return result
            if time.monotonic() > until:
                return result
            time.sleep(_AGAIN_SECONDS)

    def run_code(self, wish: dict[str, Any]) -> dict[str, Any]:
        """`POST /v1/code`: how the code ended. Raises DaemonProblem where it was not run."""
        # The daemon keeps the deadline; the first run of all builds the image.
        answer: dict[str, Any] = self._json("POST", "/v1/code", wish, seconds=None)
        return answer

    def permissions(self) -> list[dict[str, Any]]:
        """Every plugin's permissions, and its update if one is held."""
        answer: list[dict[str, Any]] = self._json("GET", "/v1/permissions")
        return answer

    def permissions_of(self, plugin_id: str) -> dict[str, Any]:
        """One plugin's. Raises DaemonProblem (plugin_not_found), as all that follow."""
        answer: dict[str, Any] = self._json("GET", f"/v1/plugins/{plugin_id}/permissions")
        return answer

    def check_permission(self, plugin_id: str, permission: str) -> dict[str, Any]:
        """Whether the plugin has it now: {effective, why}."""
        path = f"/v1/plugins/{plugin_id}/permissions/{quote(permission, safe='')}"
        answer: dict[str, Any] = self._json("GET", path)
        return answer

    def grant_permission(self, plugin_id: str, permission: str, *, who: str, why: str) -> bool:
        """Whether anything changed. Raises DaemonProblem (permission_refused)."""
        return self._decide(f"{plugin_id}/permissions/{quote(permission, safe='')}/grant", who, why)

    def revoke_permission(self, plugin_id: str, permission: str, *, who: str, why: str) -> bool:
        """Whether the plugin had it; it has lost it when this returns."""
        return self._decide(
            f"{plugin_id}/permissions/{quote(permission, safe='')}/revoke", who, why
        )

    def reset_permissions(
        self, plugin_id: str, permission: str | None, *, who: str, why: str
    ) -> list[dict[str, str]]:
        """The grants and revokes that were forgotten, each `permission` and `state`."""
        one = f"/{quote(permission, safe='')}" if permission is not None else ""
        path = f"/v1/plugins/{plugin_id}/permissions{one}/reset"
        answer: dict[str, list[dict[str, str]]] = self._json("POST", path, {"who": who, "why": why})
        return answer["forgotten"]

    def grant_update(self, plugin_id: str, update: str, *, who: str, why: str) -> list[str]:
        """What the update asks for more. Raises DaemonProblem (update_changed)."""
        path = f"/v1/plugins/{plugin_id}/updates/{quote(update, safe='')}/grant"
        answer: dict[str, list[str]] = self._json("POST", path, {"who": who, "why": why})
        return answer["differences"]

    def rollout(self, plugin_id: str) -> dict[str, Any]:
        """Every revision of a plugin that is kept, and how its rollout goes."""
        answer: dict[str, Any] = self._json("GET", f"/v1/plugins/{plugin_id}/rollout")
        return answer

    def say_to_rollout(
        self, plugin_id: str, verb: str, *, who: str, why: str, to: int | None = None
    ) -> dict[str, Any]:
        """`undo`, `pause` or `resume`. Raises DaemonProblem (revision_not_found)."""
        wish = {"who": who, "why": why, "to": to}
        path = f"/v1/plugins/{plugin_id}/rollout/{verb}"
        answer: dict[str, Any] = self._json("POST", path, wish)
        return answer

    def switch_plugin(self, plugin_id: str, verb: str, *, who: str, why: str) -> bool:
        """`start`, `stop` or `remove`: whether that changed anything. Raises DaemonProblem."""
        return self._decide(f"{plugin_id}/{verb}", who, why)

    def backup(self, path: Path, *, volumes: bool) -> dict[str, Any]:
        """Have the daemon write a backup; what is in it. Raises DaemonProblem."""
        wish = {"path": str(path), "volumes": volumes}
        # As long as the plugins' data takes.
        answer: dict[str, Any] = self._json("POST", "/v1/backup", wish, seconds=None)
        return answer

    # -------------------------------------------------------------------------------------------

    def _call(self, path: str, body: bytes, headers: dict[str, str]) -> CallResult:
        connection = self._open(None)  # the daemon keeps the deadline
        try:
            response = self._send(connection, "POST", path, body, headers)
            content = self._read(response)
        finally:
            connection.close()
        return CallResult(
            status=response.status,
            content_type=response.headers.get("Content-Type", ""),
            body=content,
            retry_after=response.headers.get("Retry-After", ""),
        )

    def _decide(self, path: str, who: str, why: str) -> bool:
        answer: dict[str, bool] = self._json(
            "POST", f"/v1/plugins/{path}", {"who": who, "why": why}
        )
        return answer["changed"]

    def _json(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        seconds: float | None = DEFAULT_SECONDS,
    ) -> Any:
        with contextlib.closing(self._open(seconds)) as connection:
            data = json.dumps(body).encode() if body is not None else None
            response = self._send(connection, method, path, data, {})
            content = self._read(response)
        if response.status >= http.client.BAD_REQUEST:
            raise problem_of(response.status, content)
        return json.loads(content)

    def _open(self, seconds: float | None) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("orchestrator", timeout=seconds)
        try:
            connection.sock = reach(self._path, seconds)
        except OSError as error:
            raise DaemonNotRunning(
                f"no daemon answers at {self._path} ({error.strerror or error}); "
                "`orchestrator up` starts one"
            ) from error
        return connection

    def _send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | None,
        headers: dict[str, str],
    ) -> http.client.HTTPResponse:
        with self._while_it_lives():
            # A daemon that refuses a body answers before it has read it all: read that answer.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            if response.length is None and not response.chunked:  # cut within its head
                raise http.client.IncompleteRead(b"")
        return self._greeted(response)

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        with self._while_it_lives():
            return response.read()

    def _lines(self, response: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
        if response.status >= http.client.BAD_REQUEST:
            raise problem_of(response.status, self._read(response))
        with self._while_it_lives():
            yield from lines_of(response)

    @contextlib.contextmanager
    def _while_it_lives(self) -> Iterator[None]:
        try:
            yield
        except (OSError, http.client.HTTPException) as error:
            raise DaemonNotRunning(f"the daemon at {self._path} ended: {error!r}") from error

    def _greeted(self, response: http.client.HTTPResponse) -> http.client.HTTPResponse:
        version = response.headers.get(VERSION_HEADER, CORE_VERSION)
        if version != CORE_VERSION and self._on_other_version is not None:
            self._on_other_version(version)
            self._on_other_version = None
        return response
