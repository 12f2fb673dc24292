"""Deadlines of calls, and what becomes of a plugin that does not keep them."""

import asyncio

import pytest

from orchestrator.model.info import ToolInfo
from orchestrator.sandbox import sandbox as module
from orchestrator.sandbox.sandbox import SandboxState
from tests.unit.sandbox.house import House, settle

TOOLS = (
    ToolInfo(name="look", description="d", read_only=True),
    ToolInfo(name="put", description="d", idempotent=True),
    ToolInfo(name="pay", description="d"),
)


@pytest.fixture
def redial(monkeypatch: pytest.MonkeyPatch) -> float:
    """The second that a plugin has, shorter."""
    monkeypatch.setattr(module, "REDIAL_SECONDS", 0.2)
    return 0.2


async def test_a_call_that_waits_too_long_never_reaches_the_plugin(house: House) -> None:
    sandbox, _, [line] = await house.ready()
    running = house.call(sandbox, b"runs")
    await line.request()
    waiting = await house.call(sandbox, b"waits", deadline_seconds=0.05).outcome()

    assert (waiting.code, waiting.why.repeat) == ("deadline_exceeded", "safe")
    assert "no connection of the plugin was free within 0.05 s" in waiting.why.detail
    line.answer()
    await running.outcome()
    await settle()
    assert line.unread == b""
    assert sandbox.in_flight == 0
    assert sandbox.state is SandboxState.READY


async def test_a_call_that_runs_too_long_costs_its_connection(house: House, redial: float) -> None:
    sandbox, plugin, [line] = await house.ready()
    seen = house.call(sandbox, deadline_seconds=0.05)
    await line.request()
    await seen.outcome()

    assert (seen.code, seen.why.repeat) == ("deadline_exceeded", "unsafe")
    assert "did not answer within 0.05 s" in seen.why.detail
    assert await line.ended()
    await plugin.dial()
    await asyncio.sleep(redial + 0.1)
    assert sandbox.state is SandboxState.READY
    assert house.changes == ["starting"]


async def test_a_late_answer_goes_to_nobody(house: House) -> None:
    sandbox, plugin, [line] = await house.ready()
    late = house.call(sandbox, b"late", deadline_seconds=0.05)
    await line.request()
    await late.outcome()
    line.answer(b"the late answer")
    again = await plugin.dial()
    seen = house.call(sandbox, b"next")
    await again.request()
    again.answer(b"the right answer")

    assert bytes((await seen.outcome()).body) == b"the right answer"
    assert late.body == b""


async def test_a_plugin_that_does_not_dial_again_is_stuck(house: House, redial: float) -> None:
    sandbox, _, [slow, *beside] = await house.ready(calls=5, tools=TOOLS)
    overrun = house.call(sandbox, deadline_seconds=0.05)
    others = [house.call(sandbox, tool=tool) for tool in ("look", "put", "pay", "")]
    for line in (slow, *beside):
        await line.request()
    waiting = house.call(sandbox, deadline_seconds=10.0)
    await overrun.outcome()
    start = asyncio.get_running_loop().time()
    ended = [await call.outcome() for call in (*others, waiting)]

    assert redial - 0.06 < asyncio.get_running_loop().time() - start < redial + 0.5
    assert sandbox.state is SandboxState.STUCK
    assert sandbox.trouble == "a call went on past its deadline"
    assert house.changes[-1] == "stuck a call went on past its deadline"
    assert {call.code for call in ended} == {"plugin_restarted"}
    assert [call.why.repeat for call in ended] == ["safe", "safe", "unsafe", "unsafe", "safe"]
    assert house.call(sandbox).code == "plugin_not_running"
    assert not sandbox.is_connected


async def test_each_overrun_has_its_own_second(house: House, redial: float) -> None:
    """A plugin that dials again each time is sound, though a lane is never full when looked at."""
    sandbox, plugin, _ = await house.ready(calls=2)
    first = house.call(sandbox, deadline_seconds=0.05)
    second = house.call(sandbox, deadline_seconds=0.05 + redial * 0.8)
    await first.outcome()
    await plugin.dial()
    await second.outcome()
    await asyncio.sleep(redial * 0.5)  # the first one's second is over, the second one's is not

    assert sandbox.lanes_in_words().startswith("control 1/1, calls 1/2")
    assert sandbox.state is SandboxState.READY
    await plugin.dial()
    await asyncio.sleep(redial)
    assert sandbox.state is SandboxState.READY


async def test_one_dial_does_not_stand_for_two_overruns(house: House, redial: float) -> None:
    sandbox, plugin, _ = await house.ready(calls=2)
    calls = [house.call(sandbox, deadline_seconds=0.05) for _ in range(2)]
    for call in calls:
        await call.outcome()
    await plugin.dial()
    await asyncio.sleep(redial + 0.1)

    assert sandbox.state is SandboxState.STUCK


async def test_the_deadline_of_a_caller_that_went_away_still_holds(
    house: House, redial: float
) -> None:
    sandbox, _, [line] = await house.ready()
    _, exchange = house.begin(sandbox, deadline_seconds=0.1)
    await line.request()
    exchange.abandon()

    assert await line.ended()
    await asyncio.sleep(redial + 0.1)
    assert sandbox.state is SandboxState.STUCK
    assert sandbox.in_flight == 0


def _armed(house: House) -> int:
    return sum(len(slot) for slot in house.wheel._slots.values())


async def test_an_answer_in_time_ends_the_deadline(house: House, redial: float) -> None:
    sandbox, _, [line] = await house.ready()
    before = _armed(house)
    seen = house.call(sandbox, deadline_seconds=0.06)
    await line.request()
    line.answer()
    await seen.outcome()
    after = _armed(house)
    await asyncio.sleep(0.15)

    assert after == before
    assert seen.endings == 1
    assert sandbox.lanes_in_words().startswith("control 1/1, calls 1/1")


async def test_a_deadline_in_the_middle_of_an_answer_cuts_it(house: House) -> None:
    sandbox, _, [line] = await house.ready()
    seen = house.call(sandbox, deadline_seconds=0.06)
    await line.request()
    line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    await seen.outcome()

    assert (seen.status, bytes(seen.body), seen.ended) == (200, b"half", False)
    assert seen.code == "deadline_exceeded"


@pytest.mark.parametrize(
    ("wished", "given"), [(None, 30.0), (5.0, 5.0), (99.0, 30.0), (0.0, 0.001)]
)
async def test_a_callers_wish_is_capped_by_the_plugins_limit(
    house: House, wished: float | None, given: float
) -> None:
    sandbox, _ = await house.sandbox(listens=False)

    assert sandbox.deadline_seconds(wished) == given
