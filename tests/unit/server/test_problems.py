"""Errors as HTTP: complete tables, and problems of one shape."""

import json

import pytest

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.sandbox.call import CallFailure, FailureCode
from orchestrator.server.problems import FAILURE_KIND, STATUS, error_problem, failure_problem

STATUSES = {
    "deadline_exceeded": 504,
    "overloaded": 429,
    "plugin_not_running": 503,
    "plugin_disconnected": 502,
    "plugin_restarted": 502,
    "bad_response": 502,
    "response_too_large": 502,
    "request_too_large": 413,
    "invalid_input": 422,
    "invalid_output": 502,
    "unknown_tool": 404,
    "daemon_stopping": 503,
    "daemon_stopped": 504,
}
KINDS = {
    "invalid": 422,
    "denied": 403,
    "not_found": 404,
    "conflict": 409,
    "overloaded": 429,
    "timeout": 504,
    "unavailable": 503,
    "exhausted": 507,
    "plugin": 502,
    "internal": 500,
}


def test_the_tables_leave_nothing_out() -> None:
    assert set(FAILURE_KIND) == set(FailureCode)
    assert set(STATUS) == set(Kind)
    assert {code.value for code in FailureCode} == set(STATUSES)
    assert {kind.value: status for kind, status in STATUS.items()} == KINDS


@pytest.mark.parametrize("code", FailureCode)
def test_a_failure_is_a_problem_with_its_status(code: FailureCode) -> None:
    status, body = failure_problem(
        CallFailure(code=code, detail="what was found", repeat="safe", errors=("a: b",))
    )
    problem = json.loads(body)

    assert status == STATUSES[code]
    assert problem == {
        "type": f"urn:orchestrator:error:{code}",
        "title": code.replace("_", " "),
        "status": status,
        "code": code.value,
        "kind": FAILURE_KIND[code].value,
        "detail": "what was found",
        "repeat": "safe",
        "errors": ["a: b"],
    }


def test_a_failure_without_errors_names_none_and_is_unsafe_unless_said() -> None:
    _, body = failure_problem(CallFailure(code=FailureCode.BAD_RESPONSE, detail="d"))

    assert "errors" not in json.loads(body)
    assert json.loads(body)["repeat"] == "unsafe"


@pytest.mark.parametrize("kind", Kind)
def test_an_error_of_ours_is_a_problem_with_the_status_of_its_kind(kind: Kind) -> None:
    class Trouble(OrchestratorError):
        code = "some_trouble"

    Trouble.kind = kind
    status, body = error_problem(Trouble('found "a"\n, expected b'))

    assert status == KINDS[kind]
    assert json.loads(body) == {
        "type": "urn:orchestrator:error:some_trouble",
        "title": "some trouble",
        "status": status,
        "code": "some_trouble",
        "kind": kind.value,
        "detail": 'found "a"\n, expected b',
    }
