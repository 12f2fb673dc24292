"""`docker inspect` of every plugin that ships: nothing beyond what its manifest grants.

The expectations are written out here, from the YAML as it lies there: nothing is asked of the code
that makes the containers. What Docker shows and no row names must be empty.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.hidden import HIDDEN_FILES, HIDDEN_FOLDERS, READ_ONLY
from tests.support.instance import ROOT, Instance, engine, eventually

pytestmark = pytest.mark.docker

MIB = 1 << 20
FOLDERS = sorted(path.parent for path in ROOT.glob("plugin_images/*/plugin.yaml"))
MANIFESTS = sorted(
    path
    for path in ROOT.glob("manifests/**/*.yaml")
    if yaml.safe_load(path.read_text())["kind"] == "Plugin"
)
POLICY = yaml.safe_load((ROOT / "orchestrator.yaml").read_text())["policy"]

SHARE = "bind,ro,nosuid,nodev,noexec"
READ, WRITE = "file_system_read", "file_system_write"
KNOWN = {READ, WRITE, "external_api", "plugin_communication", "user_interface"}
"""The permissions whose trace in `docker inspect` is written down here: one more needs its own."""

ALWAYS = {
    "CapDrop": ["ALL"],
    "CgroupnsMode": "private",
    "CpuPeriod": 100_000,
    "Init": True,
    "IpcMode": "private",
    "LogConfig": {"Type": "json-file", "Config": {"max-file": "2", "max-size": str(MIB)}},
    "MemorySwappiness": 0,  # of cgroup v1; null on v2
    "NetworkMode": "none",
    "OomScoreAdj": 500,
    "PidsLimit": 128,
    "ReadonlyRootfs": True,
    "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
    "Runtime": "runc",
    "ShmSize": MIB,
    "Tmpfs": {"/tmp": "rw,noexec,nosuid,nodev,size=16777216,nr_inodes=4096,mode=1777"},
}
LOOKED_AT_BELOW = {
    "CpuQuota",
    "MaskedPaths",
    "Memory",
    "MemorySwap",
    "Mounts",
    "ReadonlyPaths",
    "SecurityOpt",
    "Ulimits",
}
ENGINES_OWN = {"ConsoleSize": [0, 0]}
"""What an engine adds by itself, and means nothing."""
NAMES = {
    "PATH",
    "LANG",
    "PYTHONDONTWRITEBYTECODE",
    "ORCHESTRATOR_PLUGIN_ID",
    "ORCHESTRATOR_INSTANCE_ID",
    "ORCHESTRATOR_SOCKETS",
    "ORCHESTRATOR_CONTRACT",
    "ORCHESTRATOR_CONNECTIONS",
}
CODE = "code-python"
"""Runs what is handed in, in throw-away containers without any permission; has no manifest."""
PROXIES = {"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"}


class Shipped:
    """One plugin: what its files say, and what the engine holds."""

    def __init__(self, instance: Instance, plugin_id: str, inspected: Mapping[str, Any]) -> None:
        self.instance = instance
        self.plugin_id = plugin_id
        self.inspected = inspected
        runner = {"spec": {"source": {"build": f"../plugin_images/{CODE}"}}}
        self.manifest = runner if plugin_id == CODE else _by_name()[plugin_id]
        folder = ROOT / "manifests" / self.manifest["spec"]["source"]["build"]
        self.info = yaml.safe_load((folder / "plugin.yaml").read_text())
        self.limits = {
            "max_memory_mb": 100,
            "max_cpu_percent": 10,
            "max_concurrent_requests": 5,
            **(self.info.get("limits") or {}),
            **(self.manifest["spec"].get("limits") or {}),
        }
        self.granted = dict(map(_permission, self.manifest["spec"].get("permissions") or []))

    @property
    def host(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.inspected["HostConfig"]
        return found


def _by_name() -> dict[str, Any]:
    read = [yaml.safe_load(path.read_text()) for path in MANIFESTS]
    return {manifest["metadata"]["name"]: manifest for manifest in read}


def _permission(written: Any) -> tuple[str, Mapping[str, Any]]:
    if isinstance(written, str):
        return written, {}
    [(name, parameters)] = written.items()
    return name, parameters or {}


@pytest.fixture(scope="module")
def fleet(shared_instance: Instance) -> dict[str, Shipped]:
    """The files as they ship, brought up by one command with what is set on the host beside."""
    shared_instance.variables["SET_ON_THE_HOST"] = "of the host alone"
    arguments = ["--config", str(ROOT / "orchestrator.yaml"), str(ROOT / "manifests")]
    shared_instance.run("up", "--detach", "--wait", *arguments, timeout=600)
    shared_instance.run("run-code", "-", stdin=b"pass")
    found = {name: row["container_id"] for name, row in shared_instance.ps().items()}
    found[CODE] = eventually(lambda: _waiting_for_code(shared_instance))
    with engine() as client:
        return {
            name: Shipped(shared_instance, name, client.inspect_container(container))
            for name, container in found.items()
        }


def _waiting_for_code(instance: Instance) -> str:
    """A sandbox of the warm pool."""
    labels = [f"orchestrator.instance={instance.name}", "orchestrator.role=code"]
    with engine() as client:
        found = client.containers(filters={"label": labels})
    return found[0]["Id"] if found else ""


@pytest.fixture(params=sorted([*_by_name(), CODE]))
def plugin(request: pytest.FixtureRequest, fleet: dict[str, Shipped]) -> Shipped:
    return fleet[request.param]


def test_every_plugin_that_ships_has_a_manifest_and_runs(fleet: dict[str, Shipped]) -> None:
    built = {
        (path.parent / yaml.safe_load(path.read_text())["spec"]["source"]["build"]).resolve()
        for path in MANIFESTS
    }

    assert len(FOLDERS) >= 3
    assert built | {ROOT / "plugin_images" / CODE} == set(FOLDERS)
    assert set(fleet) == {*_by_name(), CODE}
    assert all(shipped.inspected["State"]["Running"] for shipped in fleet.values())


def test_its_permissions_are_among_those_that_are_written_down_here(plugin: Shipped) -> None:
    assert set(plugin.granted) <= KNOWN


def test_no_setting_of_its_container_is_beyond_the_baseline(plugin: Shipped) -> None:
    expected = ALWAYS | ENGINES_OWN
    found = {
        name: value
        for name, value in plugin.host.items()
        if value and name not in LOOKED_AT_BELOW and value != expected.get(name)
    }
    missing = {name for name, value in ALWAYS.items() if value and not plugin.host.get(name)}

    # Privileged, Devices, DeviceRequests, CapAdd, Binds, Links, VolumesFrom, GroupAdd, ExtraHosts,
    # Sysctls, PortBindings, PublishAllPorts, PidMode, UTSMode, UsernsMode, CgroupParent, …
    assert found == {}
    assert missing == set()


def test_it_has_the_limits_of_its_manifest(plugin: Shipped) -> None:
    host, limits = plugin.host, plugin.limits

    assert host["Memory"] == host["MemorySwap"] == limits["max_memory_mb"] * MIB
    assert host["CpuQuota"] == limits["max_cpu_percent"] * 1_000
    assert sorted((it["Name"], it["Soft"], it["Hard"]) for it in host["Ulimits"]) == [
        ("core", 0, 0),
        ("nofile", 1_024, 1_024),
    ]


def test_it_does_not_see_the_hosts_proc_and_sys(plugin: Shipped) -> None:
    """The files and folders that the baseline's own tests look for from inside."""
    asked = {*HIDDEN_FILES, *HIDDEN_FOLDERS, "/proc/net/arp"}

    assert asked <= set(plugin.host["MaskedPaths"])
    assert set(READ_ONLY) - {"/sys"} <= set(plugin.host["ReadonlyPaths"])


def test_it_is_filtered_and_cannot_gain_rights(plugin: Shipped) -> None:
    rights, seccomp = sorted(plugin.host["SecurityOpt"])

    assert rights == "no-new-privileges"
    assert seccomp.startswith("seccomp={")
    assert '"defaultAction":"SCMP_ACT_ERRNO"' in seccomp


def test_it_has_no_network(plugin: Shipped) -> None:
    found = plugin.inspected["NetworkSettings"]
    [(name, network)] = found["Networks"].items()

    assert name == "none"
    assert not any(network[part] for part in ("IPAddress", "Gateway", "MacAddress", "Links"))
    assert not found.get("Ports")


def test_it_sees_what_it_was_granted_and_nothing_else(plugin: Shipped) -> None:
    home = plugin.instance.home / plugin.instance.name
    own = "code-" if plugin.plugin_id == CODE else f"{plugin.plugin_id}-"
    expected = {("bind", "/run/orchestrator", f"{home}/sockets/{own}", "read-only")}
    for share in plugin.granted.get(READ, {}).get("shares", ()):
        path = str((ROOT / POLICY["shares"][share]["path"]).resolve())
        expected.add(("volume", f"/mnt/{share}", path, SHARE))
    if WRITE in plugin.granted:
        name = f"orchestrator-{plugin.instance.name}-"
        expected.add(("volume", "/data", name, "read-write"))
        assert not plugin.granted[WRITE].get("shares"), "not written down here yet"
    if plugin.manifest["spec"].get("secrets"):
        expected.add(("bind", "/run/secrets", "/dev/shm/orchestrator-", "read-only"))
    wanted = {_as_wanted(item, expected) for item in plugin.host["Mounts"]}
    really = {item["Destination"] for item in plugin.inspected["Mounts"]}

    assert wanted == expected
    assert really == {target for _, target, _, _ in expected}


def _as_wanted(item: Mapping[str, Any], expected: set[Any]) -> tuple[str, str, str, str]:
    """A mount as the rows above have it, with what it begins with for the part that is random."""
    access = "read-only" if item.get("ReadOnly") else "read-write"
    source = item.get("Source", "")
    driver = item.get("VolumeOptions", {}).get("DriverConfig", {}).get("Options")
    if driver:
        assert driver["type"] == "none"
        source, access = driver["device"], driver["o"]
    rows = [row[2] for row in expected if row[1] == item["Target"] and source.startswith(row[2])]
    return item["Type"], item["Target"], rows[0] if rows else source, access


def test_its_environment_has_the_contracts_names_and_nothing_of_the_hosts(
    plugin: Shipped,
) -> None:
    found = dict(entry.split("=", 1) for entry in plugin.inspected["Config"]["Env"])
    more = PROXIES if "external_api" in plugin.granted else set()
    events = {"ORCHESTRATOR_EVENTS"} if plugin.info.get("subscribes") else set()

    assert set(found) == NAMES | more | events
    assert found["ORCHESTRATOR_CONNECTIONS"] == str(plugin.limits["max_concurrent_requests"])
    assert "of the host alone" not in str(plugin.inspected)


def test_its_process_is_the_plugins_user_and_command(plugin: Shipped) -> None:
    config = plugin.inspected["Config"]

    assert (config["User"], config["Hostname"]) == ("65532:65532", plugin.plugin_id)
    assert config["Entrypoint"] == ["python3", "-m", "orchestrator_sdk", plugin.info["entry_point"]]
    assert not config["Cmd"]
    assert (config["Tty"], config["OpenStdin"], config.get("ExposedPorts")) == (False, False, None)
    assert not config.get("Volumes")


def test_its_host_files_are_the_engines_own(plugin: Shipped) -> None:
    """Of /etc/hosts, hostname and resolv.conf nothing tells of the host."""
    hosts = Path(plugin.inspected["HostsPath"])

    assert plugin.inspected["AppArmorProfile"] in {"", "docker-default"}
    assert plugin.inspected["ExecIDs"] is None
    assert {line.split()[0] for line in hosts.read_text().splitlines() if line} <= {
        *("127.0.0.1", "::1", "fe00::0", "ff00::0", "ff02::1", "ff02::2")
    }
