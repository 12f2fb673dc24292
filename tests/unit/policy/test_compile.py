"""compile_spec: exact rows for what each permission adds, and for all that it starts from."""

from dataclasses import fields
from typing import Any

import pytest

from orchestrator.errors import Kind
from orchestrator.model.container import BindMount, ContainerSpec, Tmpfs, VolumeMount
from orchestrator.model.limits import ResourceLimits
from orchestrator.model.permissions import (
    FileSystemRead,
    FileSystemWrite,
)
from orchestrator.model.runtime import Runtime
from orchestrator.policy.compile import (
    Compiled,
    EntryPointUnusable,
    command,
    compile_spec,
    initialize_context,
    volume_name,
)
from orchestrator.policy.grant import Grant, PermissionNotHeld

MIB = 1024 * 1024
# The threat model's list in docs/security.md, written out anew.
HIDDEN = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/cmdline",
    "/proc/version",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/loadavg",
    "/proc/stat",
    "/proc/uptime",
    "/proc/swaps",
    "/proc/partitions",
    "/proc/diskstats",
    "/proc/locks",
    "/proc/modules",
    "/proc/config.gz",
    "/proc/interrupts",
    "/proc/vmstat",
    "/proc/zoneinfo",
    "/proc/net/arp",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
    "/sys/class",
    "/sys/block",
    "/sys/module",
    "/sys/kernel",
    "/sys/fs",
    "/sys/devices/virtual/dmi",
    "/proc/buddyinfo",
    "/proc/pressure",
    "/proc/softirqs",
    "/proc/sys/kernel/random/boot_id",
    "/sys/bus",
    "/sys/dev",
    "/sys/devices",
    "/sys/power",
    "/dev/mqueue",
]


def grant(make: Any, *permissions: Any, **changes: Any) -> Grant:
    about = changes.pop("info", {})
    plain: dict[str, Any] = {
        "info": make.info(**about),
        "permissions": permissions,
        "withheld": (),
        "limits": ResourceLimits(),
        "config": {},
    }
    return Grant(**plain | changes)


def compiled(make: Any, *permissions: Any, **changes: Any) -> Compiled:
    return compile_spec(
        grant(make, *permissions, **changes), make.policy(), make.site(), image="sha256:1"
    )


def mounts(spec: ContainerSpec) -> dict[str, tuple[str, bool]]:
    """Target → source and whether it can be written."""
    binds = {m.target: (m.source, not m.read_only) for m in (*spec.bind_mounts, *spec.share_mounts)}
    volumes = {m.target: (m.volume, True) for m in spec.volume_mounts}
    return binds | volumes


def test_without_permissions_a_plugin_gets_the_hardened_baseline_and_nothing_else(
    make: Any,
) -> None:
    found = compiled(make)

    assert found.spec == ContainerSpec(
        plugin_id="notes",
        image="sha256:1",
        command=("python3", "-m", "orchestrator_sdk", "notes:Notes"),
        environment=(
            ("ORCHESTRATOR_PLUGIN_ID", "notes"),
            ("ORCHESTRATOR_SOCKETS", "/run/orchestrator"),
            ("ORCHESTRATOR_CONTRACT", "1"),
            ("ORCHESTRATOR_CONNECTIONS", "5"),
            ("ORCHESTRATOR_INSTANCE_ID", found.sandbox_id),
        ),
        memory_bytes=100 * MIB,
        cpu_percent=10,
        pids_limit=128,
        open_files=1_024,
        log_bytes=1 * MIB,
        stop_grace_seconds=10,
        bind_mounts=(
            BindMount(
                source=f"/state/sockets/{found.sandbox_id}",
                target="/run/orchestrator",
                read_only=True,
            ),
        ),
        share_mounts=(),
        volume_mounts=(),
        tmpfs=(Tmpfs(target="/tmp", size_bytes=16 * MIB, inodes=4_096, mode=0o1777),),
        capabilities=(),
        masked_paths=found.spec.masked_paths,
        readonly_paths=("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"),
        seccomp_profile=make.profile,
        runtime=Runtime.RUNC,
        user="65532:65532",
        working_dir="/plugin",
        network_mode="none",
        read_only_root=True,
        no_new_privileges=True,
        shm_bytes=MIB,
        oom_score_adj=500,
        init=True,
    )
    # More may be masked; nothing less.
    assert set(HIDDEN) <= set(found.spec.masked_paths)


def test_the_row_above_looks_at_every_field_of_a_spec() -> None:
    # A new field must be given its row above, with the value that is safest.
    assert len(fields(ContainerSpec)) == 27


def test_a_share_granted_for_reading_is_mounted_read_only(make: Any) -> None:
    spec = compiled(make, FileSystemRead(shares=("media", "docs"))).spec

    assert mounts(spec) == mounts(compiled(make).spec) | {
        "/mnt/docs": ("/srv/docs", False),
        "/mnt/media": ("/srv/media", False),
        "/run/orchestrator": (spec.bind_mounts[-1].source, False),
    }


def test_a_share_granted_for_writing_is_mounted_writable_beside_data(make: Any) -> None:
    spec = compiled(make, FileSystemWrite(shares=("work",))).spec

    assert mounts(spec) == {
        "/mnt/work": ("/srv/work", True),
        "/data": ("orchestrator-home-notes-data", True),
        "/run/orchestrator": (spec.bind_mounts[-1].source, False),
    }


def test_a_share_granted_both_ways_is_writable_and_mounted_once(make: Any) -> None:
    both = (FileSystemRead(shares=("docs", "work")), FileSystemWrite(shares=("work",)))
    for order in (both, both[::-1]):
        targets = [
            (mount.target, mount.read_only)
            for mount in compiled(make, *order).spec.share_mounts
            if mount.target.startswith("/mnt/")
        ]

        assert targets == [("/mnt/docs", True), ("/mnt/work", False)]


def test_data_is_as_large_as_max_disk_mb_says(make: Any) -> None:
    limits = ResourceLimits(max_disk_mb=7)
    spec = compiled(make, FileSystemWrite(), limits=limits).spec

    assert spec.volume_mounts == (
        VolumeMount(volume="orchestrator-home-notes-data", target="/data", size_bytes=7 * MIB),
    )


def test_a_plugin_that_may_only_read_has_no_data_volume(make: Any) -> None:
    assert compiled(make, FileSystemRead(shares=("docs",))).spec.volume_mounts == ()


def test_granted_secrets_are_mounted_read_only_and_only_then(make: Any) -> None:
    found = compiled(make, secrets=("key",))

    assert mounts(found.spec)["/run/secrets"] == (found.secrets_folder, False)
    assert found.secrets_folder == f"/memory/secrets/{found.sandbox_id}"
    assert "/run/secrets" not in mounts(compiled(make).spec)


NOT_HELD = [
    (FileSystemRead(shares=("docs",), any_owner=True), "file_system_read.any_owner"),
]


@pytest.mark.parametrize(("permission", "name"), NOT_HELD, ids=[name for _, name in NOT_HELD])
def test_what_nothing_can_hold_is_refused_by_name(make: Any, permission: Any, name: str) -> None:
    with pytest.raises(PermissionNotHeld, match=name) as caught:
        compiled(make, permission)

    assert caught.value.permissions == (name,)
    assert caught.value.plugin_id == "notes"
    assert (caught.value.kind, caught.value.code) == (Kind.DENIED, "permission_not_held")


def test_it_is_refused_beside_other_permissions_too(make: Any) -> None:
    with pytest.raises(PermissionNotHeld) as caught:
        compiled(make, FileSystemWrite(), FileSystemRead(any_owner=True))

    assert caught.value.permissions == ("file_system_read.any_owner",)


def test_each_limit_becomes_a_number_of_the_container(make: Any) -> None:
    limits = ResourceLimits(max_memory_mb=64, max_cpu_percent=150, max_concurrent_requests=9)
    spec = compiled(make, limits=limits).spec

    assert (spec.memory_bytes, spec.cpu_percent) == (64 * MIB, 150)
    assert dict(spec.environment)["ORCHESTRATOR_CONNECTIONS"] == "9"


def test_the_policys_container_bounds_are_the_containers(make: Any) -> None:
    policy = make.policy(
        container={"pids_limit": 9, "open_files": 99, "tmp_mb": 3, "log_mb": 5},
        lifecycle={"stop_grace_seconds": 4},
    )
    spec = compile_spec(grant(make), policy, make.site(), image="sha256:1").spec

    assert (spec.pids_limit, spec.open_files, spec.log_bytes) == (9, 99, 5 * MIB)
    assert spec.stop_grace_seconds == 4
    assert spec.tmpfs == (Tmpfs(target="/tmp", size_bytes=3 * MIB, inodes=768),)


def test_a_plugin_that_subscribes_is_told_to_dial_its_events_lane(make: Any) -> None:
    environment = dict(compiled(make, info={"subscribes": ("a.b",)}).spec.environment)

    assert environment["ORCHESTRATOR_EVENTS"] == "1"
    assert "ORCHESTRATOR_EVENTS" not in dict(compiled(make).spec.environment)


@pytest.mark.parametrize(
    ("boost", "limit", "start"), [(100, 10, 100), (100, 150, 150), (0, 10, 10)]
)
def test_a_start_is_boosted_but_never_slower_than_the_limit(
    make: Any, boost: int, limit: int, start: int
) -> None:
    policy = make.policy(lifecycle={"start_cpu_percent": boost})
    asked = grant(make, limits=ResourceLimits(max_cpu_percent=limit))
    found = compile_spec(asked, policy, make.site(), image="sha256:1")

    assert (found.start_cpu_percent, found.spec.cpu_percent) == (start, limit)


def test_names_tell_instance_plugin_and_revision(make: Any) -> None:
    found = compiled(make)

    assert found.sandbox_id == f"notes-{found.digest[:12]}"
    assert found.container_name == f"orchestrator-home-notes-{found.digest[:12]}"
    assert found.sockets_folder == f"/state/sockets/notes-{found.digest[:12]}"
    assert volume_name("orchestrator-home", "notes") == "orchestrator-home-notes-data"


@pytest.mark.parametrize(
    ("entry_point", "argv"),
    [
        ("notes:Notes", ("python3", "-m", "orchestrator_sdk", "notes:Notes")),
        ("a.b_2:C3", ("python3", "-m", "orchestrator_sdk", "a.b_2:C3")),
        ("./plugin", ("./plugin",)),
        ("node server.js --name 'two words'", ("node", "server.js", "--name", "two words")),
        ("run a:B", ("run", "a:B")),
        ("a:B c", ("a:B", "c")),
        ("2a:B", ("2a:B",)),
        ("/bin/echo $HOME;ls", ("/bin/echo", "$HOME;ls")),
        ("plugin # no comment", ("plugin", "#", "no", "comment")),
    ],
)
def test_an_entry_point_is_a_python_class_or_a_command_without_a_shell(
    entry_point: str, argv: tuple[str, ...]
) -> None:
    assert command(entry_point) == argv


@pytest.mark.parametrize("entry_point", ["plugin 'half a word", "plugin \\", "  "])
def test_an_entry_point_that_is_no_command_is_refused(entry_point: str) -> None:
    with pytest.raises(EntryPointUnusable) as caught:
        command(entry_point)

    assert repr(entry_point) in str(caught.value)
    assert (caught.value.kind, caught.value.code) == (Kind.INVALID, "entry_point_unusable")


def test_a_plugin_is_told_its_permissions_limits_and_data_folder(make: Any) -> None:
    read = FileSystemRead(shares=("docs",))
    told = initialize_context(grant(make, read, FileSystemWrite()))

    assert told == {
        "data_dir": "/data",
        "permissions": {
            "file_system_read": {"shares": ["docs"], "any_owner": False},
            "file_system_write": {"shares": []},
        },
        "limits": {
            "max_memory_mb": 100,
            "max_cpu_percent": 10,
            "max_disk_mb": 50,
            "max_network_mb": 10,
            "max_execution_time_sec": 30,
            "max_concurrent_requests": 5,
        },
    }
    assert initialize_context(grant(make, read))["data_dir"] is None
