"""network_access the whole way: tried from inside plugins that `orchestrator up` deployed.

Something between here and the world may accept every connection: only bytes that come back count.
"""

import contextlib
import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.instance import ROOT, Instance, engine, eventually
from tests.support.internet import (
    FAR,
    GLOBAL,
    GREETING,
    HOST_BESIDE_FAR,
    METADATA,
    PORTS,
    PRIVATE,
    FarSide,
    host_addresses,
)
from tests.support.workshop import Workshop

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("host_service")]

NARROW, WIDE, METERED, PLAIN = "e2e-narrow", "e2e-wide", "e2e-metered", "e2e-plain"
PORT, OTHER_PORT = PORTS
QUOTA_BYTES = 1 << 20
PAYLOAD = 1_000
PACKET = PAYLOAD + 28
"""With the headers of IP and UDP."""
PACKETS = (QUOTA_BYTES - 1) // PACKET
"""1,020: the packet that would reach the quota is dropped."""

CODE = (
    (ROOT / "tests" / "network" / "insider.py").read_text()
    + """

from orchestrator_sdk import PluginInterface, tool

class Plugin(PluginInterface):
    @tool
    def attempt_all(self, attempts: list):
        return attempt_all(attempts)
"""
)
TOOLS = [
    {"name": "attempt_all", "description": "For one test.", "input_schema": {"type": "object"}}
]


def deploy(workshop: Workshop, name: str, *permissions: Any, **limits: int) -> None:
    workshop.script(
        name,
        CODE,
        info={"permissions": list(permissions), "tools": TOOLS},
        permissions=list(permissions),
        limits={"max_execution_time_sec": 60, **limits},
    )


@pytest.fixture(scope="module")
def plugins(shared_instance: Instance, shared_workshop: Workshop, internet: FarSide) -> Instance:
    shared_instance.policy(egress={"allowed_private": ["0.0.0.0/0"]})
    narrow = {"network_access": {"allow": [FAR], "ports": [PORT]}}
    wide = {"network_access": {"allow": ["0.0.0.0/0"], "raw": True}}
    deploy(shared_workshop, NARROW, narrow)
    deploy(shared_workshop, WIDE, wide)
    deploy(shared_workshop, METERED, {"network_access": {"allow": [FAR]}}, max_network_mb=1)
    deploy(shared_workshop, PLAIN)
    shared_instance.up()
    return shared_instance


def attempt(plugins: Instance, plugin: str, *attempts: list[Any]) -> list[str]:
    answers: list[str] = plugins.call(plugin, {"attempts": attempts}, tool="attempt_all")
    return answers


def reached(answers: list[str]) -> list[bool]:
    """A refusal is an error; anything else must be a listener's own bytes."""
    for answer in answers:
        assert answer.startswith("!") or answer in {GREETING, "echo udp", "pong"}

    return [not answer.startswith("!") for answer in answers]


def beside(plugins: Instance, role: str) -> list[dict[str, Any]]:
    """`docker inspect` of the instance's containers of a role."""
    chosen = plugins._chosen()
    with engine() as client:
        found = client.containers(
            all=True, filters={"label": [*chosen["label"], f"orchestrator.role={role}"]}
        )
        return [client.inspect_container(it["Id"]) for it in found]


def pause(plugins: Instance, plugin: str) -> dict[str, Any]:
    [found] = [
        it
        for it in beside(plugins, "pause")
        if it["Config"]["Labels"]["orchestrator.guards"] == plugin
    ]
    return found


def network(plugins: Instance, plugin: str) -> dict[str, str]:
    networks: dict[str, dict[str, str]] = pause(plugins, plugin)["NetworkSettings"]["Networks"]
    [found] = networks.values()
    return found


def test_a_granted_address_answers_on_a_granted_port_and_nothing_else_does(
    plugins: Instance,
) -> None:
    shut = [GLOBAL, PRIVATE, METADATA, HOST_BESIDE_FAR, network(plugins, NARROW)["Gateway"]]
    granted = attempt(plugins, NARROW, ["tcp", FAR, PORT], ["udp", FAR, PORT])
    other_port = attempt(plugins, NARROW, ["tcp", FAR, OTHER_PORT], ["udp", FAR, OTHER_PORT])
    others = attempt(plugins, NARROW, *(["tcp", address, PORT] for address in shut))

    assert granted == [GREETING, "echo udp"]
    assert reached(other_port) == [False] * 2
    assert reached(others) == [False] * 5


def test_the_widest_grant_reaches_no_address_of_the_host_and_no_metadata(
    plugins: Instance,
) -> None:
    """The host's service listens on every one of them."""
    shut = sorted({*host_addresses(), network(plugins, WIDE)["Gateway"], METADATA})
    answers = attempt(plugins, WIDE, *([verb, it, PORT] for it in shut for verb in ("tcp", "udp")))
    control = attempt(plugins, WIDE, ["tcp", PRIVATE, PORT])

    assert HOST_BESIDE_FAR in shut
    assert reached(answers) == [False] * 2 * len(shut)
    assert control == [GREETING]


def test_another_plugin_is_out_of_reach_though_both_have_networks(plugins: Instance) -> None:
    address = network(plugins, METERED)["IPAddress"]
    with ThreadPoolExecutor(1) as pool:
        heard = pool.submit(attempt, plugins, METERED, ["listen", PORT, 10])
        eventually(lambda: "listening" in plugins.run("logs", METERED).stdout)
        answers = attempt(plugins, WIDE, ["tcp", address, PORT])

    assert reached(answers) == [False]
    assert heard.result() == ["!TimeoutError"]


def test_there_is_no_ipv6(plugins: Instance) -> None:
    links = attempt(plugins, WIDE, ["addresses6"])
    answers = attempt(plugins, WIDE, ["tcp6", "::1", PORT], ["tcp6", "2001:db8::1", PORT])

    assert links == [""]
    assert reached(answers) == [False] * 2


def test_raw_is_ping_and_no_more(plugins: Instance) -> None:
    held = attempt(plugins, NARROW, ["ping", FAR], ["raw"], ["packet"])
    free = attempt(plugins, WIDE, ["ping", FAR], ["raw"], ["packet"])

    assert held[0].startswith("!")
    assert free[0] == "pong"
    assert {*held[1:], *free[1:]} == {"!PermissionError"}


def test_the_plugin_can_neither_read_nor_change_the_rules(plugins: Instance) -> None:
    answers = attempt(plugins, WIDE, ["netfilter"], ["capabilities"], ["add_address"])

    assert answers == ["!PermissionError", "0000000000000000", "!PermissionError"]


def test_docker_inspect_shows_network_mode_and_sockets_as_the_only_difference(
    plugins: Instance,
) -> None:
    """The mounts differ by their folder on the host, as any two plugins' do."""
    plain, wide = (plugins.inspect(name) for name in (PLAIN, WIDE))
    differing = {
        key for key in plain["HostConfig"] if plain["HostConfig"][key] != wide["HostConfig"][key]
    }
    targets = [[mount["Target"] for mount in it["HostConfig"]["Mounts"]] for it in (plain, wide)]

    assert differing == {"NetworkMode", "Mounts", "SecurityOpt"}
    assert wide["HostConfig"]["NetworkMode"] == f"container:{pause(plugins, WIDE)['Id']}"
    assert targets[0] == targets[1]


def test_the_quota_is_exact_and_outlives_the_plugins_restart_and_the_daemons(
    plugins: Instance, internet: FarSide
) -> None:
    before = len(internet.bytes_of("udp"))
    attempt(plugins, METERED, ["flood", FAR, PORT, PAYLOAD, PACKETS + 50])
    arrived = internet.bytes_of("udp")[before:]
    eventually(lambda: quota_records(plugins), seconds=90)
    shown = plugins.status(METERED)["network"]
    restart(plugins, METERED)
    after_restart = attempt(plugins, METERED, ["udp", FAR, PORT])
    os.kill(plugins.daemon_pid(), signal.SIGKILL)
    plugins.run("up", "--detach", str(plugins.manifests))
    eventually(lambda: plugins.ps()[METERED]["status"] == "active", seconds=60)
    after_daemon = attempt(plugins, METERED, ["udp", FAR, PORT])
    restart(plugins, METERED)
    after_both = attempt(plugins, METERED, ["udp", FAR, PORT])

    assert arrived == [PAYLOAD] * PACKETS
    assert shown["sent_bytes"] == shown["window_used_bytes"] == PACKETS * PACKET
    assert (shown["limit_bytes"], shown["refused_packets"]) == (QUOTA_BYTES, 50)
    assert reached([*after_restart, *after_daemon, *after_both]) == [False] * 3
    assert len(quota_records(plugins)) == 1


def quota_records(plugins: Instance) -> list[dict[str, Any]]:
    records = json.loads(plugins.run("audit", "--type", "quota", "--json").stdout)
    return [record for record in records if record["plugin_id"] == METERED]


def restart(plugins: Instance, plugin: str) -> None:
    """Kill it; the daemon brings the same container up again."""
    before = plugins.inspect(plugin)
    with engine() as client:
        client.kill(before["Id"])

    def is_back() -> bool:
        row = plugins.ps()[plugin]
        return bool(row["status"] == "active" and row["detail"] == "running") and (
            plugins.inspect(plugin)["State"]["StartedAt"] != before["State"]["StartedAt"]
        )

    eventually(is_back, seconds=60)


@pytest.mark.parametrize("end", ["kill", "remove"])
def test_a_plugin_whose_network_ended_is_brought_back_with_its_rules(
    plugins: Instance, end: str
) -> None:
    ended = pause(plugins, NARROW)
    with engine() as client:
        (client.kill if end == "kill" else remove_by_force(client))(ended["Id"])

    def is_back() -> bool:
        with contextlib.suppress(AssertionError, ValueError):
            return attempt(plugins, NARROW, ["tcp", FAR, PORT]) == [GREETING]
        return False

    eventually(is_back, seconds=90, every=1.0)
    answers = attempt(plugins, NARROW, ["tcp", PRIVATE, PORT], ["tcp", METADATA, PORT])

    assert reached(answers) == [False] * 2
    assert (pause(plugins, NARROW)["Id"] == ended["Id"]) is (end == "kill")


def remove_by_force(client: Any) -> Any:
    return lambda container_id: client.remove_container(container_id, force=True)


def test_without_the_permission_the_network_goes(
    plugins: Instance, shared_workshop: Workshop
) -> None:
    """Last, as it changes what the others share."""
    deploy(shared_workshop, NARROW)
    plugins.up()
    left = eventually(lambda: len(beside(plugins, "pause")) == 2, seconds=60)
    answers = attempt(plugins, NARROW, ["tcp", FAR, PORT])

    assert left
    assert reached(answers) == [False]
    assert plugins.inspect(NARROW)["HostConfig"]["NetworkMode"] == "none"


def test_a_rule_that_no_packet_can_be_told_by_is_refused_at_plan(
    workshop: Workshop, instance: Instance
) -> None:
    for number, place in enumerate(("example.com", "2001:db8::/32", "10.0.0.1")):
        deploy(workshop, f"e2e-bad-{number}", {"network_access": {"allow": [place]}})
    said = instance.run("plan", str(instance.manifests), expect=None)

    assert said.returncode != 0
    assert said.stderr.count("network_access.allow: found") == 3
    assert "policy.egress.allowed_private" in said.stderr
