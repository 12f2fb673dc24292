"""Engine: nine verbs on containers. Images and volumes are protocols of their own.

A container's failure is a value (`ContainerState`); the engine's failure is an exception.
Everything that one orchestrator made carries the label `orchestrator.instance`; what does not
carry it is never touched.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from orchestrator.errors import Kind, OrchestratorError
from orchestrator.model.container import ContainerSpec, ContainerState, VolumeMount

LABEL_INSTANCE = "orchestrator.instance"
LABEL_OWNER = "orchestrator.owner"
"""Tells instances of one name but different state folders apart."""
LABEL_FOLDER = "orchestrator.state-folder"
"""Where the instance keeps its state: who finds the folder gone knows an orphan."""
LABEL_HOST = "orchestrator.host"
"""The machine and disk on which that path is meant (manager/liveness.py)."""
LABEL_PLUGIN = "orchestrator.plugin"
LABEL_VERSION = "orchestrator.version"
LABEL_SANDBOX = "orchestrator.sandbox"
LABEL_DIGEST = "orchestrator.spec-digest"
LABEL_ROLE = "orchestrator.role"
"""What a container is for that is no plugin's: the reconcile loop passes over it."""
ANY = "*"
"""As a label's value, where containers are listed: whatever it is."""
NO_MARKS: Mapping[str, str] = MappingProxyType({})


def carries(labels: Iterable[tuple[str, str]], wanted: Mapping[str, str]) -> bool:
    """Whether all that is wanted is among the labels."""
    found = dict(labels)
    return all(name in found and value in {ANY, found[name]} for name, value in wanted.items())


class EngineUnavailable(OrchestratorError):
    """No engine answers at the address; starting it or fixing the address helps."""

    kind, code = Kind.UNAVAILABLE, "engine_unavailable"


class EngineFailure(OrchestratorError):
    """The engine answered with an error that fits no other leaf; its own words are kept."""

    kind, code = Kind.INTERNAL, "engine_failure"


class ContainerNotFound(OrchestratorError):
    kind, code = Kind.NOT_FOUND, "container_not_found"


class ContainerNameTaken(OrchestratorError):
    """A container of that name exists: somebody (perhaps a killed daemon) made it already."""

    kind, code = Kind.CONFLICT, "container_name_taken"


class ImageNotFound(OrchestratorError):
    kind, code = Kind.NOT_FOUND, "image_not_found"


class StartRefused(OrchestratorError):
    """The engine would not start the container: the command is missing, say."""

    kind, code = Kind.INVALID, "container_start_refused"


class DiskFull(OrchestratorError):
    kind, code = Kind.EXHAUSTED, "disk_full"


class BuildFailed(OrchestratorError):
    """A Dockerfile did not build; carries the last lines the builder printed."""

    kind, code = Kind.INVALID, "build_failed"


class EngineEventKind(StrEnum):
    CREATED = "created"
    STARTED = "started"
    DIED = "died"
    OOM = "oom"
    SIGNALLED = "signalled"
    """Somebody, perhaps we, had the engine send it a signal."""
    REMOVED = "removed"
    CHANGED = "changed"
    """Paused, unpaused, updated, renamed: look again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineEvent:
    """A hint that something happened to a container; the truth is in `inspect`."""

    kind: EngineEventKind
    container_id: str
    at: float
    """Seconds since the epoch, with the engine's nanoseconds kept as fraction."""
    labels: tuple[tuple[str, str], ...] = ()
    signal: int = 0
    """Its number, with SIGNALLED; 0 where the engine does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    stream: str
    """`stdout` or `stderr`."""
    at: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """What this engine is and can hold; `doctor` and the policy read it."""

    name: str
    version: str
    api_version: str
    cgroup_version: int
    cgroup_driver: str
    dropped_limits: tuple[str, ...] = ()
    """What it drops of `memory`, `swap`, `cpu` and `processes`, though it takes the setting."""
    storage_driver: str
    security_options: tuple[str, ...]
    runtimes: tuple[str, ...]
    runsc_arguments: tuple[str, ...] = ()
    """With which gVisor is registered, if it is."""
    has_init: bool
    rootless: bool
    cores: int
    memory_bytes: int
    root_dir: str

    @property
    def unheld(self) -> tuple[str, ...]:
        """The limits that nothing is held to here; without a driver of cgroups that is all."""
        if self.cgroup_version not in {1, 2} or self.cgroup_driver == "none":
            return ("memory", "swap", "cpu", "processes")
        return self.dropped_limits

    @property
    def holds_limits(self) -> bool:
        """Swap aside: what a plugin swaps is slow, and `max_memory_mb` is held."""
        return set(self.unheld) <= {"swap"}


class Engine(Protocol):
    """At most nine verbs; every implementation passes tests/engine/test_contract.py."""

    async def create(self, spec: ContainerSpec, *, name: str, labels: Mapping[str, str]) -> str:
        """Make the container, not started; its id.

        Raises ImageNotFound, ContainerNameTaken, DiskFull, EngineUnavailable.
        """

    async def start(self, container_id: str) -> None:
        """Start it; nothing happens if it runs. Raises ContainerNotFound, StartRefused."""

    async def stop(self, container_id: str, *, grace_seconds: float) -> None:
        """SIGTERM, then SIGKILL after the grace (0: at once); quiet if it is stopped or gone."""

    async def remove(self, container_id: str) -> None:
        """Kill and remove; quiet if it is gone."""

    async def set_cpu(self, container_id: str, *, cpu_percent: int) -> None:
        """Change the CPU quota, running or not. Raises ContainerNotFound."""

    async def list(self, labels: Mapping[str, str]) -> list[ContainerState]:
        """All containers (also stopped ones) that carry every label, inspected, by name.

        A label whose value is ANY need only be there.
        """

    async def inspect(self, container_id: str) -> ContainerState | None:
        """One container now, or None when it is gone."""

    def events(
        self,
        labels: Mapping[str, str],
        *,
        since: float,
        opened: Callable[[], None] | None = None,
    ) -> AsyncIterator[EngineEvent]:
        """Container events from `since` (epoch seconds) on, for ever. Raises EngineUnavailable.

        `opened` is called once the engine tells: what is listed after that leaves no gap.
        """

    def logs(
        self, container_id: str, *, follow: bool, since: float, tail: int | None
    ) -> AsyncIterator[LogLine]:
        """Log lines in order; with `follow` until the container is removed."""


class Probe(Protocol):
    """What only `doctor`, `status` and the policy ask."""

    async def info(self) -> EngineInfo:
        """Raises EngineUnavailable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """One image to be made from a folder; `tag` already holds the hash of everything in it."""

    tag: str
    context: Mapping[str, Path]
    """Path inside the context → file or folder on the host."""
    dockerfile: str
    """Path inside the context."""
    arguments: Mapping[str, str]
    """Build arguments: `ORCHESTRATOR_BASE` names the base image."""
    network: bool
    memory_bytes: int
    timeout_seconds: float
    labels: Mapping[str, str]


class ImageStore(Protocol):
    """Images: looked up, built, imported, read without running them."""

    async def find(self, reference: str) -> str | None:
        """The image's `sha256:` id, or None; never pulls."""

    async def pull(self, reference: str, *, timeout_seconds: float) -> str:
        """Fetch from its registry; the id. Raises ImageNotFound, EngineUnavailable."""

    async def build(self, request: BuildRequest, progress: Callable[[str], None]) -> str:
        """Build and tag; the id. Raises BuildFailed with the builder's last lines, DiskFull."""

    async def import_root(
        self, archive: Path, *, tag: str, changes: Mapping[str, str], labels: Mapping[str, str]
    ) -> str:
        """Make an image from a root file system's tar; `changes` is its environment; the id."""

    async def read_file(self, image: str, path: str, *, max_bytes: int) -> bytes | None:
        """A file's content without running the image; None if the image has no such file.

        Raises ImageNotFound, and EngineFailure for a file larger than `max_bytes` or no plain file.
        """

    async def labels(self, image: str) -> Mapping[str, str]:
        """The image's labels. Raises ImageNotFound."""

    async def tag(self, image: str, name: str) -> None:
        """Give the image one name more: what has a name is not pruned. Raises ImageNotFound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeState:
    name: str
    labels: tuple[tuple[str, str], ...]
    enforced_by: str
    """What holds the size: `loop ext4`, `tmpfs (not persistent)`, …"""


class DiskWay(StrEnum):
    """What holds a volume to its size; the best first."""

    LOOP = "loop ext4"
    QUOTA = "engine quota (bytes; not the number of files, nor programs)"
    TMPFS = "tmpfs (not persistent)"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskFinding:
    """How new volumes are held on this machine."""

    way: DiskWay
    tried: bool
    """Whether a small volume was overfilled to see it."""
    passed_over: Mapping[DiskWay, str]
    """The better ways, each with the reason why it was not taken."""


class DiskProbe(Protocol):
    """What `doctor` asks beside a VolumeStore."""

    async def best(self, labels: Mapping[str, str]) -> DiskFinding:
        """The best way that proves to hold; `labels` mark what is made to try it.

        Raises EngineFailure when none does.
        """


class VolumeStore(Protocol):
    """Volumes of an exact size that survive restarts and updates."""

    async def ensure(self, mount: VolumeMount, labels: Mapping[str, str]) -> VolumeState:
        """Make it, or bring it back to `size_bytes`, before a container mounts it.

        Raises DiskFull; EngineFailure when it cannot shrink below what it holds.
        """

    async def list(self, labels: Mapping[str, str]) -> list[VolumeState]:
        """The volumes that carry every label, by name."""

    async def remove(self, name: str) -> None:
        """Remove it with its data; quiet if it is gone."""
