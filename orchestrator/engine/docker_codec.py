"""Between our values and the Docker API's JSON, both ways. Pure: no I/O, no Docker library.

Law: `decode_spec(inspect(create(encode(spec)))) == spec`. What Docker mixes in from the image
(environment, labels) or has no field for (a volume's size) is told apart by one label of our own.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from orchestrator.engine.adjustable_codec import decode_adjustable
from orchestrator.engine.base import EngineEvent, EngineEventKind
from orchestrator.engine.mount_codec import NO_SHARES, decode_mounts, encode_mounts, told_of_mounts
from orchestrator.model.container import (
    ContainerPhase,
    ContainerSpec,
    ContainerState,
    ShareMount,
)
from orchestrator.model.runtime import Runtime

LABEL_ENCODED = "orchestrator.encoded"
"""Which labels and how much of each list are ours; always set by us, so no image can forge it."""

CPU_PERIOD_MICROSECONDS = 100_000
_QUOTA_PER_PERCENT = CPU_PERIOD_MICROSECONDS // 100
_OWN_PREFIX = "orchestrator."

# A list that is given replaces the engine's own, so the engine's (as of version 28) go first.
MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def encode(
    spec: ContainerSpec,
    *,
    labels: Mapping[str, str],
    swappiness: bool,
    max_open_files: int | None = None,
    shares: Mapping[str, str] = NO_SHARES,
) -> dict[str, Any]:
    """The body of `POST /containers/create`.

    `swappiness` says whether the engine can set it (cgroup v1 only); `max_open_files` is the
    hard limit that an engine without CAP_SYS_RESOURCE cannot exceed; `shares` says where the
    engine finds writable shares instead of at their source (engine/share_mounts.py).
    """
    masked = _after(MASKED_PATHS, spec.masked_paths)
    readonly = _after(READONLY_PATHS, spec.readonly_paths)
    ours = {
        "environment": len(spec.environment),
        "labels": sorted(labels),
        "masked_paths": len(spec.masked_paths),
        "readonly_paths": len(spec.readonly_paths),
        "plugin_id": spec.plugin_id,
        "network_mode": spec.network_mode,
        **told_of_mounts(spec),
    }
    return {
        "Image": spec.image,
        "Entrypoint": list(spec.command),
        "Cmd": [],
        "User": spec.user,
        "WorkingDir": spec.working_dir,
        "Env": [f"{name}={value}" for name, value in spec.environment],
        # Who joins another's network has that one's name: Docker refuses one of its own.
        "Hostname": "" if _joins(spec.network_mode) else spec.plugin_id,
        "Labels": {**labels, LABEL_ENCODED: json.dumps(ours, sort_keys=True)},
        "StopSignal": "SIGTERM",
        "StopTimeout": spec.stop_grace_seconds,
        "Healthcheck": {"Test": ["NONE"]},  # an image's own would run commands behind our back
        "Tty": False,
        "OpenStdin": False,
        "HostConfig": {
            **_isolation(spec),
            **_limits(spec, swappiness=swappiness, max_open_files=max_open_files),
            "MaskedPaths": masked,
            "ReadonlyPaths": readonly,
            **encode_mounts(spec, shares),
        },
    }


def _joins(network_mode: str) -> bool:
    return network_mode.startswith("container:")


def _isolation(spec: ContainerSpec) -> dict[str, Any]:
    security = ["no-new-privileges"] if spec.no_new_privileges else []
    if spec.seccomp_profile:
        security.append(f"seccomp={spec.seccomp_profile}")
    return {
        "NetworkMode": spec.network_mode,
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "PidMode": "",
        "UTSMode": "",
        "CapDrop": ["ALL"],
        "CapAdd": list(spec.capabilities),
        "SecurityOpt": security,
        "Privileged": False,
        "Devices": [],
        "ReadonlyRootfs": spec.read_only_root,
        "Init": spec.init,
        "AutoRemove": False,
        **({"Runtime": spec.runtime.value} if spec.runtime is not Runtime.RUNC else {}),
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
    }


def _limits(spec: ContainerSpec, *, swappiness: bool, max_open_files: int | None) -> dict[str, Any]:
    # No nproc: the kernel counts it per uid over all containers, and all plugins share one uid;
    # one fork bomb would starve the others. The pids cgroup holds each container by itself.
    open_files = min(spec.open_files, max_open_files or spec.open_files)
    limits: dict[str, Any] = {
        "Memory": spec.memory_bytes,
        "MemorySwap": spec.memory_bytes,
        # Not NanoCpus: a container made with it refuses a later change of the quota.
        "CpuPeriod": CPU_PERIOD_MICROSECONDS,
        "CpuQuota": cpu_quota(spec.cpu_percent),
        "PidsLimit": spec.pids_limit,
        "OomScoreAdj": spec.oom_score_adj,
        "ShmSize": spec.shm_bytes,
        "Ulimits": [
            {"Name": "nofile", "Soft": open_files, "Hard": open_files},
            {"Name": "core", "Soft": 0, "Hard": 0},
        ],
        "LogConfig": {
            "Type": "json-file",
            "Config": {"max-size": str(spec.log_bytes), "max-file": "2"},
        },
    }
    if swappiness:
        limits["MemorySwappiness"] = 0
    return limits


def cpu_quota(cpu_percent: int) -> int:
    """Microseconds per period; 0 percent lifts the limit, which the API writes -1."""
    return cpu_percent * _QUOTA_PER_PERCENT or -1


def decode_spec(inspect: Mapping[str, Any]) -> ContainerSpec:
    """The spec that a container of ours was made from, read back from what Docker holds."""
    config, host = inspect["Config"], inspect["HostConfig"]
    ours = json.loads(config["Labels"][LABEL_ENCODED])
    security = host.get("SecurityOpt") or []
    return ContainerSpec(
        plugin_id=ours["plugin_id"] if _joins(host["NetworkMode"]) else config["Hostname"],
        image=config["Image"],
        command=tuple(config["Entrypoint"]),
        environment=tuple(map(_pair, (config["Env"] or [])[: ours["environment"]])),
        memory_bytes=host["Memory"],
        cpu_percent=cpu_percent(host),
        pids_limit=host["PidsLimit"],
        open_files=next(limit["Soft"] for limit in host["Ulimits"] if limit["Name"] == "nofile"),
        log_bytes=int(host["LogConfig"]["Config"]["max-size"]),
        stop_grace_seconds=config["StopTimeout"],
        **decode_mounts(host, ours),
        capabilities=tuple(host.get("CapAdd") or ()),
        masked_paths=_last(host["MaskedPaths"], ours["masked_paths"]),
        readonly_paths=_last(host["ReadonlyPaths"], ours["readonly_paths"]),
        seccomp_profile=next((o[8:] for o in security if o.startswith("seccomp=")), ""),
        runtime=Runtime.RUNSC if host.get("Runtime") == Runtime.RUNSC else Runtime.RUNC,
        user=config["User"],
        working_dir=config["WorkingDir"],
        # Docker writes down the id of the container that was named.
        network_mode=ours["network_mode"] if _joins(host["NetworkMode"]) else host["NetworkMode"],
        read_only_root=host["ReadonlyRootfs"],
        no_new_privileges="no-new-privileges" in security,
        shm_bytes=host["ShmSize"],
        oom_score_adj=host["OomScoreAdj"],
        init=bool(host["Init"]),
    )


def _after(engines: Iterable[str], ours: tuple[str, ...]) -> list[str]:
    return [*(path for path in engines if path not in ours), *ours]


def _last(paths: list[str], count: int) -> tuple[str, ...]:
    return tuple(paths[len(paths) - count :])


def _pair(entry: str) -> tuple[str, str]:
    name, _, value = entry.partition("=")
    return name, value


_PHASES = {
    "created": ContainerPhase.CREATED,
    "running": ContainerPhase.RUNNING,
    "restarting": ContainerPhase.RUNNING,
    "paused": ContainerPhase.PAUSED,
    "exited": ContainerPhase.EXITED,
    "removing": ContainerPhase.GONE,
    "dead": ContainerPhase.GONE,
}


def decode_shares(inspect: Mapping[str, Any]) -> tuple[ShareMount, ...]:
    """The shares of a container, if it is ours."""
    told = (inspect["Config"].get("Labels") or {}).get(LABEL_ENCODED)
    if told is None:
        return ()
    return decode_mounts(inspect["HostConfig"], json.loads(told))["share_mounts"]


_HOLDS = {
    "memory": "MemoryLimit",
    "swap": "SwapLimit",
    "cpu": "CpuCfsQuota",
    "processes": "PidsLimit",
}


def dropped_limits(info: Mapping[str, Any]) -> tuple[str, ...]:
    """What `docker info` admits: kernels are built, and controllers delegated, without some.

    What an older engine says nothing of it does hold.
    """
    return tuple(limit for limit, field in _HOLDS.items() if not info.get(field, True))


def decode_state(inspect: Mapping[str, Any]) -> ContainerState:
    """What an inspected container is doing now, whoever made it."""
    state = inspect["State"]
    phase = _PHASES.get(state["Status"], ContainerPhase.GONE)
    started, finished = seconds(state["StartedAt"]), seconds(state["FinishedAt"])
    # Docker shows 0 for a run that has not ended.
    ended = finished > 0 and phase in {ContainerPhase.EXITED, ContainerPhase.GONE}
    return ContainerState(
        container_id=inspect["Id"],
        name=inspect["Name"].removeprefix("/"),
        labels=own_labels(inspect["Config"].get("Labels") or {}),
        phase=phase,
        exit_code=state["ExitCode"] if ended else None,
        oom_killed=state["OOMKilled"],
        started_at=started,
        # Two clocks: a program that ends at once may have finished before Docker says it started.
        finished_at=max(finished, started) if ended else finished,
        cpu_percent=cpu_percent(inspect["HostConfig"]),
        adjustable=decode_adjustable(inspect),
    )


def own_labels(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The labels that were given to the container itself, by name.

    Docker mixes the image's in. Were they believed, an image could give itself rights, and a
    container that somebody runs by hand from one of our images would be taken for ours.
    """
    encoded = labels.get(LABEL_ENCODED)
    if encoded is None:
        return tuple(sorted(it for it in labels.items() if not it[0].startswith(_OWN_PREFIX)))
    return tuple((name, labels[name]) for name in json.loads(encoded)["labels"] if name in labels)


def cpu_percent(host: Mapping[str, Any]) -> int:
    """Percent of one core by the quota in force, rounded; 0 is unlimited."""
    if nano := host.get("NanoCpus") or 0:
        return round(nano / 10_000_000)
    quota, period = host.get("CpuQuota") or 0, host.get("CpuPeriod") or CPU_PERIOD_MICROSECONDS
    return max(0, round(100 * quota / period))


_KINDS = {
    "create": EngineEventKind.CREATED,
    "start": EngineEventKind.STARTED,
    "die": EngineEventKind.DIED,
    "oom": EngineEventKind.OOM,
    "kill": EngineEventKind.SIGNALLED,
    "destroy": EngineEventKind.REMOVED,
    "pause": EngineEventKind.CHANGED,
    "unpause": EngineEventKind.CHANGED,
    "update": EngineEventKind.CHANGED,
    "rename": EngineEventKind.CHANGED,
}

EVENT_ACTIONS = tuple(_KINDS)
"""What to ask Docker for: health checks and `exec` would drown the rest."""


def decode_event(raw: Mapping[str, Any]) -> EngineEvent | None:
    """One message of `GET /events`; None for what says nothing about a container's state."""
    kind = _KINDS.get(raw.get("Action", ""))
    if kind is None or raw.get("Type") != "container":
        return None
    attributes = raw["Actor"].get("Attributes") or {}
    signal = str(attributes.get("signal", ""))
    return EngineEvent(
        kind=kind,
        container_id=raw["Actor"]["ID"],
        at=raw["timeNano"] / 1e9,
        labels=own_labels(attributes),
        signal=int(signal) if signal.isdecimal() else 0,
    )


def seconds(text: str) -> float:
    """RFC 3339 as seconds since the epoch; Docker's "never" (year 1) is 0."""
    return nanoseconds(text) / 1e9


def nanoseconds(text: str) -> int:
    """RFC 3339 with up to nine decimals, exactly; Docker's "never" (year 1) is 0."""
    moment = datetime.fromisoformat(text)
    if moment.year <= 1:
        return 0
    digits = text.partition(".")[2].partition("Z")[0].partition("+")[0].partition("-")[0]
    whole = int(moment.replace(microsecond=0).timestamp())
    return whole * 1_000_000_000 + int(digits.ljust(9, "0")[:9] if digits else 0)
