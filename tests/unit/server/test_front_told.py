"""Calls that end before they are dispatched are told of too, and each once."""

from typing import Any

from orchestrator.model.info import ToolInfo
from orchestrator.sandbox.call import CallFailure, FailureCode
from tests.unit.sandbox.house import settle

ADD = ToolInfo.model_validate(
    {
        "name": "add",
        "description": "Adds.",
        "input_schema": {"type": "object", "required": ["a"]},
    }
)
ABSENT = CallFailure(code=FailureCode.PLUGIN_NOT_RUNNING, detail="echo starts", repeat="safe")


async def test_a_plugin_that_does_not_run_is_told(front: Any) -> None:
    front.routes.sandboxes["echo"] = ABSENT
    client = await front.client()
    client.execute(headers="X-Tool: add\r\n")
    await client.answer()
    client.execute()
    await client.answer()

    assert front.routes.refusals == [
        ("echo", "add", "plugin_not_running"),
        ("echo", "", "plugin_not_running"),
    ]


async def test_a_plugin_that_does_not_exist_is_not(front: Any) -> None:
    client = await front.client()
    client.execute(plugin="nobody")
    await client.answer()

    assert front.routes.refusals == []


async def test_one_that_went_while_the_input_came_is_told(front: Any) -> None:
    await front.ready(tools=(ADD,))
    client = await front.client()
    client.send(
        b"POST /v1/plugins/echo/execute HTTP/1.1\r\nHost: o\r\nContent-Length: 7\r\n"
        b"X-Tool: add\r\n\r\n"
    )
    await settle()
    front.routes.sandboxes["echo"] = ABSENT
    client.send(b'{"a":1}')
    await client.answer()

    assert front.routes.refusals == [("echo", "add", "plugin_not_running")]
    assert front.watcher.ends == []


async def test_an_input_that_breaks_its_schema_is_told_by_the_sandbox(front: Any) -> None:
    _, _, [line] = await front.ready(tools=(ADD,))
    client = await front.client()
    client.execute(b"{}", headers="X-Tool: add\r\n")
    await client.answer()
    client.execute(b'{"a":1}', headers="X-Tool: add\r\n")
    await line.request()
    line.answer()
    await client.answer()

    assert front.watcher.ends == [("echo", "add", "invalid_input"), ("echo", "add", "ok")]
    assert front.routes.refusals == []


async def test_a_gate_that_is_shut_tells(front: Any) -> None:
    await front.ready()
    front.gate.shut = True
    client = await front.client()
    client.execute()
    await client.answer()

    assert front.routes.refusals == [("echo", "", "daemon_stopping")]


async def test_a_client_that_hangs_up_is_told_as_that(front: Any) -> None:
    _, _, [line] = await front.ready()
    client = await front.client()
    client.execute()
    await line.request()
    client.close()
    await settle()

    assert front.watcher.ends == [("echo", "", "caller_left")]
