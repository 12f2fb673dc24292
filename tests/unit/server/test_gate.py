"""A gate that is shut: what runs goes on, what comes hears to try again, and nobody is lost."""

import asyncio
from collections.abc import Collection
from typing import Any

import pytest

from orchestrator.daemon.drain import LINGER_SECONDS, Ending, drain
from orchestrator.sandbox.sandbox import PluginSandbox
from orchestrator.version import CORE_VERSION
from tests.unit.sandbox.house import SECONDS, settle


def _drain(
    front: Any,
    *sandboxes: PluginSandbox,
    seconds: float = SECONDS,
    hurry: asyncio.Event | None = None,
) -> Any:
    def all_of_them() -> Collection[PluginSandbox]:
        return sandboxes

    return drain(front.gate, all_of_them, seconds=seconds, hurry=hurry or asyncio.Event())


async def test_a_call_that_runs_is_answered_and_waited_for(front: Any) -> None:
    sandbox, _, [line] = await front.ready()
    client = await front.client()
    client.execute(b"{}")
    await line.request()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(_drain(front, sandbox))
        await asyncio.sleep(LINGER_SECONDS * 2)
        waited = not task.done()
        line.answer(b"late")
        response = await client.answer()

    assert waited
    assert (response.status, response.body) == (200, b"late")
    assert task.result() == 0


async def test_a_call_that_waits_in_the_queue_is_answered_too(front: Any) -> None:
    sandbox, _, [line] = await front.ready()
    first, second = await front.client(), await front.client()
    for client in (first, second):
        client.execute(b"{}")
        await settle()
    async with asyncio.TaskGroup() as group:
        group.create_task(_drain(front, sandbox))
        answers = []
        for client in (first, second):
            await line.request()
            line.answer(b"ok")
            answers.append((await client.answer()).status)

    assert answers == [200, 200]


async def test_a_call_that_comes_is_refused_with_leave_to_try_again_elsewhere(front: Any) -> None:
    sandbox, _, [line] = await front.ready()
    client = await front.client()
    async with asyncio.TaskGroup() as group:
        group.create_task(_drain(front, sandbox))
        await settle()
        client.execute(b"{}")
        response = await client.answer()
        closed = await client.ended()

    assert (response.status, response.headers["retry-after"]) == (503, "1")
    assert (response.problem["code"], response.problem["repeat"]) == ("daemon_stopping", "safe")
    assert response.headers["connection"] == "close"
    assert closed
    assert line.unread == b""


async def test_the_input_of_a_tool_that_is_still_coming_is_waited_for(front: Any) -> None:
    """The plugin does not know of the call yet, so it is not in flight there."""
    sandbox, _, [line] = await front.ready(tools=())
    client = await front.client()
    client.execute(b"", length=2, headers="X-Tool: none\r\n")
    await settle()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(_drain(front, sandbox))
        await asyncio.sleep(LINGER_SECONDS * 2)
        waited = not task.done()
        client.send(b"{}")
        response = await client.answer()

    assert waited
    assert response.problem["code"] == "unknown_tool"
    assert line.unread == b""


async def test_a_caller_that_goes_away_is_not_waited_for(front: Any) -> None:
    sandbox, _, _ = await front.ready()
    client = await front.client()
    client.execute(b"", length=2, headers="X-Tool: none\r\n")
    await settle()
    client.close()

    async with asyncio.timeout(SECONDS):
        assert await _drain(front, sandbox, seconds=2 * SECONDS) == 0


async def test_what_runs_for_too_long_is_cut_and_may_have_had_its_effect(front: Any) -> None:
    sandbox, _, [line] = await front.ready()
    client = await front.client()
    client.execute(b"{}")
    await line.request()
    cut = await _drain(front, sandbox, seconds=0.05)
    response = await client.answer()

    assert cut == 1
    assert response.status == 504
    assert (response.problem["code"], response.problem["repeat"]) == ("daemon_stopped", "unsafe")
    assert "drain_seconds: 0.05" in response.problem["detail"]


async def test_a_second_signal_ends_the_waiting(front: Any) -> None:
    sandbox, _, [line] = await front.ready()
    client = await front.client()
    client.execute(b"{}")
    await line.request()
    ending = Ending()
    ending.ask()
    async with asyncio.timeout(SECONDS), asyncio.TaskGroup() as group:
        task = group.create_task(_drain(front, sandbox, seconds=60, hurry=ending.hurry))
        await asyncio.sleep(LINGER_SECONDS * 2)
        waited = not task.done()
        ending.ask()

    assert ending.stop.is_set()
    assert waited
    assert task.result() == 1


async def test_while_daemons_change_looking_is_allowed_and_changing_is_not(front: Any) -> None:
    front.gate.shut = True
    looks, changes = await front.client(), await front.client()
    looks.get("/v1/status")
    changes.send(b"PUT /v1/desired HTTP/1.1\r\nHost: o\r\nContent-Length: 2\r\n\r\n{}")
    seen, refused = await looks.answer(), await changes.answer()

    assert seen.status == 200
    assert (refused.status, refused.problem["code"]) == (503, "daemon_stopping")
    assert refused.headers["retry-after"] == "1"


@pytest.mark.parametrize("shut", [False, True])
async def test_every_answer_beside_calls_says_which_version_gives_it(
    front: Any, *, shut: bool
) -> None:
    front.gate.shut = shut
    clients = [await front.client(), await front.client()]
    clients[0].get("/v1/nowhere")
    clients[1].send(b"PUT /v1/desired HTTP/1.1\r\nHost: o\r\nContent-Length: 2\r\n\r\n{}")

    for client in clients:
        assert (await client.answer()).headers["x-orchestrator-version"] == CORE_VERSION


async def test_nothing_is_under_way_once_all_is_answered(front: Any) -> None:
    _, _, [line] = await front.ready()
    client = await front.client()
    client.execute(b"{}")
    await line.request()
    during = len(front.gate.busy)
    line.answer()
    await client.answer()
    client.execute(b"{}", plugin="nobody")
    await client.answer()
    client.send(b"PUT /v1/desired HTTP/1.1\r\nHost: o\r\nContent-Length: 2\r\n\r\n{}")
    await client.answer()

    assert during == 1
    assert front.gate.busy == set()
