"""What the engine tells of its own accord: hints, without a gap, with who brought an end about."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from orchestrator.clock import SystemClock
from orchestrator.engine.base import ANY, EngineEvent, EngineEventKind

PATIENCE_SECONDS = 20


async def take(
    stream: AsyncIterator[EngineEvent], enough: Callable[[list[EngineEvent]], bool]
) -> list[EngineEvent]:
    taken: list[EngineEvent] = []
    async with asyncio.timeout(PATIENCE_SECONDS), aclosing(stream):  # type: ignore[type-var]
        async for item in stream:
            taken.append(item)
            if enough(taken):
                break
    return taken


@pytest.mark.parametrize(("grace", "signal"), [(10, 15), (0, 9)])
async def test_a_signal_that_the_engine_sent_is_told_before_the_end_it_brought(
    world: Any, grace: int, signal: int
) -> None:
    container_id = await world.run("say", "out:ready")
    log = world.engine.logs(container_id, follow=True, since=0.0, tail=None)
    async with asyncio.timeout(PATIENCE_SECONDS), aclosing(log):
        assert (await anext(log)).text == "ready"
    since = SystemClock().now()
    await world.engine.stop(container_id, grace_seconds=grace)
    stream = world.engine.events(world.labels, since=since)
    events = await take(stream, lambda taken: taken[-1].kind is EngineEventKind.DIED)

    assert [(event.kind, event.signal) for event in events] == [
        (EngineEventKind.SIGNALLED, signal),
        (EngineEventKind.DIED, 0),
    ]


async def test_what_is_listed_once_the_engine_tells_leaves_no_gap(world: Any) -> None:
    opened = asyncio.Event()
    since = SystemClock().now()
    stream = world.engine.events(world.labels, since=since, opened=opened.set)

    async def wait() -> list[EngineEvent]:
        return await take(stream, lambda taken: len(taken) == 1)

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(wait())
        async with asyncio.timeout(PATIENCE_SECONDS):
            await opened.wait()
        listed = await world.engine.list(world.labels)
        made = await world.engine.create(world("sleep"), name=world.name(), labels=world.labels)

    assert listed == []
    assert [event.container_id for event in waiting.result()] == [made]


async def test_a_label_may_be_asked_for_whatever_its_value(world: Any) -> None:
    name = f"color-{world.instance}"
    red = await world.engine.create(
        world("sleep"), name=world.name(), labels={**world.labels, name: "red"}
    )
    blue = await world.engine.create(
        world("sleep"), name=world.name(), labels={**world.labels, name: ""}
    )
    await world.engine.create(world("sleep"), name=world.name(), labels=world.labels)

    found = {it.container_id for it in await world.engine.list({name: ANY})}
    assert found == {red, blue}
