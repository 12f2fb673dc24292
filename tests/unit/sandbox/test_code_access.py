"""What code may reach through a socket: what it was granted, under a name of its own."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from orchestrator.manager.access import HostUnusable
from orchestrator.manager.code_access import CodeAccess, RunMeter
from orchestrator.model.manifest import LimitsOverride
from orchestrator.model.permissions import ExternalApi, Permission, PluginCommunication
from orchestrator.model.policy import CodePolicy, EgressPolicy
from orchestrator.sandbox.meter import NetworkMeter
from tests.unit.sandbox.broker_house import Raw
from tests.unit.sandbox.code_house import CodeHouse, FakeClock, code_house
from tests.unit.sandbox.egress_house import LOOPBACK, connect, upstream
from tests.unit.sandbox.host_house import post

HELPER = "/v1/plugins/helper/execute"


@pytest.fixture
async def house() -> AsyncIterator[CodeHouse]:
    async with code_house() as house:
        house.policy = CodePolicy(pool_size=0)
        egress = EgressPolicy(allowed_private=LOOPBACK)
        house.security = house.security.model_copy(update={"egress": egress})
        await house.open()
        yield house


@asynccontextmanager
async def running(house: CodeHouse, *permissions: Permission) -> AsyncIterator[CodeHouse]:
    """A run is under way; its container is played, its sockets are real."""
    before = len(house.used)
    run = asyncio.ensure_future(  # noqa: TID251 - of this test alone
        house.run("wait:0.3", permissions=permissions)
    )
    await house.until(lambda: len(house.used) > before)
    yield house
    await run
    await house.full(0)


async def ask(house: CodeHouse, path: str) -> int:
    raw = await Raw.to(house.sockets() / "host.sock")
    raw.send(post(path))
    status = (await raw.answer()).status
    await raw.close()
    return status


async def test_code_calls_the_plugins_it_was_granted_and_no_other(house: CodeHouse) -> None:
    async with running(house, PluginCommunication(plugins=("helper",))):
        granted = await ask(house, HELPER)
        other = await ask(house, "/v1/plugins/asker/execute")
    [made] = house.neighbours.made

    assert (granted, other) == (200, 403)
    assert made.plugin_id == "helper"
    assert [entry.data.get("callee") for entry in house.audit][:1] == ["asker"]


async def test_each_run_is_a_party_of_its_own_to_the_audit_log(house: CodeHouse) -> None:
    for _ in range(2):
        async with running(house, PluginCommunication()):
            await ask(house, HELPER)
    refused = [entry.actor for entry in house.audit if entry.data.get("callee")]

    assert len(set(refused)) == 2
    assert all(actor.startswith("plugin:code-python-") for actor in refused)


async def test_a_call_of_the_code_ends_with_the_run(house: CodeHouse) -> None:
    house.neighbours.hold = asyncio.Event()
    async with running(house, PluginCommunication(plugins=("helper",))):
        raw = await Raw.to(house.sockets() / "host.sock")
        raw.send(post(HELPER))
        await house.until(lambda: house.neighbours.made)
    # What holds it is let go by the test before it looks, so that a call left over ends, too.
    await asyncio.sleep(0.1)
    cancelled = house.neighbours.cancelled
    house.neighbours.hold.set()
    await raw.close()

    assert cancelled == 1


async def test_code_reaches_the_host_it_was_granted_and_no_other(house: CodeHouse) -> None:
    async with upstream() as far, running(house, ExternalApi(hosts=(f"near.test:{far.port}",))):
        statuses = []
        for host in ("near.test", "other.test"):
            raw = await Raw.to(house.sockets() / "egress.sock")
            raw.send(connect(f"{host}:{far.port}"))
            statuses.append((await raw.head())[0])
            await raw.close()

    assert statuses == [200, 403]


async def test_the_sockets_go_with_the_run_and_without_a_permission_there_are_none(
    house: CodeHouse,
) -> None:
    async with running(house, PluginCommunication(), ExternalApi()):
        folder = house.sockets()
        granted = sorted(path.name for path in folder.iterdir())
    async with running(house):
        plain = sorted(path.name for path in house.sockets().iterdir())

    assert granted == ["egress.sock", "host.sock", "plugin.sock"]
    assert plain == ["plugin.sock"]
    assert not folder.exists()


async def test_a_host_that_could_be_read_in_two_ways_is_refused_before_anything_starts(
    house: CodeHouse,
) -> None:
    with pytest.raises(HostUnusable):
        await house.run(permissions=(ExternalApi(hosts=("0x7f.1:80",)),))

    assert house.containers() == []


def test_all_runs_together_send_no_more_than_policy_says() -> None:
    every = NetworkMeter(limit_bytes=100, window_seconds=60, now=lambda: 1_000.0)
    first, second = (
        RunMeter(limit_bytes=80, all_runs=every, now=lambda: 1_000.0) for _ in range(2)
    )
    passed = [first.take(90), second.take(90)]

    assert passed == [80, 20]
    assert second.take(1) == 0
    assert second.exhausted_until() == every.exhausted_until()


def test_a_run_sends_no_more_than_its_own_limit() -> None:
    every = NetworkMeter(limit_bytes=100, window_seconds=60, now=lambda: 1_000.0)
    one = RunMeter(limit_bytes=10, all_runs=every, now=lambda: 1_000.0)

    assert (one.take(60), one.take(60), every.used()) == (10, 0, 10)
    assert 1_000.0 < (one.exhausted_until() or 0.0) < math.inf


async def test_the_count_goes_on_when_the_policy_changes(house: CodeHouse) -> None:
    meters = []
    for most in (3, 2):
        house.policy = CodePolicy(pool_size=0, max_network_mb=most)
        async with running(house, ExternalApi()):
            [box] = house.maker.boxes.values()
            [broker] = box.brokers
            meters.append(broker._meter)  # type: ignore[attr-defined]
            meters[-1].take(1 << 20)

    assert meters[1]._all_runs.used() == 2 << 20


async def test_a_lower_limit_of_one_run_is_its_own(house: CodeHouse) -> None:
    access = CodeAccess(
        auditor=house,
        clock=FakeClock(),
        neighbours=house.neighbours,
        uplink=house.world,
        policy=house._policy,
    )
    run = asyncio.ensure_future(  # noqa: TID251 - of this test alone
        house.run("wait:0.1", permissions=(ExternalApi(),), limits=LimitsOverride(max_network_mb=1))
    )
    await house.until(lambda: house.used)
    [box] = house.maker.boxes.values()
    [broker] = access.brokers(box.plan)
    await run

    assert broker._meter.limit_bytes == 1 << 20  # type: ignore[attr-defined]
