"""PluginTester: a plugin in a test, behind the same dispatch that serves it in its container."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from orchestrator_sdk.call import CURRENT, Call
from orchestrator_sdk.dispatch import Dispatcher
from orchestrator_sdk.host import HostClient
from orchestrator_sdk.interface import PluginInterface, PluginStatus
from orchestrator_sdk.messages import JSON_TYPE, PROBLEM_TYPE, Reply, Request, from_json, to_json


class Problem(Exception):
    """The plugin answered with a problem document: `status`, `code`, `title`, `detail`."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        super().__init__(f"{document['status']} {document['code']}: {document['detail']}")
        self.status: int = document["status"]
        self.code: str = document["code"]
        self.title: str = document["title"]
        self.detail: str = document["detail"]


class PluginTester:
    """Initializes on entry, cleans up on exit; `data_dir` is a temporary folder.

    `host` stands in for the host: a HostClient of your own whose methods answer as the test needs.

    Every method raises Problem where the host would have got a problem document.
    """

    def __init__(
        self,
        plugin_class: type[PluginInterface],
        *,
        config: Mapping[str, Any] | None = None,
        plugin_id: str = "plugin-under-test",
        permissions: Mapping[str, Mapping[str, Any]] | None = None,
        limits: Mapping[str, int] | None = None,
        secrets: Mapping[str, str] | None = None,
        core_version: str = "0.1.0",
        host: HostClient | None = None,
    ) -> None:
        self._secrets = secrets or {}
        self._host = host
        self._start = {
            "plugin_id": plugin_id,
            "instance_id": f"{plugin_id}-1",
            "config": dict(config or {}),
        }
        self._granted = {
            "permissions": dict(permissions or {}),
            "limits": dict(limits or {}),
            "core_version": core_version,
        }
        self.plugin = plugin_class()

    def __enter__(self) -> Self:
        self._folder = TemporaryDirectory(prefix="orchestrator-plugin-")
        self.data_dir = Path(self._folder.name, "data")
        self.data_dir.mkdir()
        secrets_dir = Path(self._folder.name, "secrets")
        secrets_dir.mkdir()
        for name, value in self._secrets.items():
            (secrets_dir / name).write_text(value, encoding="utf-8")
        self._dispatcher = Dispatcher(self.plugin, secrets_dir=str(secrets_dir), host=self._host)
        granted = {**self._granted, "data_dir": str(self.data_dir)}
        try:
            self._ask("POST", "/v1/initialize", to_json({**self._start, "context": granted}))
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._ask("POST", "/v1/cleanup")
        finally:
            self._close()

    def call(
        self,
        input_data: Any = None,
        *,
        content_type: str = JSON_TYPE,
        deadline_seconds: float | None = None,
    ) -> Any:
        """What `execute` answers: the JSON value, or bytes (a stream's pieces joined)."""
        body = input_data if content_type != JSON_TYPE else to_json(input_data)
        headers = {"content-type": content_type}
        if deadline_seconds is not None:
            headers["x-deadline-ms"] = str(int(deadline_seconds * 1_000))
        return self._ask("POST", "/v1/execute", body, headers)

    def tool(self, tool_name: str, /, **arguments: Any) -> Any:
        """What that tool answers, as from `call`."""
        return self._ask("POST", "/v1/execute", to_json(arguments), {"x-tool": tool_name})

    def ui(
        self,
        path: str = "/",
        *,
        method: str = "GET",
        query: str = "",
        body: bytes = b"",
        content_type: str = "",
    ) -> tuple[int, str, bytes]:
        """What `handle_ui` answers; `path` as a browser would write it, from its slash on."""
        headers = {"content-type": content_type} if content_type else {}
        request = Request(method, f"/v1/ui{path}", headers, body, query=query)
        reply = self._dispatch(request)
        content = reply.body if isinstance(reply.body, bytes) else b"".join(reply.body)
        if reply.content_type == PROBLEM_TYPE:
            raise Problem(from_json(content))
        return reply.status, reply.content_type, content

    def event(self, event_type: str, data: Any = None, **attributes: Any) -> None:
        """Deliver a CloudEvent."""
        event = {
            "specversion": "1.0",
            "id": "1",
            "source": "/plugin-tester",
            "type": event_type,
            "data": data,
            **attributes,
        }
        self._ask("POST", "/v1/events", to_json(event))

    def status(self) -> PluginStatus:
        """What a health probe would see."""
        answer = self._ask("GET", "/v1/status")
        return PluginStatus(answer["state"], answer["detail"], answer["metrics"])

    def _ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Any:
        sent = {"x-request-id": "test", **(headers or {})}
        return _result(self._dispatch(Request(method, path, sent, body)))

    def _dispatch(self, request: Request) -> Reply:
        token = CURRENT.set(Call(request.headers))
        try:
            return self._dispatcher.handle(request)
        finally:
            CURRENT.reset(token)

    def _close(self) -> None:
        self._dispatcher.close()
        self._folder.cleanup()


def _result(reply: Reply) -> Any:
    body = reply.body if isinstance(reply.body, bytes) else b"".join(reply.body)
    if reply.content_type == PROBLEM_TYPE:
        raise Problem(from_json(body))
    return from_json(body) if reply.content_type == JSON_TYPE else body
