"""Errors as HTTP: kind → status, and RFC 9457 problem+json, in this one place."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pydantic import JsonValue

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.sandbox.call import CallFailure, FailureCode

PROBLEM_TYPE: Final = "application/problem+json"

STATUS: Final[Mapping[Kind, int]] = MappingProxyType(
    {
        Kind.INVALID: 422,
        Kind.DENIED: 403,
        Kind.NOT_FOUND: 404,
        Kind.CONFLICT: 409,
        Kind.OVERLOADED: 429,
        Kind.TIMEOUT: 504,
        Kind.UNAVAILABLE: 503,
        Kind.EXHAUSTED: 507,
        Kind.PLUGIN: 502,
        Kind.INTERNAL: 500,
    }
)

FAILURE_KIND: Final[Mapping[FailureCode, Kind]] = MappingProxyType(
    {
        FailureCode.DEADLINE_EXCEEDED: Kind.TIMEOUT,
        FailureCode.OVERLOADED: Kind.OVERLOADED,
        FailureCode.PLUGIN_NOT_RUNNING: Kind.UNAVAILABLE,
        FailureCode.PLUGIN_DISCONNECTED: Kind.PLUGIN,
        FailureCode.PLUGIN_RESTARTED: Kind.PLUGIN,
        FailureCode.BAD_RESPONSE: Kind.PLUGIN,
        FailureCode.RESPONSE_TOO_LARGE: Kind.PLUGIN,
        FailureCode.REQUEST_TOO_LARGE: Kind.INVALID,
        FailureCode.INVALID_INPUT: Kind.INVALID,
        FailureCode.INVALID_OUTPUT: Kind.PLUGIN,
        FailureCode.UNKNOWN_TOOL: Kind.NOT_FOUND,
        FailureCode.DAEMON_STOPPING: Kind.UNAVAILABLE,
        # No 503: that asks for a repetition, and the call may have had its effect.
        FailureCode.DAEMON_STOPPED: Kind.TIMEOUT,
    }
)

RETRY_AFTER_SECONDS: Final = 1


def error_problem(error: OrchestratorError) -> tuple[int, bytes]:
    """(status, body) of an error of ours."""
    status = STATUS[error.kind]
    return status, _body(status, error.code, error.kind, str(error), {})


def failure_problem(failure: CallFailure) -> tuple[int, bytes]:
    """(status, body) of a call that a plugin did not answer."""
    kind = FAILURE_KIND[failure.code]
    status = 413 if failure.code is FailureCode.REQUEST_TOO_LARGE else STATUS[kind]
    more: dict[str, JsonValue] = {"repeat": failure.repeat}
    if failure.errors:
        more["errors"] = list(failure.errors)
    return status, _body(status, failure.code, kind, failure.detail, more)


def _body(status: int, code: str, kind: Kind, detail: str, more: Mapping[str, JsonValue]) -> bytes:
    problem = {
        "type": f"urn:orchestrator:error:{code}",
        "title": code.replace("_", " "),
        "status": status,
        "code": code,
        "kind": kind,
        "detail": detail,
        **more,
    }
    return json.dumps(problem).encode()
