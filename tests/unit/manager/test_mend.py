"""What can be set back on a running container is; what cannot has it replaced."""

from typing import Any

import pytest

from orchestrator.engine.base import (
    LABEL_DIGEST,
    LABEL_PLUGIN,
    LABEL_SANDBOX,
    EngineFailure,
    EngineUnavailable,
)
from orchestrator.engine.memory import MemoryEngine
from orchestrator.engine.repairs import MemoryRepairs
from orchestrator.manager.drift import drift_of
from orchestrator.manager.fleet import Fleet
from orchestrator.manager.mend import Mender
from orchestrator.model.container import ContainerState
from orchestrator.store.memory import MemoryStore


class House:
    """One running container."""

    def __init__(self, make: Any, *, repairs: bool = True) -> None:
        self.compiled = make.deployment().compiled
        self.engine = MemoryEngine()
        self.fleet = Fleet(store=MemoryStore())
        self.repairs = MemoryRepairs(self.engine)
        self.mender = Mender(
            engine=self.engine, repairs=self.repairs if repairs else None, fleet=self.fleet
        )
        self.container_id = ""

    async def run(self) -> "House":
        labels = {
            LABEL_PLUGIN: "notes",
            LABEL_SANDBOX: self.compiled.sandbox_id,
            LABEL_DIGEST: self.compiled.digest,
        }
        name = self.compiled.container_name
        self.container_id = await self.engine.create(self.compiled.spec, name=name, labels=labels)
        await self.engine.start(self.container_id)
        return self

    async def mend(self) -> bool:
        """Everything that is changed now, as told."""
        await self.tell()
        return await self.mend_what_was_told()

    async def tell(self) -> None:
        self.fleet.drifts[self.container_id] = drift_of(self.compiled, await self.state())

    async def mend_what_was_told(self) -> bool:
        return await self.mender.mend(self.compiled, self.container_id)

    async def state(self) -> ContainerState:
        found = await self.engine.inspect(self.container_id)
        assert found is not None
        return found


@pytest.fixture
async def house(make: Any) -> House:
    return await House(make).run()


@pytest.mark.parametrize(
    "changes",
    [
        {"memory_bytes": 1 << 30, "memory_swap_bytes": 2 << 30},
        {"pids_limit": 0},
        {"restart_policy": "always"},
        {"networks": ("bridge", "lan")},
        {"name": "mine"},
        {"name": "mine", "pids_limit": 1, "networks": ("lan",)},
    ],
)
async def test_what_can_be_set_back_is_and_the_container_runs_on(
    house: House, changes: dict[str, Any]
) -> None:
    before = await house.state()
    house.engine.adjust(house.container_id, **changes)
    changed = await house.state()
    may_stay = await house.mend()

    assert may_stay
    assert drift_of(house.compiled, changed) != ()
    assert await house.state() == before
    assert house.fleet.containers == {house.container_id: before}


@pytest.mark.parametrize(
    "since",
    [
        {"restart_policy": "always"},
        {"memory_bytes": 1 << 30, "memory_swap_bytes": 1 << 30},
        {"networks": ("lan",)},
        {"name": "mine"},
        {"pids_limit": 1},
    ],
)
async def test_what_somebody_changed_since_it_was_told_is_left_to_be_told(
    house: House, since: dict[str, Any]
) -> None:
    before = await house.state()
    house.engine.adjust(house.container_id, pids_limit=0)
    await house.tell()
    house.engine.adjust(house.container_id, **since)
    may_stay = await house.mend_what_was_told()
    left = {it.field for it in drift_of(house.compiled, await house.state())}
    all_set_back = await house.mend()

    assert may_stay
    assert left == {*since}
    assert all_set_back
    assert await house.state() == before


async def test_a_cpu_quota_is_set_back_without_any_further_power(make: Any) -> None:
    house = await House(make, repairs=False).run()
    before = await house.state()
    await house.engine.set_cpu(house.container_id, cpu_percent=0)

    assert await house.mend()
    assert await house.state() == before


async def test_without_that_power_the_container_is_replaced(make: Any) -> None:
    house = await House(make, repairs=False).run()
    house.engine.adjust(house.container_id, pids_limit=0)

    assert not await house.mend()


async def test_what_the_engine_will_not_set_back_has_the_container_replaced(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise EngineFailure("more memory is in use")

    monkeypatch.setattr(house.repairs, "set_limits", refuse)
    house.engine.adjust(house.container_id, memory_bytes=1 << 30)

    assert not await house.mend()


async def test_a_name_that_a_stranger_has_taken_is_left_to_it(house: House) -> None:
    house.engine.adjust(house.container_id, name="mine")
    name = house.compiled.container_name
    stranger = await house.engine.create(house.compiled.spec, name=name, labels={})

    assert await house.mend()
    assert (await house.state()).name == "mine"
    assert await house.engine.inspect(stranger) is not None


async def test_an_engine_that_is_away_is_no_reason_to_replace(house: House) -> None:
    house.engine.set_available(available=False)
    with pytest.raises(EngineUnavailable):
        await house.mend_what_was_told()


async def test_a_container_that_is_gone_needs_nothing(house: House) -> None:
    await house.engine.remove(house.container_id)

    assert await house.mend_what_was_told()
    assert house.fleet.containers == {}
