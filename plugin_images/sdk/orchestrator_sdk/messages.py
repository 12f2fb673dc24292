"""Request, Reply and problem documents: what wire.py carries and dispatch.py answers."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator_sdk.errors import PluginError

JSON_TYPE = "application/json"
BYTES_TYPE = "application/octet-stream"
PROBLEM_TYPE = "application/problem+json"

PHRASES = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    413: "Content Too Large",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


class Request:
    """One request, its body complete; header names are lower case."""

    __slots__ = ("body", "headers", "keep_alive", "method", "path", "query")

    def __init__(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        query: str = "",
        keep_alive: bool = True,
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.keep_alive = keep_alive


class Reply:
    """One answer; a body that is an iterator is sent piece by piece, chunked."""

    __slots__ = ("body", "content_type", "status")

    def __init__(
        self, status: int, body: bytes | Iterator[bytes], content_type: str = JSON_TYPE
    ) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(parse_constant=_refuse_constant)
# Built once: json.dumps with options builds an encoder for every call.
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def from_json(body: bytes) -> Any:
    """The value; raises PluginError (400) for what is no JSON text in UTF-8."""
    try:
        return _decoder.decode(body.decode())
    except (ValueError, RecursionError) as error:
        raise PluginError(f"the body is not JSON: {error}", 400, code="invalid_json") from error


def to_json(value: Any) -> bytes:
    """The value as compact UTF-8; raises PluginError (500) for what JSON cannot say."""
    try:
        return _encode(value).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise PluginError(f"the result is not JSON: {error}", 500, code="invalid_output") from error


def problem(status: int, code: str, detail: str, title: str | None = None) -> Reply:
    """An RFC 9457 answer with our `code` member."""
    document = {
        "type": "about:blank",
        "title": title or PHRASES.get(status, "Error"),
        "status": status,
        "detail": detail,
        "code": code,
    }
    # A lone surrogate in an exception's text must not cost the answer.
    text = _encode(document).encode(errors="replace")
    return Reply(status, text, PROBLEM_TYPE)
