"""The queue of calls: as many run as there are connections, few wait, and a slot is never lost."""

import asyncio

import pytest

from orchestrator.sandbox.call import Call
from tests.unit.sandbox.house import House, settle

MEBIBYTE = 1 << 20


async def test_as_many_calls_run_as_there_are_connections_and_the_rest_queue(house: House) -> None:
    sandbox, _, lines = await house.ready(calls=3)
    calls = [house.call(sandbox, b"%d" % number) for number in range(8)]
    running = [await line.request() for line in lines]
    await settle()

    assert sorted(request.body for request in running) == [b"0", b"1", b"2"]
    assert sandbox.in_flight == 8
    assert all(not line.unread for line in lines)
    order = []
    for _ in range(5):  # the plugin works on one connection alone: the queue is first in, first out
        lines[0].answer()
        order.append((await lines[0].request()).body)

    assert order == [b"3", b"4", b"5", b"6", b"7"]
    for line in lines:
        line.answer()
    assert all([(await call.outcome()).ended for call in calls])


async def test_one_call_more_than_the_queue_holds_is_overloaded(house: House) -> None:
    sandbox, _, [line] = await house.ready(max_queue=2)
    calls = [house.call(sandbox) for _ in range(4)]

    assert [call.code for call in calls] == ["", "", "", "overloaded"]
    assert calls[3].why.repeat == "safe"
    assert "1 calls run and 2 wait already" in calls[3].why.detail
    await line.request()
    line.answer()
    await calls[0].outcome()
    assert house.call(sandbox).code == ""


async def test_callers_that_leave_the_queue_leave_nothing_in_it(house: House) -> None:
    sandbox, _, [line] = await house.ready(max_queue=2)
    house.call(sandbox, b"first")
    await line.request()
    for _ in range(100):
        _, exchange = house.begin(sandbox)
        exchange.abandon()
    last = house.call(sandbox, b"last")

    assert sandbox.in_flight == 2
    assert len(sandbox._calls._waiting) == 1
    line.answer()
    assert (await line.request()).body == b"last"
    line.answer()
    assert (await last.outcome()).ended


async def test_the_slot_of_a_caller_that_went_away_stays_taken_until_the_answer(
    house: House,
) -> None:
    sandbox, _, [line] = await house.ready()
    gone, exchange = house.begin(sandbox)
    waiting = house.call(sandbox, b"next")
    await line.request()
    exchange.abandon()
    await settle()

    assert sandbox.in_flight == 2
    assert line.unread == b""
    line.answer()
    assert (await line.request()).body == b"next"
    line.answer()
    await waiting.outcome()
    assert (gone.status, gone.endings, sandbox.in_flight) == (0, 0, 0)


async def test_a_slow_reader_that_goes_away_leaves_no_plugin_held(house: House) -> None:
    sandbox, _, [line] = await house.ready()
    _, exchange = house.begin(sandbox)
    await line.request()
    exchange.hold(paused=True)
    exchange.abandon()
    line.answer(bytes(MEBIBYTE))
    await line.flush()
    after = house.call(sandbox)
    await line.request()
    line.answer()

    assert (await after.outcome()).ended


async def test_a_request_cut_in_half_costs_the_connection(house: House) -> None:
    sandbox, _, [line] = await house.ready()
    _, exchange = house.begin(sandbox, None)
    exchange.send(b"half")
    await line.head()
    exchange.abandon()

    assert await line.ended()
    assert sandbox.in_flight == 0


async def test_a_cancelled_wait_abandons_the_call(house: House) -> None:
    sandbox, _, [line] = await house.ready()
    house.call(sandbox)
    call = Call(request_id="r2", deadline_seconds=5.0, content_length=2)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await sandbox.invoke(call, b"no")

    assert sandbox.in_flight == 1
    await line.request()
    line.answer()
    await settle()
    assert line.unread == b""
