"""What every engine must do; memory and Docker are held to the same claims."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, TypeVar

import pytest

from orchestrator.clock import SystemClock
from orchestrator.engine.base import (
    LABEL_INSTANCE,
    ContainerNameTaken,
    ContainerNotFound,
    EngineEvent,
    EngineEventKind,
    ImageNotFound,
    LogLine,
    StartRefused,
)
from orchestrator.model.container import Adjustable, ContainerPhase, ContainerState

T = TypeVar("T")

PATIENCE_SECONDS = 20
NOWHERE = "0" * 64


async def until(world: Any, container_id: str, phase: ContainerPhase) -> ContainerState:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            state: ContainerState = await world.engine.inspect(container_id)
            if state.phase is phase:
                return state
            await asyncio.sleep(0.02)


async def take(stream: AsyncIterator[T], enough: Callable[[list[T]], bool]) -> list[T]:
    """From the stream's start until `enough`, or its end."""
    taken: list[T] = []
    async with asyncio.timeout(PATIENCE_SECONDS), aclosing(stream):
        async for item in stream:
            taken.append(item)
            if enough(taken):
                break
    return taken


async def lines(world: Any, container_id: str, **options: Any) -> list[tuple[str, str]]:
    window = {"follow": False, "since": 0.0, "tail": None, **options}
    found = await take(world.engine.logs(container_id, **window), lambda _: False)
    return [(line.stream, line.text) for line in found]


async def said(world: Any, container_id: str, text: str) -> list[LogLine]:
    """Wait until the program has printed `text`; everything it printed up to then."""
    stream = world.engine.logs(container_id, follow=True, since=0.0, tail=None)
    return await take(stream, lambda taken: taken[-1].text == text)


async def test_a_created_container_has_its_labels_and_never_ran(world: Any) -> None:
    name = world.name()
    labels = {**world.labels, "orchestrator.plugin": "probe"}
    container_id = await world.engine.create(world("sleep"), name=name, labels=labels)
    state = await world.engine.inspect(container_id)

    assert state == ContainerState(
        container_id=container_id,
        name=name,
        labels=tuple(sorted(labels.items())),
        phase=ContainerPhase.CREATED,
        cpu_percent=50,
        adjustable=Adjustable(memory_bytes=16 << 20, memory_swap_bytes=16 << 20, pids_limit=16),
    )


async def test_a_started_container_runs(world: Any) -> None:
    before = SystemClock().now()
    state = await world.engine.inspect(await world.run("sleep"))

    assert (state.phase, state.exit_code) == (ContainerPhase.RUNNING, None)
    assert before - 1 < state.started_at < SystemClock().now() + 1


async def test_starting_what_runs_changes_nothing(world: Any) -> None:
    container_id = await world.run("sleep")
    before = await world.engine.inspect(container_id)
    await world.engine.start(container_id)

    assert await world.engine.inspect(container_id) == before


async def test_an_exit_code_is_shown(world: Any) -> None:
    state = await until(world, await world.run("exit", "3"), ContainerPhase.EXITED)

    assert (state.exit_code, state.oom_killed) == (3, False)
    assert state.finished_at >= state.started_at > 0


async def test_a_container_that_runs_again_has_no_exit_code(world: Any) -> None:
    container_id = await world.run("sleep")
    await world.engine.stop(container_id, grace_seconds=0)
    await world.engine.start(container_id)
    state = await world.engine.inspect(container_id)

    assert (state.phase, state.exit_code) == (ContainerPhase.RUNNING, None)


async def test_a_program_may_finish_within_its_grace(world: Any) -> None:
    container_id = await world.run("say", "out:ready")
    await said(world, container_id, "ready")
    await world.engine.stop(container_id, grace_seconds=10)
    state = await world.engine.inspect(container_id)

    assert (state.phase, state.exit_code) == (ContainerPhase.EXITED, 0)


@pytest.mark.parametrize(("program", "grace"), [("stubborn", 0.3), ("sleep", 0)])
async def test_a_program_without_grace_or_heed_is_killed(
    world: Any, program: str, grace: float
) -> None:
    container_id = await world.run(program)
    await world.engine.stop(container_id, grace_seconds=grace)
    state = await world.engine.inspect(container_id)

    assert (state.phase, state.exit_code, state.oom_killed) == (ContainerPhase.EXITED, 137, False)


async def test_stopping_what_does_not_run_is_quiet(world: Any) -> None:
    container_id = await world.engine.create(world("sleep"), name=world.name(), labels=world.labels)
    await world.engine.stop(container_id, grace_seconds=1)
    await world.engine.stop(NOWHERE, grace_seconds=1)

    assert (await world.engine.inspect(container_id)).phase is ContainerPhase.CREATED


async def test_removing_ends_what_runs_and_is_quiet_the_second_time(world: Any) -> None:
    container_id = await world.run("stubborn")
    await world.engine.remove(container_id)
    await world.engine.remove(container_id)

    assert await world.engine.inspect(container_id) is None
    assert await world.engine.list(world.labels) == []


async def test_a_name_is_given_once(world: Any) -> None:
    name = world.name()
    await world.engine.create(world("sleep"), name=name, labels=world.labels)

    with pytest.raises(ContainerNameTaken, match=name):
        await world.engine.create(world("sleep"), name=name, labels=world.labels)


async def test_an_image_that_is_not_there_is_told(world: Any) -> None:
    spec = world("sleep", image="orchestrator-test-nowhere:1")

    with pytest.raises(ImageNotFound, match="orchestrator-test-nowhere"):
        await world.engine.create(spec, name=world.name(), labels=world.labels)
    assert await world.engine.list(world.labels) == []


async def test_a_container_that_is_not_there_is_told(world: Any) -> None:
    with pytest.raises(ContainerNotFound):
        await world.engine.start(NOWHERE)
    with pytest.raises(ContainerNotFound):
        await world.engine.set_cpu(NOWHERE, cpu_percent=10)
    with pytest.raises(ContainerNotFound):
        await lines(world, NOWHERE)
    assert await world.engine.inspect(NOWHERE) is None


async def test_a_missing_program_is_told_and_nothing_runs(world: Any) -> None:
    # With an init, the engine starts that, and the missing program is its exit code 127.
    spec = world(command=("/missing",), init=False)
    container_id = await world.engine.create(spec, name=world.name(), labels=world.labels)

    with pytest.raises(StartRefused, match="/missing"):
        await world.engine.start(container_id)
    state = await world.engine.inspect(container_id)
    assert (state.phase, state.exit_code) == (ContainerPhase.CREATED, None)


async def test_a_program_over_its_memory_is_told_from_one_that_was_killed(world: Any) -> None:
    for _ in range(3):  # a busy engine of 20.10 now and then misses one
        state = await until(world, await world.run("eat", "64"), ContainerPhase.EXITED)
        if state.oom_killed:
            break

    assert (state.exit_code, state.oom_killed) == (137, True)


async def test_a_child_over_its_memory_makes_an_event_and_the_program_lives(world: Any) -> None:
    since = SystemClock().now()
    container_id = await world.run("eat-in-child", "64")
    stream = world.engine.events(world.labels, since=since)
    events = await take(stream, lambda taken: taken[-1].kind is EngineEventKind.OOM)

    assert events[-1].container_id == container_id
    assert (await world.engine.inspect(container_id)).phase is ContainerPhase.RUNNING


@pytest.mark.parametrize("percent", [5, 150, 0])
async def test_the_cpu_quota_changes_before_and_after_the_start(world: Any, percent: int) -> None:
    container_id = await world.engine.create(world("sleep"), name=world.name(), labels=world.labels)
    await world.engine.set_cpu(container_id, cpu_percent=percent)
    created = await world.engine.inspect(container_id)
    await world.engine.start(container_id)
    await world.engine.set_cpu(container_id, cpu_percent=70)
    await world.engine.set_cpu(container_id, cpu_percent=percent)
    running = await world.engine.inspect(container_id)

    assert (created.cpu_percent, running.cpu_percent) == (percent, percent)
    assert running.phase is ContainerPhase.RUNNING


async def test_a_list_holds_what_carries_every_label_by_name(world: Any) -> None:
    first, second, third = sorted(world.name() for _ in range(3))
    both = {**world.labels, "color": "red"}
    await world.engine.create(world("sleep"), name=third, labels=both)
    await world.engine.create(world("sleep"), name=first, labels=both)
    await world.engine.create(world("sleep"), name=second, labels=world.labels)

    assert [it.name for it in await world.engine.list(both)] == [first, third]
    assert [it.name for it in await world.engine.list(world.labels)] == [first, second, third]
    assert await world.engine.list({**both, "color": "blue"}) == []


async def test_a_life_is_told_in_order_from_the_moment_asked(world: Any) -> None:
    await world.run("sleep")
    since = SystemClock().now() + 0.001
    await asyncio.sleep(0.01)
    container_id = await world.run("exit", "3")
    await until(world, container_id, ContainerPhase.EXITED)
    await world.engine.remove(container_id)
    stream = world.engine.events(world.labels, since=since)
    events = await take(stream, lambda taken: taken[-1].kind is EngineEventKind.REMOVED)

    assert [event.kind for event in events] == [
        EngineEventKind.CREATED,
        EngineEventKind.STARTED,
        EngineEventKind.DIED,
        EngineEventKind.REMOVED,
    ]
    assert {event.container_id for event in events} == {container_id}
    assert {event.labels for event in events} == {((LABEL_INSTANCE, world.instance),)}
    assert [event.at for event in events] == sorted(event.at for event in events)


async def test_events_arrive_while_one_waits_and_leave_out_other_instances(world: Any) -> None:
    stream = world.engine.events(world.labels, since=SystemClock().now())

    async def wait() -> list[EngineEvent]:
        return await take(stream, lambda taken: len(taken) == 2)

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(wait())
        await asyncio.sleep(0.2)
        other = await world.engine.create(
            world("sleep"), name=world.name(), labels={LABEL_INSTANCE: "other"}
        )
        await world.engine.remove(other)
        mine = await world.run("sleep")

    assert [(event.kind, event.container_id) for event in waiting.result()] == [
        (EngineEventKind.CREATED, mine),
        (EngineEventKind.STARTED, mine),
    ]


async def test_log_lines_tell_their_stream_and_time(world: Any) -> None:
    before = SystemClock().now()
    container_id = await world.run("say", "out:one", "err:two", "out:three ünd")
    found = await said(world, container_id, "three ünd")

    assert [(line.stream, line.text) for line in found] == [
        ("stdout", "one"),
        ("stderr", "two"),
        ("stdout", "three ünd"),
    ]
    assert before - 1 < found[0].at <= found[1].at <= found[2].at < SystemClock().now() + 1


async def test_a_log_can_be_read_from_its_end_or_from_a_moment_on(world: Any) -> None:
    container_id = await world.run("say", "out:one", "out:two", "out:three")
    found = await said(world, container_id, "three")

    assert await lines(world, container_id, tail=2) == [("stdout", "two"), ("stdout", "three")]
    assert await lines(world, container_id, tail=0) == []
    assert await lines(world, container_id, since=found[2].at + 0.001) == []
    assert ("stdout", "three") in await lines(world, container_id, since=found[2].at)


async def test_a_line_is_cut_after_16_kib_and_the_next_is_whole(world: Any) -> None:
    container_id = await world.run("long", "70000")
    found = await said(world, container_id, "after")

    assert [line.text for line in found] == ["x" * 16_384, "after"]


async def test_a_followed_log_goes_on_over_restarts_until_the_container_is_gone(
    world: Any,
) -> None:
    container_id = await world.run("say", "out:one")
    stream = world.engine.logs(container_id, follow=True, since=0.0, tail=None)

    async def follow() -> list[LogLine]:
        return await take(stream, lambda _: False)

    async with asyncio.TaskGroup() as group:
        following = group.create_task(follow())
        await said(world, container_id, "one")
        await world.engine.stop(container_id, grace_seconds=0)
        await asyncio.sleep(0.3)
        await world.engine.start(container_id)
        await asyncio.sleep(0.5)
        await world.engine.remove(container_id)

    assert [line.text for line in following.result()] == ["one", "one"]
