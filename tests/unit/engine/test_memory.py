"""What the in-memory engine offers beyond the contract: accidents, on demand."""

import asyncio
from pathlib import Path

import pytest

from orchestrator.engine.base import (
    BuildRequest,
    EngineEvent,
    EngineEventKind,
    EngineFailure,
    EngineUnavailable,
    ImageNotFound,
    StartRefused,
)
from orchestrator.engine.memory import MemoryEngine
from orchestrator.engine.memory_stores import MemoryImages, MemoryVolumes
from orchestrator.model.container import (
    ContainerPhase,
    ContainerSpec,
    ContainerState,
    VolumeMount,
)

SPEC = ContainerSpec(
    plugin_id="echo",
    image="echo:1",
    command=("/run",),
    environment=(),
    memory_bytes=1 << 20,
    cpu_percent=10,
    pids_limit=8,
    open_files=64,
    log_bytes=1024,
    stop_grace_seconds=1,
)


class FrozenClock:
    """Time that moves when the test says so."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


async def running(engine: MemoryEngine, name: str = "echo") -> str:
    container_id = await engine.create(SPEC, name=name, labels={})
    await engine.start(container_id)
    return container_id


async def test_the_nth_call_of_a_verb_fails_and_changes_nothing() -> None:
    engine = MemoryEngine()
    engine.fail_next("create", EngineFailure("boom"), nth=2)
    await engine.create(SPEC, name="one", labels={})

    with pytest.raises(EngineFailure, match="boom"):
        await engine.create(SPEC, name="two", labels={})
    await engine.create(SPEC, name="three", labels={})
    assert [state.name for state in await engine.list({})] == ["one", "three"]


async def test_failures_of_one_verb_wait_for_that_verb() -> None:
    engine = MemoryEngine()
    engine.fail_next("start", EngineFailure("first"))
    engine.fail_next("start", EngineFailure("second"), nth=2)
    container_id = await engine.create(SPEC, name="one", labels={})

    for words in ("first", "second"):
        with pytest.raises(EngineFailure, match=words):
            await engine.start(container_id)
    await engine.start(container_id)


async def test_an_engine_made_unavailable_fails_every_verb_and_keeps_its_containers() -> None:
    engine = MemoryEngine()
    container_id = await running(engine)
    stream = engine.events({}, since=0.0)
    assert (await anext(stream)).kind is EngineEventKind.CREATED
    assert (await anext(stream)).kind is EngineEventKind.STARTED
    engine.set_available(False)

    with pytest.raises(EngineUnavailable):
        await engine.inspect(container_id)
    with pytest.raises(EngineUnavailable):
        await anext(stream)
    engine.set_available(True)
    state = await engine.inspect(container_id)
    assert state is not None
    assert state.phase is ContainerPhase.RUNNING


async def test_events_are_told_again_after_an_outage() -> None:
    engine = MemoryEngine()
    await running(engine)
    engine.set_available(False)
    engine.set_available(True)

    assert (await anext(engine.events({}, since=0.0))).kind is EngineEventKind.CREATED


async def test_times_are_the_clocks() -> None:
    clock = FrozenClock()
    engine = MemoryEngine(clock=clock)
    container_id = await running(engine)
    clock.at = 1_005.0
    engine.die(container_id, exit_code=2)
    state = await engine.inspect(container_id)

    assert state is not None
    assert (state.started_at, state.finished_at, state.exit_code) == (1_000.0, 1_005.0, 2)


async def test_a_hook_sees_each_start_and_may_refuse_it() -> None:
    seen: list[tuple[str, ContainerPhase]] = []

    def on_start(spec: ContainerSpec, state: ContainerState) -> None:
        seen.append((spec.plugin_id, state.phase))
        if state.name == "bad":
            raise StartRefused("no")

    engine = MemoryEngine(on_start=on_start)
    await running(engine, "good")

    with pytest.raises(StartRefused):
        await running(engine, "bad")
    assert seen == [("echo", ContainerPhase.RUNNING)] * 2
    assert [state.phase for state in await engine.list({})] == [
        ContainerPhase.CREATED,
        ContainerPhase.RUNNING,
    ]


async def test_calls_that_change_something_are_written_down() -> None:
    engine = MemoryEngine()
    container_id = await running(engine)
    await engine.inspect(container_id)
    await engine.stop(container_id, grace_seconds=0)
    await engine.remove(container_id)

    assert engine.calls == [(verb, "echo") for verb in ("create", "start", "stop", "remove")]


async def test_many_may_follow_the_events() -> None:
    engine = MemoryEngine()

    async def first() -> EngineEvent:
        return await anext(engine.events({}, since=0.0))

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(first()) for _ in range(5)]
        await asyncio.sleep(0)
        group.create_task(running(engine))

    assert {task.result().kind for task in tasks} == {EngineEventKind.CREATED}


async def test_a_built_image_can_be_found_and_read(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "main.py").write_text("pass")
    (tmp_path / "plugin.yaml").write_text("plugin_id: echo")
    images = MemoryImages()
    progress: list[str] = []
    request = BuildRequest(
        tag="echo:1",
        context={"plugin/plugin.yaml": tmp_path / "plugin.yaml", "plugin": tmp_path / "code"},
        dockerfile="Dockerfile",
        arguments={},
        network=False,
        memory_bytes=1 << 20,
        timeout_seconds=1,
        labels={"color": "red"},
    )
    image_id = await images.build(request, progress.append)

    assert await images.find("echo:1") == image_id
    assert await images.labels(image_id) == {"color": "red"}
    content = await images.read_file("echo:1", "/plugin/plugin.yaml", max_bytes=100)
    assert content == b"plugin_id: echo"
    assert await images.read_file("echo:1", "/plugin/main.py", max_bytes=100) == b"pass"
    assert await images.read_file("echo:1", "/missing", max_bytes=100) is None
    with pytest.raises(EngineFailure, match="at most 3"):
        await images.read_file("echo:1", "/plugin/main.py", max_bytes=3)
    assert progress


async def test_only_what_the_registry_holds_is_pulled() -> None:
    images = MemoryImages(registry={"known:1": {"/file": b"1"}})
    image_id = await images.pull("known:1", timeout_seconds=1)

    assert await images.find("known:1") == image_id
    with pytest.raises(ImageNotFound, match="unknown:1"):
        await images.pull("unknown:1", timeout_seconds=1)


async def test_a_volume_does_not_shrink_below_what_it_holds() -> None:
    volumes = MemoryVolumes()
    await volumes.ensure(VolumeMount(volume="v", target="/data", size_bytes=100), {})
    volumes.fill("v", 60)
    await volumes.ensure(VolumeMount(volume="v", target="/data", size_bytes=60), {})

    with pytest.raises(EngineFailure, match="holds 60"):
        await volumes.ensure(VolumeMount(volume="v", target="/data", size_bytes=59), {})
    assert volumes.size("v") == 60
