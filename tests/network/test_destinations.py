"""Where a plugin with network_access gets, tried from inside, against real listeners.

Something between here and the world may accept every connection: only bytes that come back count.
"""

import asyncio
import socket
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.policy.guard import GuardRules
from tests.network.conftest import PATIENCE_SECONDS, Place
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

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("internet", "host_service")]

PORT, OTHER_PORT = PORTS
INTERNET = GuardRules(quota_bytes=1 << 20, internet=True, names=True)
NOTHING = GuardRules(quota_bytes=1 << 20)
EVERYTHING = GuardRules(quota_bytes=1 << 20, networks=("0.0.0.0/0",), icmp=True)
"""The widest that an operator can write; what is still shut then is shut by rule."""


def reached(answers: list[str]) -> list[bool]:
    """A refusal is an error; anything else must be the listener's own bytes."""
    for answer in answers:
        assert answer.startswith("!") or answer in {GREETING, "echo udp", "pong"}

    return [not answer.startswith("!") for answer in answers]


async def test_an_allowed_address_answers(place: Place) -> None:
    await place.guard.ensure("a", replace(NOTHING, addresses=(FAR,)))
    answers = await place.attempt("a", ["tcp", FAR, PORT], ["udp", FAR, PORT])

    assert answers == [GREETING, "echo udp"]


async def test_an_allowed_network_answers_and_what_lies_outside_does_not(place: Place) -> None:
    await place.guard.ensure("a", replace(NOTHING, networks=("198.51.100.0/24",)))
    answers = await place.attempt("a", ["tcp", FAR, PORT], ["tcp", GLOBAL, PORT])

    assert reached(answers) == [True, False]


async def test_the_internet_leaves_out_private_ranges_and_metadata(place: Place) -> None:
    await place.guard.ensure("a", INTERNET)
    addresses = (GLOBAL, PRIVATE, METADATA, FAR)
    answers = await place.attempt("a", *(["tcp", it, PORT] for it in addresses))

    assert reached(answers) == [True, False, False, False]


async def test_without_a_grant_nothing_answers(place: Place) -> None:
    await place.guard.ensure("a", NOTHING)
    addresses = (GLOBAL, PRIVATE, METADATA, FAR)
    answers = await place.attempt("a", *(["tcp", it, PORT] for it in addresses))

    assert reached(answers) == [False] * 4


async def test_the_widest_network_opens_neither_host_nor_metadata(place: Place) -> None:
    await place.guard.ensure("a", EVERYTHING)
    hosts = [*host_addresses(), METADATA]
    verbs: list[list[Any]] = [["tcp", FAR, PORT], ["tcp", PRIVATE, PORT]]
    verbs += [[verb, address, PORT] for address in hosts for verb in ("tcp", "udp")]
    verbs += [["ping", address] for address in hosts]
    answers = await place.attempt("a", *verbs)

    assert {HOST_BESIDE_FAR, await place.gateway("a")} <= set(hosts)
    assert reached(answers) == [True, True] + [False] * 3 * len(hosts)


async def test_a_named_address_of_the_host_or_of_metadata_opens(place: Place) -> None:
    await place.guard.ensure("a", replace(NOTHING, addresses=(HOST_BESIDE_FAR, METADATA)))
    answers = await place.attempt("a", ["tcp", HOST_BESIDE_FAR, PORT], ["tcp", METADATA, PORT])

    assert reached(answers) == [True, True]


async def test_a_port_that_was_not_granted_does_not_answer(place: Place) -> None:
    await place.guard.ensure("a", replace(NOTHING, addresses=(FAR,), ports=(PORT,)))
    ports = (PORT, OTHER_PORT)
    answers = await place.attempt("a", *([v, FAR, p] for p in ports for v in ("tcp", "udp")))

    assert reached(answers) == [True, True, False, False]


async def test_privileged_source_ports_are_held_back_unless_granted(place: Place) -> None:
    """The engine lets anybody bind them inside, whatever capability the process has."""
    rules = replace(NOTHING, addresses=(FAR,))
    await place.guard.ensure("a", rules)
    held = await place.attempt("a", ["tcp", FAR, PORT, 1023], ["tcp", FAR, PORT, 1024])
    await place.guard.ensure("a", replace(rules, low_source_ports=True))
    free = await place.attempt("a", ["tcp", FAR, PORT, 1022])

    assert reached(held) == [False, True]
    assert reached(free) == [True]


async def test_raw_opens_ping_and_nothing_opens_raw_sockets(place: Place) -> None:
    rules = replace(NOTHING, addresses=(FAR,))
    await place.guard.ensure("a", rules)
    held = await place.attempt("a", ["ping", FAR], ["raw"], ["packet"])
    await place.guard.ensure("a", replace(rules, icmp=True))
    free = await place.attempt("a", ["ping", FAR], ["raw"], ["packet"])

    assert held[0].startswith("!")
    assert free[0] == "pong"
    assert {*held[1:], *free[1:]} == {"!PermissionError"}


async def test_another_plugin_is_out_of_reach(place: Place) -> None:
    for plugin_id in ("a", "b"):
        await place.guard.ensure(plugin_id, EVERYTHING)
    other = await place.start("b", ["listen", PORT, 5])
    await listening(place, other)
    answers = await place.attempt("a", ["tcp", await place.address("b"), PORT])

    assert reached(answers) == [False]
    assert await place.answers(other) == ["!TimeoutError"]


async def test_the_host_is_shut_on_the_gateways_of_networks_made_later(place: Place) -> None:
    await place.guard.ensure("a", EVERYTHING)
    await place.guard.ensure("b", NOTHING)
    later = await place.gateway("b")
    shut = await place.attempt("a", ["tcp", later, PORT], ["udp", later, PORT])
    await place.take_the_rules_away("a")
    control = await place.attempt("a", ["tcp", later, PORT])

    assert reached(shut) == [False, False]
    assert control == [GREETING]


async def test_nobody_calls_in_not_even_the_host(place: Place) -> None:
    await place.guard.ensure("a", EVERYTHING)
    plugin = await place.start("a", ["listen", PORT, 4])
    await listening(place, plugin)
    shut = await call_in(await place.address("a"))
    answers = await place.answers(plugin)
    plugin = await place.start("a", ["listen", PORT, 20])
    await listening(place, plugin)
    await place.take_the_rules_away("a")
    control = await call_in(await place.address("a"))

    assert (shut, answers) == (b"", ["!TimeoutError"])
    assert control == b"here is another plugin"


async def test_a_datagram_from_outside_does_not_come_in(place: Place) -> None:
    await place.guard.ensure("a", EVERYTHING)
    plugin = await place.start("a", ["hear", PORT, 3])
    await listening(place, plugin)
    await call_in_by_datagram(place, "a")
    shut = await place.answers(plugin)
    plugin = await place.start("a", ["hear", PORT, 20])
    await listening(place, plugin)
    await place.take_the_rules_away("a")
    await call_in_by_datagram(place, "a")

    assert shut == ["!TimeoutError"]
    assert await place.answers(plugin) == ["ping"]


async def call_in_by_datagram(place: Place, plugin_id: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"ping", (await place.address(plugin_id), PORT))


async def listening(place: Place, container_id: str) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while "listening" not in await place.lines(container_id):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def call_in(address: str) -> bytes:
    """What the host hears when it calls the plugin."""
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection(address, PORT)
            came = await reader.read(100)
            writer.close()
            await writer.wait_closed()
    except OSError:
        return b""
    return came


async def test_ipv6_is_dropped_even_where_the_namespace_has_it(place: Place) -> None:
    await place.guard.ensure("a", EVERYTHING)
    before = await place.attempt("a", ["tcp6", "fd99::1", PORT])
    await enable_ipv6(place)
    during = await place.attempt("a", ["tcp6", "fd99::1", PORT])
    await place.take_the_rules_away("a")
    control = await place.attempt("a", ["tcp6", "fd99::1", PORT])

    assert reached(before) == reached(during) == [False]
    assert control == [GREETING]


async def enable_ipv6(place: Place) -> None:
    """As if the engine had given it an address."""
    await place.in_namespace("a", "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=0")
    await place.in_namespace("a", "sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=0")
    await place.in_namespace("a", "ip", "addr", "add", "fd99::2/64", "dev", "eth0", "nodad")
    [network] = await place.networks.list(place.labels)
    found = await place.clients.run(lambda api: api.inspect_network(network.name))
    await place.on_host("ip", "addr", "add", "fd99::1/64", "dev", f"br-{found['Id'][:12]}", "nodad")


async def test_names_are_resolved_only_where_granted(place: Place) -> None:
    own = (await place.guard.ensure("a", INTERNET)).partition(":")[2]
    granted = await place.attempt("a", ["name", own])
    address = await place.address("a")
    await place.guard.ensure("a", replace(INTERNET, names=False))
    held = await place.attempt("a", ["name", own])
    counters = await place.guard.counters("a")

    assert granted == [address]
    assert held[0].startswith("!")
    assert counters is not None
    assert counters.refused_packets > 0


async def test_without_the_rules_everything_would_answer(place: Place, internet: FarSide) -> None:
    """The other tests' control: it is the rules that hold, and nothing else here."""
    await place.guard.ensure("a", NOTHING)
    await place.take_the_rules_away("a")
    gateway = await place.gateway("a")
    addresses = (FAR, GLOBAL, PRIVATE, METADATA, *host_addresses())
    answers = await place.attempt(
        "a",
        *(["tcp", address, PORT] for address in addresses),
        ["tcp", FAR, OTHER_PORT],
        ["udp", FAR, PORT],
        ["ping", gateway],
        ["tcp", FAR, PORT, 1023],
    )

    assert all(reached(answers))
