"""HostClient: what a plugin asks of its host over `host.sock` (permission plugin_communication).

Spoken by hand: the standard library's HTTP client would add half again to every plugin's start.
Each request has a connection of its own, and its answer ends with it.
"""

import json
import re
from collections.abc import Mapping
from socket import AF_UNIX, SOCK_STREAM, socket
from typing import Any

from orchestrator_sdk.call import CURRENT
from orchestrator_sdk.errors import PluginError
from orchestrator_sdk.messages import BYTES_TYPE, JSON_TYPE, to_json

HOST_SOCKET = "host.sock"
_TRACE = re.compile(r"[0-9a-f]{2}(?:-[0-9a-f]+){3}")
_PIECE_BYTES = 64 << 10
_LONGEST_SECONDS = 86_400.0
_LATE_SECONDS = 2.0
"""The host answers in time, with a problem if need be; this is for a host that does not."""
_FIRST_ERROR = 400


class HostProblem(PluginError):
    """The host said no, or the plugin that was called failed.

    `host_status` and `code` are those of the problem it answered. A caller of this plugin, to whom
    it is passed on unhandled, gets a 502: the fault is not the caller's.
    """

    def __init__(self, host_status: int, code: str, detail: str) -> None:
        super().__init__(detail, 502, code=code)
        self.host_status = host_status


class HostClient:
    """Blocking; in an `async def` method use `await asyncio.to_thread(host.call, …)`.

    Each method raises HostProblem where the host or the other plugin answers with a problem, and
    with code `host_unreachable` where there is no host.sock: the permission is not granted, or was
    revoked.
    """

    def __init__(self, sockets_dir: str = "/run/orchestrator") -> None:
        self._path = f"{sockets_dir}/{HOST_SOCKET}"

    def plugins(self) -> list[dict[str, Any]]:
        """The plugins that may be called: id, name, version, description, running, tools."""
        answer: dict[str, Any] = self._ask("GET", "/v1/plugins")
        plugins: list[dict[str, Any]] = answer["plugins"]
        return plugins

    def call(
        self,
        plugin_id: str,
        input_data: Any = None,
        *,
        tool: str = "",
        deadline_seconds: float | None = None,
    ) -> Any:
        """What the other plugin answers: the JSON value, or bytes.

        It inherits what is left of the present call's deadline; `deadline_seconds` can shorten it.
        """
        is_bytes = isinstance(input_data, bytes)
        headers = {"Content-Type": BYTES_TYPE if is_bytes else JSON_TYPE}
        if tool:
            headers["X-Tool"] = tool
        if deadline_seconds is not None:
            headers["X-Deadline-Ms"] = str(max(1, int(deadline_seconds * 1_000)))
        body = input_data if is_bytes else to_json(input_data)
        return self._ask("POST", f"/v1/plugins/{plugin_id}/execute", body, headers)

    def publish(
        self,
        event_type: str,
        data: Mapping[str, Any] | None = None,
        *,
        subject: str = "",
        event_id: str = "",
    ) -> str:
        """Publish an event of a type that plugin.yaml declares; the id that the host gave it.

        It is on the host's disk then. With an `event_id` of the plugin's own it may be sent again
        after a failure: the host takes it once.
        """
        event: dict[str, Any] = {
            "specversion": "1.0",
            "type": event_type,
            "source": "plugin",  # the host sets the true one
            "data": dict(data or {}),
        }
        if subject:
            event["subject"] = subject
        if event_id:
            event["id"] = event_id
        call = CURRENT.get()
        if call is not None and _TRACE.fullmatch(call.traceparent):
            event["traceparent"] = call.traceparent
        headers = {"Content-Type": "application/cloudevents+json"}
        answer: dict[str, str] = self._ask("POST", "/v1/events", to_json(event), headers)
        return answer["event_id"]

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        call = CURRENT.get()
        lines = [f"{method} {path} HTTP/1.1", "Host: orchestrator", "Connection: close"]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        served = {} if call is None else call.passed_on
        lines += [f"{name}: {value}" for name, value in {**served, **(headers or {})}.items()]
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError(f"a line's end found in {path!r} or a header, none expected")
        left = None if call is None else call.deadline_seconds()
        seconds = (_LONGEST_SECONDS if left is None else left) + _LATE_SECONDS
        raw = self._exchange("\r\n".join([*lines, "", ""]).encode() + (body or b""), seconds)
        return _answer(raw)

    def _exchange(self, request: bytes, seconds: float) -> bytes:
        pieces = []
        try:
            with socket(AF_UNIX, SOCK_STREAM) as connection:
                connection.settimeout(seconds)
                connection.connect(self._path)
                connection.sendall(request)
                while piece := connection.recv(_PIECE_BYTES):
                    pieces.append(piece)
        except OSError as error:
            raise HostProblem(
                503, "host_unreachable", f"{self._path}: {error}; is plugin_communication granted?"
            ) from error
        return b"".join(pieces)


def _answer(raw: bytes) -> Any:
    """The value of an answer that ends with its connection; the host's own framing is trusted."""
    head, _, body = raw.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    if not raw or len(body) < int(headers.get("content-length", "0")):
        raise HostProblem(503, "host_unreachable", "the host closed the connection unanswered")
    status = int(status_line.split(" ", 2)[1])
    content_type = headers.get("content-type", "").partition(";")[0]
    if status >= _FIRST_ERROR:
        raise _problem(status, body)
    if content_type == JSON_TYPE or content_type.endswith("+json"):
        return json.loads(body or b"null")
    return body


def _problem(status: int, body: bytes) -> HostProblem:
    try:
        document = json.loads(body)
        return HostProblem(status, str(document["code"]), str(document["detail"]))
    except (ValueError, TypeError, KeyError):  # another plugin's own words
        return HostProblem(status, "plugin_error", body[:500].decode(errors="replace"))
