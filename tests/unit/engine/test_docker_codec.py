"""The codec without Docker: its law over all specs, and what Docker's JSON means."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.engine.base import EngineEventKind
from orchestrator.engine.docker_codec import (
    LABEL_ENCODED,
    MASKED_PATHS,
    decode_event,
    decode_spec,
    decode_state,
    encode,
    nanoseconds,
)
from orchestrator.model.container import (
    BindMount,
    ContainerPhase,
    ContainerSpec,
    Tmpfs,
    VolumeMount,
)
from orchestrator.model.runtime import Runtime

numbers = st.integers(1, 1 << 40)
text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,9}", fullmatch=True)
paths = st.from_regex(r"(/[a-z0-9._-]{1,8}){1,3}", fullmatch=True)


def some(strategy: st.SearchStrategy[Any], key: Any = None) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(strategy, max_size=4, unique_by=key).map(tuple)


specs = st.builds(
    ContainerSpec,
    plugin_id=names,
    image=names,
    command=st.lists(text, min_size=1, max_size=4).map(tuple),
    environment=some(st.tuples(names, text), key=lambda pair: pair[0]),
    memory_bytes=numbers,
    cpu_percent=st.integers(0, 100_000),
    pids_limit=numbers,
    open_files=numbers,
    log_bytes=numbers,
    stop_grace_seconds=st.integers(0, 600),
    bind_mounts=some(st.builds(BindMount, source=paths, target=paths, read_only=st.booleans())),
    volume_mounts=some(st.builds(VolumeMount, volume=names, target=paths, size_bytes=numbers)),
    tmpfs=some(
        st.builds(
            Tmpfs, target=paths, size_bytes=numbers, inodes=numbers, mode=st.integers(0, 0o7777)
        ),
        key=lambda mount: mount.target,
    ),
    capabilities=some(names),
    masked_paths=some(st.one_of(paths, st.sampled_from(MASKED_PATHS)), key=lambda path: path),
    readonly_paths=some(paths, key=lambda path: path),
    seccomp_profile=st.one_of(st.just(""), text),
    runtime=st.sampled_from(Runtime),
    user=names,
    working_dir=paths,
    network_mode=names,
    read_only_root=st.booleans(),
    no_new_privileges=st.booleans(),
    shm_bytes=numbers,
    oom_score_adj=st.integers(-1000, 1000),
    init=st.booleans(),
)


def as_docker_shows(body: dict[str, Any]) -> dict[str, Any]:
    """What `inspect` would say of it: the image's environment and labels mixed in."""
    config = {key: value for key, value in body.items() if key != "HostConfig"}
    return {
        "Config": {
            **config,
            "Env": [*config["Env"], "PATH=/bin"],
            "Labels": {"orchestrator.instance": "forged", **config["Labels"]},
        },
        "HostConfig": body["HostConfig"],
    }


@given(spec=specs, labels=st.dictionaries(names, text, max_size=3), swappiness=st.booleans())
def test_a_spec_is_read_back_as_it_was_written(
    spec: ContainerSpec,
    labels: dict[str, str],
    swappiness: bool,  # noqa: FBT001 — hypothesis passes by name
) -> None:
    body = encode(spec, labels=labels, swappiness=swappiness)

    assert decode_spec(as_docker_shows(body)) == spec


def plain(**changes: Any) -> ContainerSpec:
    values: dict[str, Any] = {
        "plugin_id": "echo",
        "image": "sha256:1",
        "command": ("/run",),
        "environment": (("A", "1"),),
        "memory_bytes": 100 << 20,
        "cpu_percent": 10,
        "pids_limit": 128,
        "open_files": 1024,
        "log_bytes": 1 << 20,
        "stop_grace_seconds": 10,
    }
    return ContainerSpec(**{**values, **changes})


def host(**changes: Any) -> dict[str, Any]:
    config: dict[str, Any] = encode(plain(**changes), labels={}, swappiness=True)["HostConfig"]
    return config


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("NetworkMode", "none"),
        ("CapDrop", ["ALL"]),
        ("CapAdd", []),
        ("SecurityOpt", ["no-new-privileges"]),
        ("ReadonlyRootfs", True),
        ("Privileged", False),
        ("Devices", []),
        ("IpcMode", "private"),
        ("CgroupnsMode", "private"),
        ("PidMode", ""),
        ("UTSMode", ""),
        ("Memory", 100 << 20),
        ("MemorySwap", 100 << 20),
        ("MemorySwappiness", 0),
        ("CpuPeriod", 100_000),
        ("CpuQuota", 10_000),
        ("PidsLimit", 128),
        ("OomScoreAdj", 500),
        ("ShmSize", 1 << 20),
        ("Init", True),
        ("RestartPolicy", {"Name": "no", "MaximumRetryCount": 0}),
        ("LogConfig", {"Type": "json-file", "Config": {"max-size": "1048576", "max-file": "2"}}),
    ],
)
def test_a_spec_that_says_nothing_is_hardened(setting: str, value: Any) -> None:
    assert host()[setting] == value


def test_nothing_sets_nano_cpus_or_a_limit_on_processes_per_user() -> None:
    found = host()

    assert "NanoCpus" not in found
    assert {limit["Name"] for limit in found["Ulimits"]} == {"nofile", "core"}


def test_swappiness_is_left_out_where_the_engine_has_none() -> None:
    body = encode(plain(), labels={}, swappiness=False)

    assert "MemorySwappiness" not in body["HostConfig"]


def test_open_files_stay_below_what_the_engine_can_give() -> None:
    body = encode(plain(open_files=4096), labels={}, swappiness=True, max_open_files=1000)

    assert body["HostConfig"]["Ulimits"][0] == {"Name": "nofile", "Soft": 1000, "Hard": 1000}


def test_masks_of_ours_never_replace_the_engines_own() -> None:
    assert set(host(masked_paths=("/proc/version",))["MaskedPaths"]) == {
        *MASKED_PATHS,
        "/proc/version",
    }


def test_a_bind_is_private_and_not_recursive() -> None:
    [mount] = host(bind_mounts=(BindMount(source="/a", target="/b"),))["Mounts"]

    assert mount == {
        "Type": "bind",
        "Source": "/a",
        "Target": "/b",
        "ReadOnly": True,
        "BindOptions": {"NonRecursive": True, "Propagation": "rprivate"},
    }


def test_a_tmpfs_is_bounded_and_holds_no_programs() -> None:
    mounts = host(tmpfs=(Tmpfs(target="/tmp", size_bytes=1024, inodes=16),))["Tmpfs"]

    assert mounts == {"/tmp": "rw,noexec,nosuid,nodev,size=1024,nr_inodes=16,mode=1777"}


def test_an_images_health_check_is_switched_off() -> None:
    assert encode(plain(), labels={}, swappiness=True)["Healthcheck"] == {"Test": ["NONE"]}


def shown(**state: Any) -> dict[str, Any]:
    """An inspected container, as Docker 20.10 writes it."""
    never = "0001-01-01T00:00:00Z"
    return {
        "Id": "abc",
        "Name": "/echo",
        "Config": {"Labels": {}},
        "HostConfig": {"CpuQuota": 50_000, "CpuPeriod": 100_000},
        "State": {
            "Status": "created",
            "ExitCode": 0,
            "OOMKilled": False,
            "StartedAt": never,
            "FinishedAt": never,
            **state,
        },
    }


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        ("created", ContainerPhase.CREATED),
        ("running", ContainerPhase.RUNNING),
        ("restarting", ContainerPhase.RUNNING),
        ("paused", ContainerPhase.PAUSED),
        ("exited", ContainerPhase.EXITED),
        ("removing", ContainerPhase.GONE),
        ("dead", ContainerPhase.GONE),
        ("something new", ContainerPhase.GONE),
    ],
)
def test_each_status_has_its_phase(status: str, phase: ContainerPhase) -> None:
    assert decode_state(shown(Status=status)).phase is phase


def test_an_exit_code_is_that_of_a_run_that_ended() -> None:
    finished = {"FinishedAt": "2024-05-01T10:00:00.5Z", "ExitCode": 3}

    assert decode_state(shown(Status="exited", **finished)).exit_code == 3
    assert decode_state(shown(Status="running", **finished)).exit_code is None
    assert decode_state(shown(Status="created", ExitCode=128)).exit_code is None


def test_no_run_ends_before_it_began() -> None:
    times = {"StartedAt": "2024-05-01T10:00:00.2Z", "FinishedAt": "2024-05-01T10:00:00.1Z"}
    state = decode_state(shown(Status="exited", **times))

    assert state.finished_at == state.started_at == nanoseconds(times["StartedAt"]) / 1e9


@pytest.mark.parametrize(
    ("settings", "percent"),
    [
        ({"CpuQuota": 50_000, "CpuPeriod": 100_000}, 50),
        ({"CpuQuota": 50_000, "CpuPeriod": 0}, 50),
        ({"CpuQuota": 5_000, "CpuPeriod": 20_000}, 25),
        ({"CpuQuota": -1, "CpuPeriod": 100_000}, 0),
        ({"CpuQuota": 0, "CpuPeriod": 0}, 0),
        ({"NanoCpus": 1_500_000_000}, 150),
    ],
)
def test_the_quota_in_force_is_told_in_percent(settings: dict[str, int], percent: int) -> None:
    inspect = {**shown(), "HostConfig": settings}

    assert decode_state(inspect).cpu_percent == percent


def event(action: str, kind: str = "container", **attributes: str) -> dict[str, Any]:
    actor = {"ID": "abc", "Attributes": {"image": "x", "name": "echo", **attributes}}
    return {"Type": kind, "Action": action, "Actor": actor, "timeNano": 1_700_000_000_500_000_000}


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        ("create", EngineEventKind.CREATED),
        ("start", EngineEventKind.STARTED),
        ("die", EngineEventKind.DIED),
        ("oom", EngineEventKind.OOM),
        ("destroy", EngineEventKind.REMOVED),
        ("pause", EngineEventKind.CHANGED),
        ("unpause", EngineEventKind.CHANGED),
        ("update", EngineEventKind.CHANGED),
        ("rename", EngineEventKind.CHANGED),
    ],
)
def test_each_action_that_matters_has_its_kind(action: str, kind: EngineEventKind) -> None:
    found = decode_event(event(action))

    assert found is not None
    assert (found.kind, found.container_id, found.at) == (kind, "abc", 1_700_000_000.5)


@pytest.mark.parametrize(
    "raw",
    [event("exec_create: sh"), event("health_status: healthy"), event("start", "network"), {}],
)
def test_what_says_nothing_of_a_containers_state_is_no_event(raw: dict[str, Any]) -> None:
    assert decode_event(raw) is None


def test_only_labels_that_we_gave_are_told() -> None:
    labels = encode(plain(), labels={"orchestrator.plugin": "echo"}, swappiness=True)["Labels"]
    forged = {"orchestrator.sandbox": "1", "image-label": "2", **labels}

    inspect = {**shown(), "Config": {"Labels": forged}}
    found = decode_event(event("start", **forged))
    assert decode_state(inspect).labels == (("orchestrator.plugin", "echo"),)
    assert found is not None
    assert found.labels == (("orchestrator.plugin", "echo"),)


def test_a_strangers_container_has_none_of_our_labels() -> None:
    inspect = {**shown(), "Config": {"Labels": {"orchestrator.instance": "x", "color": "red"}}}

    assert decode_state(inspect).labels == (("color", "red"),)


def test_our_own_mark_cannot_come_from_the_labels_given() -> None:
    labels = encode(plain(), labels={LABEL_ENCODED: "forged"}, swappiness=True)["Labels"]

    assert labels[LABEL_ENCODED] != "forged"


@given(
    whole=st.integers(0, 4_000_000_000),
    fraction=st.integers(0, 999_999_999),
    suffix=st.sampled_from(["Z", "+00:00", "-00:00"]),
)
def test_a_time_keeps_its_nanoseconds(whole: int, fraction: int, suffix: str) -> None:
    moment = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")

    assert nanoseconds(f"{moment}.{fraction:09d}{suffix}") == whole * 10**9 + fraction


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("0001-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01Z", 10**9),
        ("1970-01-01T01:00:01.5+01:00", 1_500_000_000),
        ("1969-12-31T23:00:01.25-01:00", 1_250_000_000),
    ],
)
def test_a_time_may_have_any_zone(written: str, meant: int) -> None:
    assert nanoseconds(written) == meant
