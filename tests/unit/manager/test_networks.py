"""PluginNetworks on paper: what it provides, books, tells, repairs and takes away."""

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.events.bus import PluginEventBus
from orchestrator.manager.fleet import Fleet
from orchestrator.manager.guard_answers import GuardCounters
from orchestrator.manager.meters import Meters
from orchestrator.manager.network_guard import NetworkGuard
from orchestrator.manager.networks import LABEL_JOINS, SEARCH_SECONDS, PluginNetworks
from orchestrator.model.events import PluginEvent
from orchestrator.model.permissions import NetworkAccess
from orchestrator.store.memory import MemoryStore
from tests.network.test_guard_in_memory import House

MIB = 1 << 20
HOUR = 3_600.0


class CountingGuard(NetworkGuard):
    """Its counters are set by hand; what it was told to hold is kept."""

    now = GuardCounters(quota_bytes=MIB, used_bytes=0)
    quotas: list[int]

    async def counters(self, plugin_id: str) -> GuardCounters | None:
        pauses = [it for it in await self.guarded() if it.plugin_id == plugin_id and it.running]
        return self.now if pauses else None

    async def set_quota(self, plugin_id: str, left: int, *, known: GuardCounters) -> None:
        self.quotas.append(left)
        used = 0 if known.exhausted else known.used_bytes
        self.now = replace(self.now, quota_bytes=used + left, used_bytes=used)


class Town:
    """A fleet with a plugin that wants a network."""

    def __init__(self, make: Any) -> None:
        self.make = make
        self.house = House()
        self.house.clock.seconds = 10 * HOUR
        self.guard: CountingGuard = self.house.guard(CountingGuard)
        self.guard.quotas = []
        self.fleet = Fleet(store=MemoryStore(), told=True)
        self.told: list[PluginEvent] = []
        bus = PluginEventBus(clock=self.house.clock, instance="one")
        bus.listen(self.told.append)
        self.networks = PluginNetworks(
            guard=self.guard,
            meters=Meters(store=self.fleet.store, now=self.house.clock.now),
            fleet=self.fleet,
            bus=bus,
            clock=self.house.clock,
        )
        self.deployment = make.deployment(NetworkAccess(), info={"limits": {"max_network_mb": 1}})
        self.fleet.deployments["notes"] = self.deployment

    async def provide(self) -> dict[str, str]:
        return await self.networks.provide(self.deployment, self.make.policy())

    async def turn(self, seconds: float = 60.0) -> None:
        self.house.clock.seconds += seconds
        await self.networks.tend(self.make.policy())

    def used(self, sent: int, *, refused: int = 0) -> None:
        """As nft tells it: never more used than the quota."""
        now = self.guard.now
        used = min(sent + refused, now.quota_bytes)
        self.guard.now = replace(now, used_bytes=used, sent_bytes=sent, refused_packets=refused)


@pytest.fixture
def town(make: Any) -> Town:
    return Town(make)


async def test_without_the_permission_nothing_is_made(town: Town) -> None:
    labels = await town.networks.provide(town.make.deployment(), town.make.policy())

    assert labels == {}
    assert await town.house.engine.list({}) == []


async def test_the_container_is_labelled_with_the_pause_it_joins(town: Town) -> None:
    labels = await town.provide()
    [pause] = await town.guard.guarded()

    assert labels == {LABEL_JOINS: pause.container_id}
    assert f"over {MIB} bytes used 0 bytes" in town.house.loaded[0]


async def test_a_start_anew_has_what_is_left_and_no_more(town: Town) -> None:
    await town.provide()
    town.used(1_000)
    await town.turn()
    town.guard.now = GuardCounters(quota_bytes=MIB, used_bytes=0)
    [pause] = await town.guard.guarded()
    town.house.engine.die(pause.container_id)
    await town.provide()

    assert f"over {MIB - 1_000} bytes used 0 bytes" in town.house.loaded[1]


async def test_while_only_the_network_is_used_the_quota_stays(town: Town) -> None:
    await town.provide()
    town.used(1_000)
    await town.turn()

    assert town.guard.quotas == []
    assert town.fleet.networks["notes"]["window_used_bytes"] == 1_000


async def test_what_a_broker_carries_lowers_the_quota(town: Town) -> None:
    await town.provide()
    town.used(1_000)
    account = town.networks._meters.account(town.deployment, town.make.policy())
    account.meter.take(500)
    await town.turn()

    assert town.guard.quotas == [MIB - 1_500]


async def test_the_quota_rises_as_the_window_moves_on(town: Town) -> None:
    await town.provide()
    town.used(MIB - 100, refused=1_000)
    await town.turn()
    await town.turn(2 * HOUR)

    assert town.guard.quotas == [MIB]


async def test_a_quota_that_is_used_up_is_told_once_in_a_window(town: Town) -> None:
    await town.provide()
    town.used(MIB - 100, refused=1_000)
    for _ in range(3):
        await town.turn()
    once = [event.type for event in town.told]
    town.used(2 * MIB + 900, refused=5_000)
    await town.turn(2 * HOUR)

    assert once == ["orchestrator.plugin.quota_exceeded"]
    assert len(town.told) == 2


async def test_an_unwanted_network_goes_but_not_while_a_container_of_it_is_there(
    town: Town,
) -> None:
    await town.provide()
    container = town.make.container(town.deployment, labels={LABEL_JOINS: "a pause"})
    town.fleet.containers[container.container_id] = container
    del town.fleet.deployments["notes"]
    await town.turn()
    kept = len(await town.guard.guarded())
    town.fleet.containers.clear()
    await town.turn()

    assert (kept, await town.guard.guarded()) == (1, [])
    assert town.fleet.busy == {}


async def test_an_unwanted_network_goes_though_its_pause_was_never_made(town: Town) -> None:
    await town.provide()
    [pause] = await town.guard.guarded()
    await town.house.engine.remove(pause.container_id)
    await town.turn()
    kept = len(await town.house.networks.list({}))
    del town.fleet.deployments["notes"]
    await town.turn(SEARCH_SECONDS)

    assert (kept, await town.house.networks.list({})) == (1, [])


@pytest.mark.parametrize("why", ["busy", "unread", "untold"])
async def test_what_is_not_known_to_be_unwanted_stays(town: Town, why: str) -> None:
    await town.provide()
    del town.fleet.deployments["notes"]
    town.fleet.told = why != "untold"
    if why == "unread":
        town.fleet.unread.add("notes")
    if why == "busy":
        town.fleet.busy.begin("notes", "a step", "starting")
    await town.turn()

    assert len(await town.guard.guarded()) == 1


async def test_a_container_is_lost_when_its_pause_ended_or_began_after_it(town: Town) -> None:
    labels = await town.provide()
    [pause] = await town.guard.guarded()
    inside, stranger = (
        town.make.container(town.deployment, started_at=pause.started_at + 1, labels=labels),
        town.make.container(town.deployment, started_at=pause.started_at - 1, labels=labels),
    )
    before = [await town.networks.lost(it) for it in (inside, stranger)]
    town.house.engine.die(pause.container_id)
    after = await town.networks.lost(inside)

    assert before == [False, True]
    assert after
    assert not town.networks.strayed(inside, labels)
    assert town.networks.strayed(inside, {LABEL_JOINS: "another"})


@pytest.mark.parametrize("why", ["wanted", "another revision is there", "nobody wants it"])
async def test_the_end_of_a_container_takes_the_network_only_if_it_was_the_last(
    town: Town, why: str
) -> None:
    """What a step asks for when it has removed one: a plugin that changes keeps its network."""
    await town.provide()
    container = town.make.container(town.deployment, labels={LABEL_JOINS: "a pause"})
    if why == "another revision is there":
        town.fleet.containers[container.container_id] = container
    if why != "wanted":
        del town.fleet.deployments["notes"]
    await town.networks.settle("notes")

    assert len(await town.guard.guarded()) == (0 if why == "nobody wants it" else 1)


async def test_a_network_that_ends_while_it_is_looked_at_ends_nothing_else(town: Town) -> None:
    """A revoke, or `down`, while a helper counts."""
    await town.provide()
    count = town.guard.counters

    async def slow(plugin_id: str) -> GuardCounters | None:
        found = await count(plugin_id)
        del town.fleet.deployments["notes"]
        await town.networks.settle("notes")
        return found

    town.guard.counters = slow  # type: ignore[method-assign]
    await town.turn()

    assert await town.guard.guarded() == []
