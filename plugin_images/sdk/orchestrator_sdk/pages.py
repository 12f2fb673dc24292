"""UiRequest: what a plugin's pages are asked for, and how the answer is held to its form."""

import re
from typing import Any

from orchestrator_sdk.errors import PluginError
from orchestrator_sdk.messages import Reply, Request

PREFIX = "/v1/ui/"
_LOWEST_STATUS, _HIGHEST_STATUS = 200, 599
_TYPE = re.compile(r"[\x20-\x7e]{1,256}")
_PARTS = 3


class UiRequest:
    """A browser's request for one of the plugin's pages."""

    __slots__ = ("body", "content_type", "method", "path", "query")

    def __init__(
        self, method: str, path: str, query: str = "", body: bytes = b"", content_type: str = ""
    ) -> None:
        self.method = method
        self.path = path
        """From the first slash of the plugin's own on, decoded: `/`, `/style.css`."""
        self.query = query
        """As it came, without its question mark; `urllib.parse.parse_qs` reads it."""
        self.body = body
        self.content_type = content_type

    def __repr__(self) -> str:
        return f"UiRequest({self.method!r}, {self.path!r}, {self.query!r})"


def ui_request(request: Request) -> UiRequest:
    """What the host forwarded, in the author's words."""
    # Most plugins have no pages, and their start is mostly imports.
    from urllib.parse import unquote  # noqa: PLC0415

    path = "/" + unquote(request.path.removeprefix(PREFIX))
    kind = request.headers.get("content-type", "")
    return UiRequest(request.method, path, request.query, request.body, kind)


def ui_reply(answer: Any) -> Reply:
    """(status, content type, body) as a reply. Raises PluginError for anything else."""
    if not isinstance(answer, tuple) or len(answer) != _PARTS:
        raise _wrong(f"{type(answer).__name__} found, (status, content type, body) expected")
    status, content_type, body = answer
    if not isinstance(status, int) or not _LOWEST_STATUS <= status <= _HIGHEST_STATUS:
        raise _wrong(f"status {status!r} found, {_LOWEST_STATUS} to {_HIGHEST_STATUS} expected")
    if not isinstance(content_type, str) or not _TYPE.fullmatch(content_type):
        raise _wrong(f"content type {content_type!r} found, one line of ASCII expected")
    if isinstance(body, str):
        body = body.encode()
    if not isinstance(body, bytes):
        raise _wrong(f"a body of {type(body).__name__} found, bytes or str expected")
    return Reply(int(status), body, content_type)


def _wrong(what: str) -> PluginError:
    return PluginError(f"handle_ui: {what}", 500, code="invalid_output")
