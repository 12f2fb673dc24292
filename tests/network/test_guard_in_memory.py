"""The guard's order of steps, and its repairs, on the in-memory engine."""

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from orchestrator.engine.base import LABEL_INSTANCE, LABEL_ROLE, EngineUnavailable, StartRefused
from orchestrator.engine.memory import MemoryEngine
from orchestrator.engine.memory_networks import MemoryNetworks
from orchestrator.engine.networks import SubnetsExhausted, SubnetTaken
from orchestrator.manager.guard_answers import (
    GuardAnswerUnreadable,
    GuardCounters,
    HostNetwork,
    read_counters,
    read_host_network,
)
from orchestrator.manager.network_guard import GuardFailed, NetworkGuard
from orchestrator.model.container import ContainerSpec, ContainerState
from orchestrator.policy.guard import GuardRules
from orchestrator.policy.guard_containers import host_spec
from tests.support.nft import HOST, NFT, play_helper

RULES = GuardRules(quota_bytes=1_000, internet=True)
LABELS = {LABEL_INSTANCE: "one"}


class Hands:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def monotonic(self) -> float:
        return self.seconds


@dataclass(kw_only=True)
class House:
    """A guard on paper; `loaded` is what nft was told."""

    engine: MemoryEngine = field(default_factory=MemoryEngine)
    networks: MemoryNetworks = field(default_factory=MemoryNetworks)
    clock: Hands = field(default_factory=Hands)
    loaded: list[str] = field(default_factory=list)
    nft_exit_code: int = 0
    pool: str = "10.213.0.0/16"

    def __post_init__(self) -> None:
        self.engine.on_start = self._play

    def guard(self, kind: type[NetworkGuard] = NetworkGuard) -> Any:
        async def image() -> str:
            return "guard:1"

        return kind(
            engine=self.engine,
            networks=self.networks,
            image=image,
            prefix="orchestrator-one",
            labels=LABELS,
            seccomp_profile="{}",
            clock=self.clock,
            pool=self.pool,
        )

    def _play(self, spec: ContainerSpec, state: ContainerState) -> None:
        if spec.command[0] == NFT:
            self.loaded.append(spec.command[-1])
        play_helper(self.engine, spec, state, nft_exit_code=self.nft_exit_code)


async def test_the_rules_are_loaded_before_the_network_mode_is_known() -> None:
    house = House()
    mode = await house.guard().ensure("a", RULES)
    started = [name for verb, name in house.engine.calls if verb == "start"]

    assert mode == "container:orchestrator-one-a-pause"
    assert started == [
        "orchestrator-one-guard-host",
        "orchestrator-one-a-pause",
        "orchestrator-one-a-guard",
    ]
    assert len(house.loaded) == 1
    assert "192.0.2.2" in house.loaded[0]


async def test_no_helper_stays() -> None:
    house = House()
    await house.guard().ensure("a", RULES)
    [left] = await house.engine.list(LABELS)

    assert left.label(LABEL_ROLE) == "pause"


async def test_ensuring_again_keeps_pause_and_network_and_loads_the_rules_anew() -> None:
    house = House()
    guard = house.guard()
    await guard.ensure("a", RULES)
    before = (await guard.guarded(), [it.subnets for it in await house.networks.list({})])
    await guard.ensure("a", RULES)
    after = (await guard.guarded(), [it.subnets for it in await house.networks.list({})])

    assert after == before
    assert len(house.loaded) == 2


async def test_rules_that_did_not_load_are_a_failure_with_nfts_words() -> None:
    house = House(nft_exit_code=1)

    with pytest.raises(GuardFailed, match="exit code 1, expected 0: some words"):
        await house.guard().ensure("a", RULES)


@pytest.mark.parametrize(
    ("verb", "nth"),
    [
        ("create", 1),
        ("start", 1),
        ("create", 2),
        ("start", 2),
        ("create", 3),
        ("start", 3),
        ("remove", 1),
        ("remove", 2),
        ("logs", 2),
    ],
)
async def test_cut_off_anywhere_the_next_one_finishes(verb: str, nth: int) -> None:
    house = House()
    house.engine.fail_next(verb, EngineUnavailable("killed"), nth=nth)
    with pytest.raises(EngineUnavailable):
        await house.guard().ensure("a", RULES)
    house.loaded.clear()
    await house.guard().ensure("a", RULES)
    containers = await house.engine.list(LABELS)

    assert [it.label(LABEL_ROLE) for it in containers] == ["pause"]
    assert len(await house.networks.list({})) == 1
    assert len(house.loaded) == 1


async def test_two_plugins_get_subnets_of_their_own() -> None:
    house = House()
    guard = house.guard()
    async with asyncio.TaskGroup() as group:
        for plugin_id in ("a", "b", "c"):
            group.create_task(guard.ensure(plugin_id, RULES))
    networks = await house.networks.list({})

    assert len({network.subnets for network in networks}) == 3


async def test_routes_of_the_host_are_kept_clear_of() -> None:
    """The pool's other half is a blackhole route."""
    house = House(pool="10.213.8.0/23")
    await house.guard().ensure("a", RULES)
    [network] = await house.networks.list({})

    assert network.subnets[0].startswith("10.213.9.")


async def test_a_subnet_taken_by_somebody_faster_is_passed_over() -> None:
    house = House()
    for nth in (1, 2):
        house.networks.failures.add("create", SubnetTaken("somebody was faster"), nth=nth)
    await house.guard().ensure("a", RULES)

    assert len(await house.networks.list({})) == 1


async def test_a_pool_without_room_is_told_in_numbers() -> None:
    house = House(pool="10.213.8.0/24")

    with pytest.raises(SubnetsExhausted, match=r"no free /29 in 10\.213\.8\.0/24"):
        await house.guard().ensure("a", RULES)


async def test_the_host_is_asked_anew_after_a_while() -> None:
    house = House()
    guard = house.guard()
    for seconds in (0.0, 20.0, 40.0):
        house.clock.seconds = seconds
        await guard.ensure("a", RULES)
    asked = [verb for verb, name in house.engine.calls if name.endswith("guard-host")]

    assert asked == ["create", "start", "remove"] * 2


async def test_cut_empties_the_network_and_ensure_fills_it() -> None:
    house = House()
    guard = house.guard()
    await guard.ensure("a", RULES)
    [pause] = await guard.guarded()
    await guard.cut("a")
    [cut] = await house.networks.list({})
    await guard.ensure("a", RULES)
    [back] = await house.networks.list({})

    assert (cut.containers, back.containers) == ((), (pause.container_id,))


async def test_a_stopped_pause_is_started_again_so_that_its_plugin_can_join_it() -> None:
    house = House()
    guard = house.guard()
    await guard.ensure("a", RULES)
    [pause] = await guard.guarded()
    house.engine.die(pause.container_id)
    [stopped] = await guard.guarded()
    counters = await guard.counters("a")
    await guard.ensure("a", RULES)
    [renewed] = await guard.guarded()

    assert (stopped.running, counters, renewed.running) == (False, None, True)
    assert renewed.container_id == pause.container_id
    assert renewed.run != pause.run


async def test_a_pause_that_will_not_start_again_is_made_anew() -> None:
    house = House()
    guard = house.guard()
    await guard.ensure("a", RULES)
    [pause] = await guard.guarded()
    house.engine.die(pause.container_id)
    house.engine.fail_next("start", StartRefused("its network is gone"))
    await guard.ensure("a", RULES)
    [renewed] = await guard.guarded()

    assert renewed.running
    assert renewed.container_id != pause.container_id


async def test_another_quota_is_loaded_alone_and_says_what_is_used() -> None:
    house = House()
    guard = house.guard()
    await guard.ensure("a", RULES)
    counters = await guard.counters("a")
    assert counters is not None
    house.loaded.clear()
    await guard.set_quota("a", 1_700, known=counters)
    await guard.set_quota("a", 1_700, known=replace(counters, used_bytes=1_000))

    assert house.loaded[0].split("\n")[1] == "quota traffic { over 2000 bytes used 300 bytes }"
    assert "chain" not in house.loaded[0]
    assert "delete quota inet orchestrator traffic" in house.loaded[1]
    assert "quota traffic { over 1700 bytes used 0 bytes }" in house.loaded[1]


async def test_removing_takes_this_plugins_and_leaves_others() -> None:
    house = House()
    guard = house.guard()
    await guard.ensure("a", RULES)
    await guard.ensure("b", RULES)
    await guard.remove("a")

    assert [it.plugin_id for it in await guard.guarded()] == ["b"]
    assert [it.label("orchestrator.guards") for it in await house.networks.list({})] == ["b"]


async def test_counters_are_what_nft_says() -> None:
    house = House()
    guard = house.guard()
    await guard.ensure("a", RULES)
    counters = await guard.counters("a")

    assert counters == GuardCounters(
        quota_bytes=1_000,
        used_bytes=300,
        sent_bytes=200,
        received_bytes=100,
        refused_packets=4,
        refused_bytes=240,
    )
    assert not counters.exhausted


def test_the_host_is_its_addresses_and_routes_without_the_ways_to_everywhere() -> None:
    assert read_host_network(HOST) == HostNetwork(
        addresses=("10.8.0.2", "192.0.2.2"),
        networks=("10.213.8.0/24", "192.0.2.0/24", "192.0.2.2"),
    )


@pytest.mark.parametrize("text", ["", "--\n", "nonsense\n--\nnonsense", HOST.partition("--")[0]])
def test_a_host_that_says_nothing_of_its_addresses_is_not_believed(text: str) -> None:
    """With no address of the host known, none would be shut."""
    with pytest.raises(GuardAnswerUnreadable):
        read_host_network(text)


@pytest.mark.parametrize("text", ["", "{}", '{"nftables": []}', "Error: no such table"])
def test_counters_that_cannot_be_read_are_no_counters(text: str) -> None:
    with pytest.raises(GuardAnswerUnreadable):
        read_counters(text)


async def test_helpers_that_a_killed_daemon_left_go_though_nobody_needs_a_network() -> None:
    house = House()
    for name in ("orchestrator-one-guard-host", "orchestrator-one-gone-guard"):
        spec = host_spec(image="guard:1", seccomp_profile="{}")
        await house.engine.create(spec, name=name, labels={**LABELS, LABEL_ROLE: "guard-helper"})
    await house.engine.create(spec, name="another's", labels={LABEL_ROLE: "guard-helper"})
    await house.guard().clear()

    assert [it.name for it in await house.engine.list({})] == ["another's"]


async def test_a_helper_that_is_at_work_is_not_taken_away() -> None:
    house = House()
    guard = house.guard()
    house.engine.on_start = None  # it runs until it is ended
    async with asyncio.TaskGroup() as group:
        at_work = group.create_task(guard.ensure("a", RULES))
        while not await house.engine.list(LABELS):  # noqa: ASYNC110 - it looks from outside
            await asyncio.sleep(0)
        await guard.clear()
        left = [it.name for it in await house.engine.list(LABELS)]
        at_work.cancel()

    assert left == ["orchestrator-one-guard-host"]


async def test_a_helper_that_could_not_be_removed_is_taken_away_later() -> None:
    house = House()
    guard = house.guard()
    await guard.clear()
    house.engine.fail_next("remove", EngineUnavailable("away"))
    with pytest.raises(EngineUnavailable):
        await guard.ensure("a", RULES)
    before = len(await house.engine.list(LABELS))
    await guard.clear()

    assert (before, await house.engine.list(LABELS)) == (1, [])
