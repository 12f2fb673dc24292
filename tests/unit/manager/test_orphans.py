"""What an instance left that no longer exists is removed after the grace; nothing else ever is."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orchestrator.clock import SystemClock
from orchestrator.engine.base import (
    LABEL_FOLDER,
    LABEL_HOST,
    LABEL_INSTANCE,
    LABEL_OWNER,
    DiskWay,
    EngineFailure,
)
from orchestrator.engine.memory import MemoryEngine
from orchestrator.engine.memory_networks import MemoryNetworks
from orchestrator.engine.memory_stores import MemoryVolumes
from orchestrator.events.bus import PluginEventBus
from orchestrator.manager import orphans
from orchestrator.manager.finding import Verdict
from orchestrator.manager.liveness import Life, Maker
from orchestrator.manager.orphans import Estate, Ground, Orphans, estates, orphan_finding
from orchestrator.model.container import VolumeMount
from orchestrator.model.events import PluginEvent
from orchestrator.model.policy import ReconcilePolicy
from orchestrator.store.memory import MemoryStore
from tests.unit.manager.loop_house import until

HOUR, DAY = 3_600.0, 86_400.0


def labels_of(name: str) -> dict[str, str]:
    return {
        LABEL_INSTANCE: name,
        LABEL_OWNER: f"owner-{name}",
        LABEL_FOLDER: f"/nowhere/{name}",
        LABEL_HOST: "here",
    }


@dataclass
class House:
    """An engine with things of several instances, looked at by the instance `own`."""

    make: Any
    folder: Path
    clock: Any
    engine: MemoryEngine = field(default_factory=MemoryEngine)
    volumes: MemoryVolumes = field(default_factory=MemoryVolumes)
    networks: MemoryNetworks = field(default_factory=MemoryNetworks)
    store: MemoryStore = field(default_factory=MemoryStore)
    lives: dict[str, Life] = field(default_factory=dict)
    told: list[PluginEvent] = field(default_factory=list)

    def keeper(self, *, local: bool = True) -> Orphans:
        """Of a daemon; a second one is what a restart brings."""
        bus = PluginEventBus(clock=SystemClock(), instance="own")
        bus.listen(self.told.append)
        return Orphans(
            ground=self.ground(local=local),
            leavings=lambda maker: (self.folder / maker.instance,),
            store=self.store,
            bus=bus,
            clock=self.clock,
            life=lambda maker: self.lives.get(maker.instance, Life.UNKNOWN),
        )

    def ground(self, *, local: bool = True) -> Ground:
        return Ground(
            engine=self.engine,
            volumes=self.volumes,
            networks=self.networks,
            own="owner-own",
            local=local,
        )

    async def settle(self, name: str, life: Life, labels: dict[str, str] | None = None) -> None:
        """An instance's container, network, volume and folder."""
        self.lives[name] = life
        told = labels_of(name) if labels is None else labels
        spec = self.make.deployment().compiled.spec
        await self.engine.create(spec, name=name, labels=told)
        subnet = f"10.0.{len(self.lives)}.0/29"
        await self.networks.create(name, subnet=subnet, labels=told)
        await self.volumes.ensure(VolumeMount(volume=name, target="/data", size_bytes=1), told)
        state = self.volumes._volumes[name]
        object.__setattr__(state.state, "enforced_by", DiskWay.LOOP)
        (self.folder / name).mkdir()

    async def left(self) -> dict[str, set[str]]:
        return {
            "containers": {it.name for it in await self.engine.list({})},
            "networks": {it.name for it in await self.networks.list({})},
            "volumes": {it.name for it in await self.volumes.list({})},
            "folders": {path.name for path in self.folder.iterdir()},
        }

    async def look(self, keeper: Orphans, *, times: int, every: float) -> None:
        for _ in range(times):
            await keeper.look(DAY)
            self.clock.at += every


def all_of(*names: str) -> dict[str, set[str]]:
    return {kind: {*names} for kind in ("containers", "networks", "volumes", "folders")}


@pytest.fixture
def house(make: Any, tmp_path: Path, clock: Any, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setattr(orphans, "LOOK_SECONDS", HOUR)
    return House(make, tmp_path, clock)


async def test_all_that_a_gone_instance_left_is_removed_after_the_grace(house: House) -> None:
    await house.settle("dead", Life.GONE)
    keeper = house.keeper()
    await house.look(keeper, times=24, every=HOUR)
    before = await house.left()
    await house.look(keeper, times=1, every=HOUR)
    [event] = house.told

    assert before == all_of("dead")
    assert await house.left() == all_of()
    assert event.type == "orchestrator.orphans.removed"
    assert dict(event.data) == {
        "instance": "dead",
        "state_folder": "/nowhere/dead",
        "containers": 1,
        "networks": ["dead"],
        "volumes": ["dead"],
        "volumes_kept": [],
        "loop_devices": 0,
    }


@pytest.mark.parametrize("life", [Life.LIVE, Life.IDLE, Life.UNKNOWN])
async def test_an_instance_that_is_not_certainly_gone_keeps_everything(
    house: House, life: Life
) -> None:
    await house.settle("other", life)
    await house.look(house.keeper(), times=100, every=HOUR)

    assert await house.left() == all_of("other")
    assert house.told == []


@pytest.mark.parametrize(
    "missing", [LABEL_INSTANCE, LABEL_OWNER, LABEL_FOLDER, LABEL_HOST, "all of them"]
)
async def test_what_lacks_one_of_the_labels_is_never_touched(house: House, missing: str) -> None:
    labels = {key: value for key, value in labels_of("dead").items() if key != missing}
    await house.settle("dead", Life.GONE, {} if missing == "all of them" else labels)
    await house.look(house.keeper(), times=100, every=HOUR)

    assert await house.left() == all_of("dead")


async def test_the_daemons_own_things_are_no_orphans(house: House) -> None:
    await house.settle("own", Life.GONE)
    await house.look(house.keeper(), times=100, every=HOUR)

    assert await house.left() == all_of("own")


async def test_the_grace_goes_on_with_the_next_daemon_but_counts_only_what_was_seen(
    house: House,
) -> None:
    await house.settle("dead", Life.GONE)
    await house.look(house.keeper(), times=24, every=HOUR)
    house.clock.at += 100 * DAY  # no daemon ran, or the clock jumped
    await house.look(house.keeper(), times=1, every=0.0)
    early = await house.left()
    await house.look(house.keeper(), times=3, every=HOUR)

    assert early == all_of("dead")
    assert await house.left() == all_of()


async def test_a_machine_that_slept_does_not_shorten_the_grace(house: House) -> None:
    await house.settle("dead", Life.GONE)
    keeper = house.keeper()
    await keeper.look(DAY)
    house.clock.at += 100 * DAY
    await keeper.look(DAY)

    assert await house.left() == all_of("dead")


async def test_an_instance_that_comes_back_has_its_whole_grace_again(house: House) -> None:
    await house.settle("dead", Life.GONE)
    keeper = house.keeper()
    await house.look(keeper, times=24, every=HOUR)
    house.lives["dead"] = Life.UNKNOWN
    await house.look(keeper, times=1, every=HOUR)
    house.lives["dead"] = Life.GONE
    await house.look(keeper, times=24, every=HOUR)

    assert await house.left() == all_of("dead")


async def test_one_that_comes_back_at_the_last_moment_is_left_alone(house: House) -> None:
    await house.settle("dead", Life.GONE)
    keeper = house.keeper()
    await house.look(keeper, times=24, every=HOUR)
    asked: list[Maker] = []

    def life(maker: Maker) -> Life:
        asked.append(maker)
        return Life.GONE if len(asked) == 1 else Life.LIVE

    keeper._life = life
    await house.look(keeper, times=1, every=HOUR)

    assert len(asked) == 2
    assert await house.left() == all_of("dead")


async def test_a_volume_whose_data_the_engine_holds_is_kept_and_told(house: House) -> None:
    await house.settle("dead", Life.GONE)
    state = house.volumes._volumes["dead"].state
    object.__setattr__(state, "enforced_by", DiskWay.QUOTA)
    await house.look(house.keeper(), times=40, every=HOUR)
    [event] = house.told

    assert await house.left() == {**all_of(), "volumes": {"dead"}}
    assert (event.data["volumes"], event.data["volumes_kept"]) == ([], ["dead"])


async def test_one_that_cannot_be_removed_holds_up_no_other(house: House) -> None:
    await house.settle("a-dead", Life.GONE)
    await house.settle("b-dead", Life.GONE)
    keeper = house.keeper()
    await house.look(keeper, times=24, every=HOUR)
    house.engine.fail_next("remove", EngineFailure("it is in use"))
    await house.look(keeper, times=1, every=HOUR)
    first = await house.left()
    await house.look(keeper, times=1, every=HOUR)

    assert len(first["containers"]) == 1
    assert await house.left() == all_of()


async def test_of_an_engine_on_another_machine_nothing_is_judged(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.settle("dead", Life.GONE)
    turns: list[float] = []

    class EnoughError(Exception):
        pass

    really = asyncio.sleep

    async def sleep(seconds: float) -> None:
        if not seconds:
            return await really(0)  # the in-memory engine's
        house.clock.at += DAY
        turns.append(seconds)
        if len(turns) == 5:
            raise EnoughError
        return None

    monkeypatch.setattr(orphans.asyncio, "sleep", sleep)
    for local in (False, True):
        turns.clear()
        with pytest.raises(EnoughError):
            await house.keeper(local=local).run(lambda: ReconcilePolicy(orphan_grace_minutes=0.1))
        left = await house.left()

        assert left == (all_of() if local else all_of("dead"))


async def test_a_grace_that_was_made_shorter_is_heeded_at_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "TICK_SECONDS", 0.001)
    await house.settle("dead", Life.GONE)
    minutes = [1_440.0]
    keeper = house.keeper()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        task = group.create_task(
            keeper.run(lambda: ReconcilePolicy(orphan_grace_minutes=minutes[0]))
        )
        await until(lambda: keeper._looked_at is not None)
        minutes[0] = 0.001
        house.clock.at += 1.0
        await until(lambda: bool(house.told))
        task.cancel()

    assert await house.left() == all_of()


async def test_doctor_tells_what_was_left_and_by_whom(house: House) -> None:
    await house.settle("dead", Life.GONE)
    await house.settle("live", Life.LIVE)
    found = await estates(house.ground())
    lives = {maker: house.lives[maker.instance] for maker in found}
    finding = orphan_finding(lives, found)

    assert finding.verdict is Verdict.WARNING
    assert finding.found == (
        "1 containers, 1 networks, 1 volumes of instance dead, whose state folder /nowhere/dead "
        "is gone; other instances that exist: 1"
    )
    assert "policy.reconcile.orphan_grace_minutes" in finding.advice


def test_doctor_has_nothing_to_say_where_nothing_was_left() -> None:
    maker = Maker(owner="a", instance="live", folder="/live", host="here")

    assert orphan_finding({}, {}).found == "none"
    assert orphan_finding({maker: Life.IDLE}, {maker: Estate()}).verdict is Verdict.OK
