"""Tools: what goes in and what comes out fits the declared schemas, or the call fails."""

import asyncio
import tracemalloc
from typing import Any

import pytest

from orchestrator.model.info import ToolInfo
from orchestrator.sandbox.call import Call, CallFailure, Reply
from orchestrator.sandbox.sandbox import PluginSandbox
from orchestrator.sandbox.tools import Tool
from tests.unit.sandbox.house import Dialled, House, Seen

ADD = ToolInfo(
    name="add",
    description="Adds.",
    input_schema={
        "type": "object",
        "properties": {
            "numbers": {"type": "array", "items": {"type": "integer"}},
            "unit": {"type": "string"},
        },
        "required": ["numbers", "unit"],
        "additionalProperties": False,
    },
    output_schema={"type": "object", "properties": {"sum": {"type": "integer"}}},
)
LOOK = ToolInfo(name="look", description="Looks.", read_only=True)


async def _invoke(
    sandbox: PluginSandbox, line: Dialled, body: bytes, answer: bytes, *, status: int = 200
) -> Reply | CallFailure:
    call = Call(request_id="r", deadline_seconds=5.0, tool="add", content_length=len(body))
    async with asyncio.TaskGroup() as group:
        invoked = group.create_task(sandbox.invoke(call, body))
        assert (await line.request()).headers["x-tool"] == "add"
        line.answer(answer, status=status)
    return invoked.result()


INPUT = b'{"numbers":[1,2],"unit":"m"}'


async def test_input_that_does_not_fit_never_reaches_the_plugin(house: House) -> None:
    sandbox, _, [line] = await house.ready(tools=(ADD,))
    body = b'{"numbers":[1,"two"],"other":1}'
    call = Call(request_id="r", deadline_seconds=5.0, tool="add", content_length=len(body))
    failure = await sandbox.invoke(call, body)

    assert isinstance(failure, CallFailure)
    assert (failure.code, failure.repeat) == ("invalid_input", "safe")
    assert failure.detail == "the input of tool add does not fit its schema"
    assert sorted(failure.errors) == [
        "numbers[1]: found 'two', expected integer",
        "other: found an unknown field, expected no such field",
        "unit: found nothing, expected a value",
    ]
    assert line.unread == b""


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not JSON",
        b'{"numbers":[NaN],"unit":"m"}',
        b'{"numbers":[1],"unit":"\xff"}',
        '{"numbers":[1],"unit":"m"}'.encode("utf-16"),
        b'{"numbers":[' + b"9" * 5_000 + b'],"unit":"m"}',
        b"[" * 100_000,
        b'{"numbers":' + b"[" * 900 + b"]" * 900 + b',"unit":"m"}',
        b'{"numbers":[1.5],"unit":"m"}',
        b'"text"',
    ],
    ids=lambda body: body[:20].decode("latin-1"),
)
def test_what_is_not_json_that_fits_is_invalid_input(body: bytes) -> None:
    failure = Tool(ADD).check_input(body)

    assert failure is not None
    assert (failure.code, failure.repeat) == ("invalid_input", "safe")


def test_a_tool_that_needs_no_input_takes_none() -> None:
    assert Tool(LOOK).check_input(b"") is None


async def test_an_unknown_tool_is_answered_with_those_that_are_known(house: House) -> None:
    sandbox, _, [line] = await house.ready(tools=(LOOK, ADD))
    seen = house.call(sandbox, tool="sub")

    assert (seen.code, seen.why.repeat) == ("unknown_tool", "safe")
    assert seen.why.detail == "found tool 'sub', expected one of add, look"
    assert line.unread == b""
    assert sandbox.in_flight == 0


async def test_a_plugin_without_tools_knows_none(house: House) -> None:
    sandbox, _, _ = await house.ready()

    assert house.call(sandbox, tool="x").why.detail == "found tool 'x', expected one of none"


async def test_output_that_fits_goes_on_unchanged(house: House) -> None:
    sandbox, _, [line] = await house.ready(tools=(ADD,))
    reply = await _invoke(sandbox, line, INPUT, b'{ "sum": 3 }')

    assert reply == Reply(status=200, content_type="application/json", body=b'{ "sum": 3 }')


@pytest.mark.parametrize("answer", [b'{"sum":"3"}', b"", b"sum", b'{"sum":3', b'{"x":NaN}'])
async def test_output_that_does_not_fit_is_the_plugins_failure(house: House, answer: bytes) -> None:
    sandbox, _, [line] = await house.ready(tools=(ADD,))
    failure = await _invoke(sandbox, line, INPUT, answer)

    assert isinstance(failure, CallFailure)
    assert (failure.code, failure.repeat) == ("invalid_output", "unsafe")
    assert "output of tool add" in failure.detail


async def test_output_is_not_shown_before_it_was_checked(house: House) -> None:
    sandbox, _, [line] = await house.ready(tools=(ADD,))
    seen: Seen = house.call(sandbox, INPUT, tool="add")
    await line.request()
    line.answer(b'{"sum":"secret"}')
    await seen.outcome()

    assert (seen.status, len(seen.body), seen.code) == (0, 0, "invalid_output")


@pytest.mark.parametrize("status", [300, 400, 422, 500])
async def test_an_error_of_the_plugins_own_passes_as_it_is(house: House, status: int) -> None:
    sandbox, _, [line] = await house.ready(tools=(ADD,))
    reply = await _invoke(sandbox, line, INPUT, b'{"sum":"no"}', status=status)

    assert isinstance(reply, Reply)
    assert (reply.status, reply.body) == (status, b'{"sum":"no"}')


async def test_a_checked_answer_that_breaks_off_is_a_failure(house: House) -> None:
    sandbox, _, [line] = await house.ready(tools=(ADD,))
    seen = house.call(sandbox, INPUT, tool="add")
    await line.request()
    line.send(b'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"sum":3}')
    line.close()

    assert (await seen.outcome()).code == "plugin_disconnected"
    assert seen.status == 0


@pytest.mark.parametrize(
    ("hints", "repeat"),
    [
        ({}, "unsafe"),
        ({"destructive": True}, "unsafe"),
        ({"read_only": True}, "safe"),
        ({"idempotent": True}, "safe"),
    ],
    ids=str,
)
def test_the_hints_say_whether_a_call_may_be_repeated(hints: dict[str, Any], repeat: str) -> None:
    assert Tool(ToolInfo(name="t", description="d", **hints)).repeat == repeat


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"[]," * 1_000_001,
        b"[" + b"{}," * 1_000_001,
        b'{"a":' * 2_000_001,
        b"[" + b'"",' * 1_000_001,
        b"[" * 1_000_001,
    ],
)
def test_more_values_than_memory_should_hold_are_refused_unread(body: bytes) -> None:
    tool = Tool(ToolInfo(name="any", description="x", input_schema={}))
    tracemalloc.start()
    try:
        failure = tool.check_input(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert failure is not None
    assert "more than 1000000 values" in failure.detail
    assert peak < 1_000_000


def test_a_text_may_hold_any_number_of_commas_and_brackets() -> None:
    tool = Tool(ToolInfo(name="any", description="x", input_schema={"type": "array"}))
    table = '1,2,[3],{4},\\"five\\"\\n' * 200_000

    assert tool.check_input(f'["{table}"]'.encode()) is None
