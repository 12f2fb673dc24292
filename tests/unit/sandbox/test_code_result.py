"""read_answer: what a sandbox says is believed in nothing, and always comes to a CodeResult."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.sandbox.call import CallFailure, FailureCode, Reply
from orchestrator.sandbox.code_result import END_KIND, CodeEnd, CodeResult, read_answer, to_json
from tests.unit.sandbox.code_house import answer


def read(body: bytes, status: int = 200) -> CodeResult:
    reply = Reply(status=status, content_type="application/json", body=body)
    return read_answer(reply, duration_seconds=0.5)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"reason":"ok"}',
        answer("unheard of"),
        answer(stdout=1),
        answer(more="than agreed"),
        answer(result_json=1),
    ],
)
def test_garbage_is_a_lost_sandbox(body: bytes) -> None:
    assert read(body).reason is CodeEnd.SANDBOX_LOST


def test_an_answer_with_another_status_is_a_lost_sandbox() -> None:
    assert read(answer(), status=500).reason is CodeEnd.SANDBOX_LOST


@pytest.mark.parametrize(
    "text",
    ["", "{", "NaN", "[Infinity]", "[" * 100_000, "[" * 102 + "]" * 102, "1" * 5_000, "1 2"],
)
def test_a_result_that_is_no_plain_json_is_not_passed_on(text: str) -> None:
    result = read(answer(result_json=text))

    assert (result.reason, result.result) == (CodeEnd.RESULT_NOT_JSON, None)


@pytest.mark.parametrize("text", ["[" * 100 + "]" * 100, "[" + "[],{}," * 200 + "1]"])
def test_a_result_that_nests_no_deeper_than_the_bound_is(text: str) -> None:
    assert read(answer(result_json=text)).reason is CodeEnd.OK


def test_a_failed_call_is_a_deadline_or_a_lost_sandbox() -> None:
    ends = {
        code: read_answer(CallFailure(code=code, detail="d"), duration_seconds=1).reason
        for code in FailureCode
    }

    assert ends.pop(FailureCode.DEADLINE_EXCEEDED) is CodeEnd.DEADLINE_EXCEEDED
    assert set(ends.values()) == {CodeEnd.SANDBOX_LOST}


def test_a_long_detail_is_cut() -> None:
    assert len(read(answer("exception", detail="x" * 100_000)).detail) == 32_768


def test_every_end_but_ok_has_a_kind() -> None:
    assert set(END_KIND) == set(CodeEnd) - {CodeEnd.OK}


PLAIN = st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@given(st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_any_json_value_comes_through_as_it_is(value: Any) -> None:
    result = read(answer(result_json=json.dumps(value)))
    sent = json.loads(to_json(result))

    assert sent["result"] == value
