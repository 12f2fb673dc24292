"""Two plugins with networks: neither finds the other, whatever both do for it."""

from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network

import pytest

from tests.support.hostile import House
from tests.support.hostile_network import LISTENER, ROAMER, network_of
from tests.support.internet import GREETING, PORTS, PRIVATE, FarSide

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("internet")]

PORT = 4_321
SECONDS = 8


def test_a_plugin_that_listens_is_found_by_no_other(roamers: House) -> None:
    """Though it tells its address, and both want it."""
    address = network_of(roamers, LISTENER)["IPAddress"]
    targets = [[kind, address, PORT] for kind in ("tcp", "udp") for _ in range(8)]
    with roamers.unharmed(), ThreadPoolExecutor(1) as threads:
        heard = threads.submit(roamers.do, LISTENER, "listen", port=PORT, seconds=SECONDS)
        answers = roamers.do(ROAMER, "dial_out", targets=targets)
        [itself] = roamers.do(ROAMER, "dial_out", targets=[["tcp", PRIVATE, PORTS[0]]])

    assert itself == GREETING
    assert [answer for answer in answers if not answer.startswith("!")] == []
    assert heard.result() == []


def test_the_other_networks_are_silent_from_end_to_end(
    roamers: House, host_service: FarSide
) -> None:
    """Every address of the neighbour's subnet, and of its own: no plugin, no gateway, nobody."""
    ends = [network_of(roamers, name) for name in (ROAMER, LISTENER)]
    subnets = [ip_network(f"{end['IPAddress']}/{end['IPPrefixLen']}", strict=False) for end in ends]
    own = ends[0]["IPAddress"]
    hosts = [str(host) for subnet in subnets for host in list(subnet)[:32] if str(host) != own]
    targets = [["tcp", host, PORTS[0]] for host in hosts]
    with roamers.unharmed():
        answers = roamers.do(ROAMER, "dial_out", targets=targets, seconds=1)

    assert len({str(subnet) for subnet in subnets}) == 2
    assert [(t, a) for t, a in zip(targets, answers, strict=True) if not a.startswith("!")] == []


def test_a_listener_hears_nobody_from_the_host_by_its_broadcasts(roamers: House) -> None:
    ends = [network_of(roamers, name) for name in (ROAMER, LISTENER)]
    broadcasts = [
        str(ip_network(f"{end['IPAddress']}/{end['IPPrefixLen']}", strict=False).broadcast_address)
        for end in ends
    ]
    targets = [["udp", host, PORT] for host in (*broadcasts, "255.255.255.255", "224.0.0.1")]
    with roamers.unharmed(), ThreadPoolExecutor(1) as threads:
        heard = threads.submit(roamers.do, LISTENER, "listen", port=PORT, seconds=4)
        roamers.do(ROAMER, "dial_out", targets=targets)

    assert heard.result() == []
