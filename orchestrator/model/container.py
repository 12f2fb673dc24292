"""ContainerSpec: the container wanted, in no engine's dialect; and the container seen.

Here rather than in policy/, so that `policy` (which writes it) and `engine` (which reads it) stay
strangers that meet only in this value. The safe value is every field's default.
"""

from dataclasses import dataclass
from enum import StrEnum

from orchestrator.model.runtime import Runtime

PLUGIN_UID = 65_532
"""uid and gid of every plugin's process: no account of any distribution has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BindMount:
    """A folder that the orchestrator filled itself, without what is mounted below it."""

    source: str
    target: str
    read_only: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareMount:
    """An operator's folder, without what is mounted below it; noexec, nosuid, nodev, always."""

    source: str
    target: str
    read_only: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeMount:
    """The plugin's own volume; the engine's volume store holds it to `size_bytes`."""

    volume: str
    target: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tmpfs:
    """Memory-backed, counted in the memory limit; noexec, nosuid, nodev, always."""

    target: str
    size_bytes: int
    inodes: int
    mode: int = 0o1777


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """Everything an engine needs to make one plugin container."""

    plugin_id: str
    image: str
    """Reference or `sha256:` id; resolved before it gets here."""
    command: tuple[str, ...]
    """Whole argv; the image's own ENTRYPOINT and CMD are not used."""
    environment: tuple[tuple[str, str], ...]
    memory_bytes: int
    cpu_percent: int
    """Percent of one core."""
    pids_limit: int
    open_files: int
    log_bytes: int
    """Size of one log file; two are kept."""
    stop_grace_seconds: int
    bind_mounts: tuple[BindMount, ...] = ()
    share_mounts: tuple[ShareMount, ...] = ()
    volume_mounts: tuple[VolumeMount, ...] = ()
    tmpfs: tuple[Tmpfs, ...] = ()
    capabilities: tuple[str, ...] = ()
    """Added after all were dropped."""
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    seccomp_profile: str = ""
    """The profile itself, as canonical JSON text."""
    runtime: Runtime = Runtime.RUNC
    """`runc` is written for the engine's own default runtime, whatever its name."""
    user: str = f"{PLUGIN_UID}:{PLUGIN_UID}"
    working_dir: str = "/plugin"
    network_mode: str = "none"
    read_only_root: bool = True
    no_new_privileges: bool = True
    shm_bytes: int = 1 << 20
    oom_score_adj: int = 500
    init: bool = True


class ContainerPhase(StrEnum):
    """A container's life as an engine tells it."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    EXITED = "exited"
    GONE = "gone"
    """Being removed, or dead: of no more use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustable:
    """What anybody who reaches the engine may change on a container after it was made."""

    memory_bytes: int
    memory_swap_bytes: int
    """Memory and swap together."""
    pids_limit: int
    """0 is unlimited, here and below."""
    memory_reservation_bytes: int = 0
    cpu_shares: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    blkio_weight: int = 0
    restart_policy: str = "no"
    networks: tuple[str, ...] = ()
    """By name; a container that joins another's network, or has none, is in none."""
    exec_sessions: int = 0
    """Programs that somebody runs in it beside its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerState:
    """One container as the engine shows it now."""

    container_id: str
    name: str
    labels: tuple[tuple[str, str], ...]
    phase: ContainerPhase
    exit_code: int | None = None
    """Of the last run; None while it has never ended."""
    oom_killed: bool = False
    started_at: float = 0.0
    """Seconds since the epoch; 0 if never."""
    finished_at: float = 0.0
    cpu_percent: int = 0
    """The quota in force now, percent of one core; 0 is unlimited."""
    adjustable: Adjustable | None = None
    """None where nobody asked the engine."""

    def label(self, name: str) -> str:
        """The value of a label, empty where it is missing."""
        for key, value in self.labels:  # asked so often that a dictionary would cost more
            if key == name:
                return value
        return ""
