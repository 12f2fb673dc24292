"""The two engines as worlds: an engine, and specs of containers that behave as told."""

import hashlib
import io
import itertools
import os
import subprocess
import tarfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import pytest

from orchestrator.engine.base import LABEL_INSTANCE, Engine, StartRefused
from orchestrator.engine.docker import DockerEngine
from orchestrator.engine.docker_client import DockerClients
from orchestrator.engine.memory import MemoryEngine
from orchestrator.engine.memory_stores import MemoryImages
from orchestrator.model.container import ContainerSpec, ContainerState

RUN = f"test-{os.getpid()}-{os.urandom(4).hex()}"
_SOURCE = Path(__file__).with_name("probe.c")
_numbers = itertools.count(1)


class World(Protocol):
    @property
    def engine(self) -> Engine: ...

    @property
    def image(self) -> str: ...

    instance: str

    def __call__(self, *command: str, **changes: Any) -> ContainerSpec:
        """A spec whose program is the probe with these arguments."""

    def name(self) -> str:
        """A name that nobody has."""

    async def run(self, *command: str, **changes: Any) -> str:
        """Create and start; the id."""


@dataclass(kw_only=True)
class _World:
    engine: Any
    image: str
    instance: str

    def __call__(self, *command: str, **changes: Any) -> ContainerSpec:
        spec = ContainerSpec(
            plugin_id="probe",
            image=self.image,
            command=("/probe", *command),
            environment=(("ORCHESTRATOR_PLUGIN_ID", "probe"),),
            memory_bytes=16 << 20,
            cpu_percent=50,
            pids_limit=16,
            open_files=64,
            log_bytes=1 << 20,
            stop_grace_seconds=5,
            working_dir="/",
        )
        return replace(spec, **changes)

    def name(self) -> str:
        return f"{RUN}-{next(_numbers)}"

    @property
    def labels(self) -> dict[str, str]:
        return {LABEL_INSTANCE: self.instance}

    async def run(self, *command: str, **changes: Any) -> str:
        spec = self(*command, **changes)
        container_id: str = await self.engine.create(spec, name=self.name(), labels=self.labels)
        await self.engine.start(container_id)
        return container_id


@dataclass
class _Probe:
    """The probe program, played for the in-memory engine."""

    engine: MemoryEngine

    def __call__(self, spec: ContainerSpec, state: ContainerState) -> None:
        program, verb, *arguments = [*spec.command, ""]
        if program != "/probe":
            raise StartRefused(f"{program}: no such file")
        play = getattr(self, f"_{verb.replace('-', '_')}", None)
        if play is not None:
            play(state.container_id, *arguments)

    def _exit(self, container_id: str, code: str, _: str) -> None:
        self.engine.die(container_id, exit_code=int(code))

    def _stubborn(self, container_id: str, *_: str) -> None:
        self.engine.ignore_sigterm(container_id)

    def _eat(self, container_id: str, *_: str) -> None:
        self.engine.oom(container_id)

    def _eat_in_child(self, container_id: str, *_: str) -> None:
        self.engine.oom(container_id, fatal=False)

    def _say(self, container_id: str, *words: str) -> None:
        for word in filter(None, words):
            stream, _, text = word.partition(":")
            self.engine.log(container_id, text, stream=f"std{stream}")

    def _long(self, container_id: str, length: str, _: str) -> None:
        self.engine.log(container_id, "x" * int(length))
        self.engine.log(container_id, "after")


@pytest.fixture(scope="session")
def docker_image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image of one static program, made once for each version of its source."""
    tag = f"orchestrator-test-probe:{hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:16]}"
    api = DockerClients.connect().own(timeout=60)
    try:
        if not api.images(tag):
            folder = tmp_path_factory.mktemp("probe")
            program = folder / "probe"
            subprocess.run(["gcc", "-static", "-Os", "-o", program, _SOURCE], check=True)
            repository, _, version = tag.partition(":")
            api.import_image_from_data(
                _tar(program),
                repository=repository,
                tag=version,
                changes=[
                    "ENV FROM_IMAGE=1",
                    f"LABEL {LABEL_INSTANCE}=forged",
                    "LABEL orchestrator.forged=1",
                ],
            )
    finally:
        api.close()
    return tag


def _tar(program: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(program, "probe")
        for folder in ("data", "tmp"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def docker_sweep() -> Iterator[None]:
    """Whatever a failed test leaves behind goes at the end, and only that."""
    yield
    api = DockerClients.connect().own(timeout=60)
    try:
        for item in api.containers(all=True, filters={"name": [f"^/{RUN}-"]}):
            api.remove_container(item["Id"], force=True, v=True)
    finally:
        api.close()


@pytest.fixture
async def clients(docker_sweep: None) -> AsyncIterator[DockerClients]:
    connected = DockerClients.connect()
    yield connected
    await connected.aclose()


@pytest.fixture
async def docker_world(docker_image: str, clients: DockerClients) -> AsyncIterator[_World]:
    engine = DockerEngine(clients)
    world = _World(engine=engine, image=docker_image, instance=f"{RUN}-{next(_numbers)}")
    yield world
    for state in await engine.list(world.labels):
        await engine.remove(state.container_id)


@pytest.fixture
def memory_world() -> _World:
    images = MemoryImages()
    images.add("probe")
    engine = MemoryEngine(images=images)
    engine.on_start = _Probe(engine)
    return _World(engine=engine, image="probe", instance=f"{RUN}-{next(_numbers)}")


@pytest.fixture(params=["memory", pytest.param("docker", marks=pytest.mark.docker)])
def world(request: pytest.FixtureRequest) -> World:
    """Both engines, one after the other, through the same claims."""
    found: World = request.getfixturevalue(f"{request.param}_world")
    return found
