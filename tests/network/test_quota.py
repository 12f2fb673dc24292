"""The network quota, counted by the far side's own log; and how long it lasts."""

import asyncio
from dataclasses import replace

import pytest

from orchestrator.policy.guard import GuardRules
from tests.network.conftest import Place, make_guard
from tests.support.internet import FAR, PORTS, FarSide

pytestmark = pytest.mark.docker

PORT = PORTS[0]
QUOTA = 100_000
PAYLOAD = 1_000
PACKET = PAYLOAD + 28
"""With the headers of IP and UDP."""
PACKETS = (QUOTA - 1) // PACKET
"""The packet that would reach the quota is dropped."""
RULES = GuardRules(quota_bytes=QUOTA, addresses=(FAR,))


def arrived(internet: FarSide, before: int) -> list[int]:
    return internet.bytes_of("udp")[before:]


async def test_the_quota_is_exact_to_the_packet(place: Place, internet: FarSide) -> None:
    before = len(internet.bytes_of("udp"))
    await place.guard.ensure("a", RULES)
    await place.attempt("a", ["flood", FAR, PORT, PAYLOAD, PACKETS + 100])
    counters = await place.guard.counters("a")

    assert arrived(internet, before) == [PAYLOAD] * PACKETS
    assert counters is not None
    assert (counters.sent_bytes, counters.received_bytes) == (PACKETS * PACKET, 0)
    assert (counters.quota_bytes, counters.exhausted) == (QUOTA, True)
    assert counters.refused_packets == 100


async def test_both_directions_count(place: Place, internet: FarSide) -> None:
    before = len(internet.bytes_of("udp"))
    await place.guard.ensure("a", RULES)
    [back] = await place.attempt("a", ["flood", FAR, PORT, PAYLOAD, 60, "echo"])
    counters = await place.guard.counters("a")

    assert len(arrived(internet, before)) == (PACKETS + 1) // 2
    assert int(back) == PACKETS // 2
    assert counters is not None
    assert counters.sent_bytes + counters.received_bytes == PACKETS * PACKET


async def test_what_is_refused_does_not_use_the_quota_up(place: Place, internet: FarSide) -> None:
    await place.guard.ensure("a", RULES)
    await place.attempt("a", ["flood", "10.99.99.99", PORT, PAYLOAD, PACKETS])
    answers = await place.attempt("a", ["udp", FAR, PORT])

    assert answers == ["echo udp"]


@pytest.mark.usefixtures("internet")
async def test_a_plugin_that_restarts_is_still_cut_off(place: Place) -> None:
    await place.guard.ensure("a", RULES)
    await place.attempt("a", ["flood", FAR, PORT, PAYLOAD, PACKETS + 1])
    restarted = await place.attempt("a", ["udp", FAR, PORT])
    await place.guard.ensure("a", RULES)
    ensured = await place.attempt("a", ["udp", FAR, PORT])

    assert [answer[0] for answer in (*restarted, *ensured)] == ["!", "!"]


@pytest.mark.usefixtures("internet")
async def test_a_larger_quota_goes_on_where_the_smaller_ended(place: Place) -> None:
    await place.guard.ensure("a", RULES)
    await place.attempt("a", ["flood", FAR, PORT, PAYLOAD, PACKETS + 1])
    await place.guard.ensure("a", replace(RULES, quota_bytes=2 * QUOTA))
    answers = await place.attempt("a", ["udp", FAR, PORT])
    counters = await place.guard.counters("a")

    assert answers == ["echo udp"]
    assert counters is not None
    there_and_back = 2 * (len(b"echo udp") + 28)
    # The packet that met the end of the smaller quota counts as well.
    assert counters.used_bytes == (PACKETS + 1) * PACKET + there_and_back


@pytest.mark.usefixtures("internet")
@pytest.mark.parametrize("sent", [PACKETS - 10, PACKETS + 40], ids=["unused", "exhausted"])
async def test_a_quota_that_is_set_lets_it_go_on_by_that_much(place: Place, sent: int) -> None:
    await place.guard.ensure("a", RULES)
    await place.attempt("a", ["flood", FAR, PORT, PAYLOAD, sent])
    counters = await place.guard.counters("a")
    assert counters is not None
    await place.guard.set_quota("a", 100, known=counters)
    answers = [await place.attempt("a", ["udp", FAR, PORT]) for _ in range(2)]

    # 36 bytes there and 36 back fit into 100, another 36 there and nothing more.
    assert answers[0] == ["echo udp"]
    assert answers[1][0].startswith("!")


@pytest.mark.usefixtures("internet")
async def test_a_new_pause_begins_with_what_was_used(place: Place) -> None:
    await place.guard.ensure("a", RULES, used_bytes=QUOTA)
    answers = await place.attempt("a", ["udp", FAR, PORT])

    assert answers[0].startswith("!")


@pytest.mark.usefixtures("internet")
async def test_no_quota_at_all_lets_nothing_through(place: Place) -> None:
    await place.guard.ensure("a", replace(RULES, quota_bytes=0))
    answers = await place.attempt("a", ["udp", FAR, PORT])

    assert answers[0].startswith("!")


async def test_cut_stops_a_running_plugin_within_a_second(place: Place, internet: FarSide) -> None:
    before = len(internet.bytes_of("udp"))
    await place.guard.ensure("a", replace(RULES, quota_bytes=1 << 30))
    plugin = await place.start("a", ["drip", FAR, PORT, 6])
    async with asyncio.timeout(20):
        while len(arrived(internet, before)) < 10:  # noqa: ASYNC110 - the log is a file
            await asyncio.sleep(0.02)
    async with asyncio.timeout(1):
        await place.guard.cut("a")
    await asyncio.sleep(0.05)
    at_cut = len(arrived(internet, before))
    await asyncio.sleep(1)

    assert len(arrived(internet, before)) == at_cut
    assert await place.answers(plugin) == ["done"]


@pytest.mark.usefixtures("internet")
async def test_what_was_cut_comes_back_with_its_quota(place: Place) -> None:
    await place.guard.ensure("a", RULES)
    await place.attempt("a", ["udp", FAR, PORT])
    before = await place.guard.counters("a")
    await place.guard.cut("a")
    cut = await place.attempt("a", ["udp", FAR, PORT])
    await place.guard.ensure("a", RULES)
    counters = await place.guard.counters("a")
    back = await place.attempt("a", ["udp", FAR, PORT])

    assert cut[0].startswith("!")
    assert counters == before
    assert back == ["echo udp"]


@pytest.mark.usefixtures("internet")
async def test_rules_that_narrow_end_what_they_had_let_through(
    place: Place, internet: FarSide
) -> None:
    before = len(internet.bytes_of("udp"))
    await place.guard.ensure("a", replace(RULES, quota_bytes=1 << 30))
    await place.start("a", ["drip", FAR, PORT, 6])
    async with asyncio.timeout(20):
        while len(arrived(internet, before)) < 10:  # noqa: ASYNC110 - the log is a file
            await asyncio.sleep(0.02)
    await place.guard.ensure("a", replace(RULES, quota_bytes=1 << 30, addresses=()))
    narrowed = len(arrived(internet, before))
    await asyncio.sleep(0.5)

    assert len(arrived(internet, before)) == narrowed


async def test_a_killed_daemons_leftovers_are_found_and_taken_over(place: Place) -> None:
    """Kill it after each thing that it makes: the next one ends up with the same network."""
    await place.guard.ensure("a", RULES)
    [pause] = await place.guard.guarded()
    successor = make_guard(place.clients, place.prefix, place.labels, place.cache)
    await successor.ensure("a", RULES)
    kept = await successor.guarded()
    await place.engine.remove(pause.container_id)
    await successor.ensure("a", RULES)
    renewed = await successor.guarded()
    await place.engine.stop(renewed[0].container_id, grace_seconds=0)
    stopped = await successor.guarded()
    await successor.ensure("a", RULES)
    again = await successor.guarded()

    assert [it.container_id for it in again] == [it.container_id for it in renewed]
    assert kept == [pause]
    assert [it.running for it in (*renewed, *stopped, *again)] == [True, False, True]
    assert len(await place.networks.list(place.labels)) == 1


async def test_removing_leaves_nothing_and_may_be_done_twice(place: Place) -> None:
    await place.guard.ensure("a", RULES)
    await place.guard.remove("a")
    await place.guard.remove("a")

    assert await place.engine.list(place.labels) == []
    assert await place.networks.list(place.labels) == []
    assert await place.guard.counters("a") is None


async def test_the_pause_is_as_hardened_as_any_plugin(place: Place) -> None:
    await place.guard.ensure("a", RULES)
    host = (await place.inspect_pause("a"))["HostConfig"]

    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert not host["Binds"]
    assert (host["ReadonlyRootfs"], host["Privileged"]) == (True, False)
    assert host["Memory"] == 8 << 20
    assert "no-new-privileges" in host["SecurityOpt"]
