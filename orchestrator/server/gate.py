"""Gate: what comes in from outside, counted, and refused once the daemon is about to end.

Only the way in is shut: a plugin that serves a running call may still call others, so that what
runs can come to its end.
"""

from collections.abc import MutableMapping
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.sandbox.call import Call, CallFailure, FailureCode
from orchestrator.sandbox.desk import Door
from orchestrator.server.front import Router
from orchestrator.server.problems import PROBLEM_TYPE, RETRY_AFTER_SECONDS, failure_problem
from orchestrator.version import CORE_VERSION

VERSION_HEADER: Final = "X-Orchestrator-Version"
_REFUSAL: Final = CallFailure(
    code=FailureCode.DAEMON_STOPPING,
    detail="the daemon ends or is restarted, and takes nothing new; its plugins run on",
    repeat="safe",
)


class Gate:
    """A Router, and the book of requests under way: `busy` holds what stands for each."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self.shut = False
        self.busy: set[object] = set()

    @property
    def max_request_bytes(self) -> int:
        return self._router.max_request_bytes

    def route(self, plugin_id: str) -> Door | CallFailure:
        """Raises OrchestratorError for a plugin that does not exist."""
        return _REFUSAL if self.shut else self._router.route(plugin_id)

    def admitted(self, plugin_id: str) -> Door | CallFailure:
        """For a call that came before the gate was shut."""
        return self._router.admitted(plugin_id)

    def dispatching(self, plugin_id: str, call: Call, user: str) -> None:
        """See Router."""
        self._router.dispatching(plugin_id, call, user)

    def refused(self, plugin_id: str, call: Call, failure: CallFailure) -> None:
        """See Router."""
        self._router.refused(plugin_id, call, failure)

    def watch(self, app: ASGIApp) -> ASGIApp:
        """`app` behind the same gate: what only looks is let in to the last."""

        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["method"] in {"GET", "HEAD"}:
                await app(scope, receive, _with_version(send))
            elif self.shut:
                await _refuse(send)
            else:
                ticket = object()
                self.busy.add(ticket)
                try:
                    await app(scope, receive, _with_version(send))
                finally:
                    self.busy.discard(ticket)

        return watched


def _with_version(send: Send) -> Send:
    """Every answer says who gives it, so that a command of another version can tell."""

    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers: list[Any] = list(message.get("headers", ()))
            message = {**message, "headers": [*headers, _header(VERSION_HEADER, CORE_VERSION)]}
        await send(message)

    return sender


async def _refuse(send: Send) -> None:
    status, body = failure_problem(_REFUSAL)
    start: MutableMapping[str, Any] = {
        "type": "http.response.start",
        "status": status,
        "headers": [
            _header("Content-Type", PROBLEM_TYPE),
            _header("Content-Length", str(len(body))),
            _header("Retry-After", str(RETRY_AFTER_SECONDS)),
        ],
    }
    await _with_version(send)(start)
    await send({"type": "http.response.body", "body": body})


def _header(name: str, value: str) -> tuple[bytes, bytes]:
    return name.lower().encode(), value.encode()
