"""A plugin with the widest network against the host it runs on, whose service is everywhere."""

import pytest

from tests.support.hostile import House
from tests.support.hostile_network import ROAMER, network_of
from tests.support.instance import engine
from tests.support.internet import GREETING, METADATA, PORTS, PRIVATE, FarSide, host_addresses

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("internet")]

PORT = PORTS[0]


def test_no_address_of_the_host_answers(roamers: House, host_service: FarSide) -> None:
    """Gateways of every network, every interface, and what stands for all or any of them."""
    with engine() as client:
        pools = [n["IPAM"]["Config"] or [] for n in client.networks()]
    gateways = {pool["Gateway"] for configs in pools for pool in configs if pool.get("Gateway")}
    hosts = sorted(
        {
            *(it for it in gateways if ":" not in it),
            *host_addresses(),
            network_of(roamers, ROAMER)["Gateway"],
            METADATA,
            "0.0.0.0",  # noqa: S104 - as a destination it is oneself
            "127.0.0.1",
            "127.0.0.11",
            "255.255.255.255",
            "224.0.0.1",
            "224.0.0.251",
            "239.255.255.250",
        }
    )
    before = len(host_service.log.read_text())
    targets = [[kind, host, PORT] for host in hosts for kind in ("tcp", "udp")]
    with roamers.unharmed():
        answers = roamers.do(ROAMER, "dial_out", targets=targets)
        [control] = roamers.do(ROAMER, "dial_out", targets=[["tcp", PRIVATE, PORT]])

    assert control == GREETING
    assert [(t, a) for t, a in zip(targets, answers, strict=True) if not a.startswith("!")] == []
    assert len(host_service.log.read_text()) == before


def test_ports_that_hosts_usually_keep_to_themselves_are_out_of_reach(roamers: House) -> None:
    gateway = network_of(roamers, ROAMER)["Gateway"]
    ports = [22, 25, 53, 80, 111, 443, 631, 2375, 2376, 3306, 5353, 5432, 6379, 8480, 9090, 10250]
    targets = [[kind, gateway, port] for port in ports for kind in ("tcp", "udp")]
    with roamers.unharmed():
        answers = roamers.do(ROAMER, "dial_out", targets=targets)

    assert [(t, a) for t, a in zip(targets, answers, strict=True) if not a.startswith("!")] == []


def test_there_is_no_way_round_over_ipv6(roamers: House, host_service: FarSide) -> None:
    gateway = network_of(roamers, ROAMER)["Gateway"]
    hosts = ["::1", "::", "fe80::1%eth0", "ff02::1%eth0", "ff02::2%eth0", f"::ffff:{gateway}"]
    before = len(host_service.log.read_text())
    targets = [[kind, host, PORT] for host in hosts for kind in ("tcp", "udp")]
    with roamers.unharmed():
        answers = roamers.do(ROAMER, "dial_out", targets=targets)

    assert [(t, a) for t, a in zip(targets, answers, strict=True) if not a.startswith("!")] == []
    assert len(host_service.log.read_text()) == before


def test_it_cannot_speak_from_anothers_address(roamers: House) -> None:
    others = [network_of(roamers, ROAMER)["Gateway"], METADATA, *host_addresses()]
    with roamers.unharmed():
        found = roamers.do(ROAMER, "pretend", addresses=others)

    assert set(found.values()) == {"EADDRNOTAVAIL"}
