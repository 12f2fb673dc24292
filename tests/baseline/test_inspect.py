"""From outside: what `docker inspect` says of the same containers, and that `plan` says it too."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from orchestrator.engine.docker_codec import decode_spec
from tests.support.arena import LOG_MB, MIB, PIDS
from tests.support.probe import Probe

pytestmark = pytest.mark.docker


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("Privileged", False),
        ("CapAdd", None),
        ("CapDrop", ["ALL"]),
        ("ReadonlyRootfs", True),
        ("NetworkMode", "none"),
        ("IpcMode", "private"),
        ("CgroupnsMode", "private"),
        ("UTSMode", ""),
        ("PidMode", ""),
        ("UsernsMode", ""),
        ("Devices", []),
        ("DeviceCgroupRules", None),
        ("DeviceRequests", None),
        ("Binds", None),
        ("VolumesFrom", None),
        ("GroupAdd", None),
        ("PortBindings", None),
        ("PublishAllPorts", False),
        ("Sysctls", None),
        ("Links", None),
        ("ShmSize", MIB),
        ("Init", True),
        ("OomScoreAdj", 500),
        ("OomKillDisable", False),
        ("Memory", 100 * MIB),
        ("MemorySwap", 100 * MIB),
        ("PidsLimit", 128),
        ("CpuPeriod", 100_000),
        ("CpuQuota", 100_000),
        ("RestartPolicy", {"Name": "no", "MaximumRetryCount": 0}),
        ("AutoRemove", False),
        ("LogConfig", {"Type": "json-file", "Config": {"max-file": "2", "max-size": str(MIB)}}),
    ],
)
def test_the_engine_holds_a_plugin_without_permissions_to(
    bare: Probe, field: str, value: Any
) -> None:
    found = bare.inspect()["HostConfig"].get(field)

    # Engines write an empty list where others write null.
    assert (found or None) == (value or None)


def test_the_engine_runs_it_as_the_plugins_user_under_its_own_name(bare: Probe) -> None:
    found = bare.inspect()["Config"]

    assert (found["User"], found["Hostname"]) == ("65532:65532", "probe")
    assert found["Healthcheck"] == {"Test": ["NONE"]}
    assert (found["Tty"], found["OpenStdin"], found.get("Volumes")) == (False, False, None)


def test_the_engine_has_no_new_privileges_and_our_filter_for_it(bare: Probe) -> None:
    first, second = sorted(bare.inspect()["HostConfig"]["SecurityOpt"])

    assert first == "no-new-privileges"
    assert second.startswith('seccomp={"')
    assert '"SCMP_ACT_ERRNO"' in second


def test_the_engine_mounts_its_tmp_small_and_harmless(bare: Probe) -> None:
    found = bare.inspect()["HostConfig"]["Tmpfs"]
    options = {target: set(text.split(",")) for target, text in found.items()}

    assert options == {
        "/tmp": {
            *("rw", "noexec", "nosuid", "nodev"),
            *(f"size={16 * MIB}", f"nr_inodes={16 * 256}", "mode=1777"),
        }
    }


def test_the_engine_mounts_the_folder_of_its_socket_and_nothing_else(bare: Probe) -> None:
    [found] = bare.inspect()["Mounts"]
    home = bare.instance.home / bare.instance.name

    assert (found["Type"], found["RW"]) == ("bind", False)
    assert found["Destination"] == "/run/orchestrator"
    assert found["Source"].startswith(f"{home}/sockets/probe-")


def test_the_engine_gives_it_no_more_files_and_no_memory_dumps(bare: Probe) -> None:
    found = {each["Name"]: each for each in bare.inspect()["HostConfig"]["Ulimits"]}

    assert set(found) == {"nofile", "core"}
    assert (found["nofile"]["Soft"], found["nofile"]["Hard"]) == (1_024, 1_024)
    assert (found["core"]["Soft"], found["core"]["Hard"]) == (0, 0)


def test_the_engine_masks_and_locks_the_hosts_files(bare: Probe) -> None:
    found = bare.inspect()["HostConfig"]

    assert {"/proc/kcore", "/proc/cmdline", "/proc/meminfo", "/sys/devices", "/sys/fs"} <= set(
        found["MaskedPaths"]
    )
    assert {"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs"} <= set(
        found["ReadonlyPaths"]
    )


def test_the_engine_has_the_policys_numbers_where_it_differs(
    limited: Callable[[str], Probe],
) -> None:
    found = limited("busy").inspect()["HostConfig"]

    assert found["PidsLimit"] == PIDS
    assert found["LogConfig"]["Config"]["max-size"] == str(LOG_MB * MIB)


def test_docker_inspect_equals_the_spec_that_plan_shows(
    bare: Probe, limited: Callable[[str], Probe]
) -> None:
    for instance, probes in [
        (bare.instance, [bare]),
        (limited("keeper").instance, [limited("busy"), limited("keeper"), limited("slow")]),
    ]:
        plan = {row["plugin_id"]: row for row in instance.plan(expect=0)}
        for probe in probes:
            row = plan[probe.plugin_id]
            seen = asdict(decode_spec(probe.inspect()))

            assert row["change"] == "none"
            assert _plain(seen) == row["deployment"]["container"]


def _plain(value: Any) -> Any:
    """As JSON has it: tuples are lists."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value
