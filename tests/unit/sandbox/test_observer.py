"""Each call is told of once, whatever becomes of it."""

import asyncio
from typing import Any

import pytest

from orchestrator.model.info import ToolInfo
from orchestrator.sandbox.call import Call
from orchestrator.sandbox.desk import invoke
from orchestrator.sandbox.observer import OUTCOMES
from tests.unit.sandbox.house import House, settle

ADD = ToolInfo.model_validate(
    {
        "name": "add",
        "description": "Adds.",
        "input_schema": {"type": "object", "required": ["a"]},
        "output_schema": {"type": "object", "required": ["sum"]},
    }
)


def outcomes(house: House) -> list[str]:
    return [outcome for _, _, outcome in house.watcher.ends]


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *((200, "ok"), (204, "ok"), (304, "ok")),
        *((400, "caller_error"), (499, "caller_error"), (500, "plugin_error")),
        (599, "plugin_error"),
    ],
)
async def test_an_answer_is_told_by_its_status(house: House, status: int, outcome: str) -> None:
    sandbox, _, [line] = await house.ready()
    seen = house.call(sandbox)
    await line.request()
    line.answer(b"", status=status)
    await seen.outcome()

    assert house.watcher.ends == [("echo", "", outcome)]
    [(seconds, waited)] = house.watcher.times
    assert 0 <= waited <= seconds < 5


async def test_the_wait_for_a_connection_is_told_apart(house: House) -> None:
    sandbox, _, [line] = await house.ready()
    first, second = house.call(sandbox), house.call(sandbox)
    await line.request()
    await asyncio.sleep(0.05)
    line.answer()
    await first.outcome()
    await line.request()
    await asyncio.sleep(0.02)
    line.answer()
    await second.outcome()

    [(_, waited), (seconds, long_waited)] = house.watcher.times
    assert waited < 0.04 < long_waited < seconds - 0.015


async def test_a_full_queue_is_told(house: House) -> None:
    sandbox, _, [_] = await house.ready(max_queue=0)
    house.call(sandbox)
    refused = house.call(sandbox)

    assert refused.code == "overloaded"
    assert outcomes(house) == ["overloaded"]


async def test_a_missed_deadline_is_told_in_the_queue_and_at_the_plugin(house: House) -> None:
    sandbox, _, [line] = await house.ready()
    calls = [house.call(sandbox, deadline_seconds=0.05) for _ in range(2)]
    await line.request()
    for call in calls:
        await call.outcome()

    assert outcomes(house) == ["deadline_exceeded"] * 2
    (ran, _), (queued, waited) = sorted(house.watcher.times, key=lambda times: times[1])
    assert ran >= 0.04
    assert waited == queued


async def test_a_plugin_that_ends_the_connection_is_told(house: House) -> None:
    sandbox, _, [line] = await house.ready()
    seen = house.call(sandbox)
    await line.request()
    line.close()
    await seen.outcome()

    assert outcomes(house) == ["plugin_disconnected"]


async def test_garbage_is_told(house: House) -> None:
    sandbox, _, [line] = await house.ready()
    seen = house.call(sandbox)
    await line.request()
    line.send(b"no http at all\r\n\r\n")
    await seen.outcome()

    assert outcomes(house) == ["bad_response"]


async def test_a_caller_that_leaves_is_told_once_though_the_plugin_goes_on(house: House) -> None:
    sandbox, _, [line] = await house.ready()
    _, exchange = house.begin(sandbox)
    await line.request()
    exchange.abandon()
    line.answer()
    await settle()

    assert outcomes(house) == ["caller_left"]
    assert sandbox.in_flight == 0


async def test_an_unknown_tool_and_a_sandbox_that_is_not_ready_are_told(house: House) -> None:
    sandbox, _, [_] = await house.ready(tools=(ADD,))
    house.call(sandbox, tool="sub")
    sandbox.pause()
    house.call(sandbox)

    assert house.watcher.ends == [
        ("echo", "sub", "unknown_tool"),
        ("echo", "", "plugin_not_running"),
    ]


async def test_an_output_that_breaks_its_schema_is_told_as_that(house: House) -> None:
    sandbox, _, [line] = await house.ready(tools=(ADD,))
    seen = house.call(sandbox, b'{"a":1}', tool="add")
    await line.request()
    line.answer(b"{}")
    await seen.outcome()

    assert house.watcher.ends == [("echo", "add", "invalid_output")]


async def test_an_input_that_breaks_its_schema_is_told_though_nothing_was_sent(
    house: House,
) -> None:
    sandbox, _, [line] = await house.ready(tools=(ADD,))
    call = Call(request_id="r1", deadline_seconds=5.0, content_length=2, tool="add")
    await invoke(sandbox, call, b"{}")

    assert house.watcher.ends == [("echo", "add", "invalid_input")]
    assert house.watcher.times == [(0.0, 0.0)]
    assert line.unread == b""


async def test_a_closed_sandbox_tells_of_those_that_ran_and_waited(house: House) -> None:
    sandbox, _, [line] = await house.ready()
    house.call(sandbox)
    house.call(sandbox)
    await line.request()
    sandbox.close(remove_folder=False)

    assert outcomes(house) == ["plugin_restarted"] * 2


async def test_probes_and_events_are_no_calls(house: House) -> None:
    sandbox, plugin = await house.sandbox()
    control, line = await plugin.dial("control"), await plugin.dial()
    sandbox.mark_ready()
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(sandbox.control("GET", "/v1/status", b"", deadline_seconds=1))
        await control.request()
        control.answer()
    assert asked.result() is not None

    assert house.watcher.ends == []
    assert line.unread == b""


async def test_a_call_is_traced_before_the_plugin_sees_it(house: House) -> None:
    def trace(call: Call) -> Call:
        fields: dict[str, Any] = {
            name: getattr(call, name)
            for name in ("request_id", "deadline_seconds", "content_length")
        }
        return Call(**fields, traceparent="00-ours", parent=call.traceparent)

    house.watcher.trace = trace
    sandbox, _, [line] = await house.ready()
    house.call(sandbox, traceparent="00-theirs")
    request = await line.request()

    assert request.headers["traceparent"] == "00-ours"


def test_every_failure_has_a_name_in_the_metrics() -> None:
    assert len(OUTCOMES) == len(set(OUTCOMES)) == 17
