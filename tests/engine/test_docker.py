"""What is true of Docker alone: the codec's law on a real engine, and what its images try."""

import asyncio
import threading
from typing import Any

import pytest

from orchestrator.clock import SystemClock
from orchestrator.engine.base import LABEL_INSTANCE, StartRefused
from orchestrator.engine.docker_client import DockerClients
from orchestrator.engine.docker_codec import decode_spec
from orchestrator.model.container import (
    BindMount,
    ContainerPhase,
    ShareMount,
    Tmpfs,
    VolumeMount,
)

pytestmark = pytest.mark.docker

PATIENCE_SECONDS = 20

MINIMAL: dict[str, Any] = {}
RICH: dict[str, Any] = {
    "environment": (("B", "2=3,4"), ("A", ""), ("PATH", "/plugin")),
    "cpu_percent": 250,
    "bind_mounts": (
        BindMount(source="/usr/share", target="/mnt/b"),
        BindMount(source="/usr/lib", target="/mnt/a", read_only=False),
    ),
    "share_mounts": (
        ShareMount(source="/usr/share", target="/mnt/d"),
        ShareMount(source="/usr/include", target="/mnt/c", read_only=False),
    ),
    "tmpfs": (
        Tmpfs(target="/tmp", size_bytes=1 << 20, inodes=64),
        Tmpfs(target="/run", size_bytes=1 << 16, inodes=16, mode=0o700),
    ),
    "capabilities": ("NET_RAW", "NET_BIND_SERVICE"),
    "masked_paths": ("/proc/version", "/proc/keys", "/sys/class"),
    "readonly_paths": ("/proc/tty",),
    "seccomp_profile": '{"defaultAction":"SCMP_ACT_ALLOW"}',
    "user": "1000:1000",
    "working_dir": "/tmp",
    "read_only_root": False,
    "no_new_privileges": False,
    "shm_bytes": 1 << 21,
    "oom_score_adj": 0,
    "init": False,
}


async def printed(world: Any, *command: str, **changes: Any) -> str:
    """All that the probe prints in its first moment."""
    container_id = await world.run(*command, **changes)
    found = []
    stream = world.engine.logs(container_id, follow=True, since=0.0, tail=None)
    try:
        async with asyncio.timeout(0.5):
            async for line in stream:
                found.append(line.text)  # noqa: PERF401 — what came before the timeout counts
    except TimeoutError:
        await stream.aclose()
    return "\n".join(found)


@pytest.mark.parametrize("changes", [MINIMAL, RICH], ids=["minimal", "rich"])
async def test_a_spec_is_read_back_as_it_was_written(
    docker_world: Any, clients: DockerClients, changes: dict[str, Any]
) -> None:
    volume = docker_world.name()
    mounts = (VolumeMount(volume=volume, target="/data", size_bytes=1 << 23),) if changes else ()
    spec = docker_world("sleep", volume_mounts=mounts, **changes)
    container_id = await docker_world.engine.create(
        spec, name=docker_world.name(), labels=docker_world.labels
    )
    inspect = await clients.run(lambda api: api.inspect_container(container_id))
    await docker_world.engine.remove(container_id)
    await clients.run(lambda api: api.remove_volume(volume) if mounts else None)

    assert decode_spec(inspect) == spec
    assert "FROM_IMAGE=1" in inspect["Config"]["Env"]  # else the test would prove too little


async def test_labels_of_an_image_are_not_believed(
    docker_world: Any, clients: DockerClients
) -> None:
    mine = await docker_world.engine.create(
        docker_world("sleep"), name=docker_world.name(), labels={"color": docker_world.instance}
    )
    name = docker_world.name()
    await clients.run(lambda api: api.create_container(docker_world.image, "/probe", name=name))
    state = await docker_world.engine.inspect(mine)
    forged = await docker_world.engine.list({LABEL_INSTANCE: "forged"})
    await docker_world.engine.remove(mine)
    await docker_world.engine.remove(name)

    assert state.labels == (("color", docker_world.instance),)
    assert forged == []


async def test_events_of_an_images_labels_are_not_believed(docker_world: Any) -> None:
    since = SystemClock().now()
    container_id = await docker_world.engine.create(
        docker_world("sleep"), name=docker_world.name(), labels={"color": docker_world.instance}
    )
    await docker_world.engine.remove(container_id)
    stream = docker_world.engine.events({LABEL_INSTANCE: "forged"}, since=since)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await anext(stream)
    await stream.aclose()


async def test_an_image_with_volumes_of_its_own_is_refused(
    docker_world: Any, clients: DockerClients
) -> None:
    changes = ["VOLUME /unlimited"]
    await clients.run(
        lambda api: api.import_image_from_data(
            b"\0" * 1024, repository="orchestrator-test-volume", tag="1", changes=changes
        )
    )
    spec = docker_world("sleep", image="orchestrator-test-volume:1")

    with pytest.raises(StartRefused, match="/unlimited"):
        await docker_world.engine.create(spec, name=docker_world.name(), labels=docker_world.labels)
    await clients.run(lambda api: api.remove_image("orchestrator-test-volume:1"))


async def test_a_process_has_no_rights_to_gain_or_use(docker_world: Any) -> None:
    status = await printed(docker_world, "cat", "/proc/self/status")
    fields = dict(line.split(":", 1) for line in status.splitlines())

    assert fields["NoNewPrivs"].strip() == "1"
    assert fields["Seccomp"].strip() == "2"
    assert fields["Uid"].split() == ["65532"] * 4
    assert fields["Gid"].split() == ["65532"] * 4
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(fields[kind], 16) == 0, kind


async def test_files_and_core_dumps_are_limited(docker_world: Any) -> None:
    limits = await printed(docker_world, "cat", "/proc/self/limits")
    rows = {line[:25].strip(): line[25:].split()[:2] for line in limits.splitlines()}

    assert rows["Max open files"] == ["64", "64"]
    assert rows["Max core file size"] == ["0", "0"]


async def test_mounts_are_as_narrow_as_they_were_asked(docker_world: Any) -> None:
    text = await printed(
        docker_world,
        *("cat", "/proc/mounts"),
        tmpfs=(Tmpfs(target="/tmp", size_bytes=1 << 20, inodes=64),),
        bind_mounts=(BindMount(source="/usr/share", target="/mnt/share"),),
    )
    options = {line.split()[1]: set(line.split()[3].split(",")) for line in text.splitlines()}

    assert "ro" in options["/"]
    assert "ro" in options["/mnt/share"]
    assert {"noexec", "nosuid", "nodev", "size=1024k", "nr_inodes=64"} <= options["/tmp"]
    assert {"noexec", "nosuid", "nodev", "size=1024k"} <= options["/dev/shm"]


@pytest.mark.parametrize("path", ["/proc/keys", "/proc/version"])
async def test_masked_paths_add_to_the_engines_own(docker_world: Any, path: str) -> None:
    text = await printed(docker_world, "cat", path, masked_paths=("/proc/version",))

    assert text == ""


async def test_there_is_no_network_but_loopback(docker_world: Any) -> None:
    text = await printed(docker_world, "cat", "/proc/net/dev")

    assert [line.split(":")[0].strip() for line in text.splitlines()[2:]] == ["lo"]


async def test_under_an_init_a_missing_program_is_an_exit_code(docker_world: Any) -> None:
    container_id = await docker_world.run(command=("/missing",))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            state = await docker_world.engine.inspect(container_id)
            if state.phase is ContainerPhase.EXITED:
                break
            await asyncio.sleep(0.02)

    assert state.exit_code == 127


async def test_a_paused_container_can_be_stopped(docker_world: Any, clients: DockerClients) -> None:
    container_id = await docker_world.run("sleep")
    await clients.run(lambda api: api.pause(container_id))
    paused = await docker_world.engine.inspect(container_id)
    await docker_world.engine.stop(container_id, grace_seconds=0.5)
    state = await docker_world.engine.inspect(container_id)

    assert (paused.phase, state.phase) == (ContainerPhase.PAUSED, ContainerPhase.EXITED)


async def test_whoever_stops_listening_leaves_no_thread(docker_world: Any) -> None:
    container_id = await docker_world.run("sleep")
    streams = [
        docker_world.engine.events(docker_world.labels, since=SystemClock().now()),
        docker_world.engine.logs(container_id, follow=True, since=0.0, tail=None),
        docker_world.engine.logs(container_id, follow=True, since=0.0, tail=0),
    ]
    begun = docker_world.engine.events(docker_world.labels, since=0.0)
    await anext(begun)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(anext(stream)) for stream in streams]
        await asyncio.sleep(0.3)
        for task in tasks:
            task.cancel()
    await begun.aclose()

    assert [it for it in threading.enumerate() if it.name == "docker-stream"] == []


async def test_many_stubborn_programs_do_not_hold_up_other_requests(docker_world: Any) -> None:
    ids = [await docker_world.run("stubborn") for _ in range(9)]
    clock = SystemClock()
    async with asyncio.TaskGroup() as group:
        for container_id in ids:
            group.create_task(docker_world.engine.stop(container_id, grace_seconds=4))
        await asyncio.sleep(0.7)
        begin = clock.monotonic()
        await docker_world.engine.inspect(ids[0])
        took = clock.monotonic() - begin

    assert took < 2.5  # else it waits for the first of them to be killed


async def test_the_engine_tells_what_it_can_hold(docker_world: Any) -> None:
    info = await docker_world.engine.info()

    assert info.cgroup_version in {1, 2}
    assert info.cores >= 1
    assert info.memory_bytes > 1 << 28
    assert info.version
    assert info.api_version.startswith("1.")
    assert info.runtimes
    assert info.root_dir.startswith("/")
