"""What the observer passes over: containers of the instance that are no plugin's."""

from typing import Any

import pytest

from orchestrator.clock import SystemClock
from orchestrator.engine.base import (
    LABEL_INSTANCE,
    LABEL_PLUGIN,
    LABEL_ROLE,
    LABEL_SANDBOX,
    EngineEvent,
    EngineEventKind,
)
from orchestrator.engine.memory import MemoryEngine
from orchestrator.events.bus import PluginEventBus
from orchestrator.manager.fleet import Fleet
from orchestrator.manager.observe import Observer
from orchestrator.model.events import PluginEvent
from orchestrator.store.memory import MemoryStore

LABELS = {LABEL_INSTANCE: "one"}
OF_A_PLUGIN = {**LABELS, LABEL_PLUGIN: "notes"}
BESIDE_IT = {**LABELS, LABEL_ROLE: "pause"}


class House:
    """An observer, with the engine and the bus it stands between."""

    def __init__(self, spec: Any) -> None:
        self.engine = MemoryEngine()
        self.fleet = Fleet(store=MemoryStore())
        self.told: list[PluginEvent] = []
        self.spec = spec
        bus = PluginEventBus(clock=SystemClock(), instance="one")
        bus.listen(self.told.append)
        self.observer = Observer(labels=LABELS, engine=self.engine, fleet=self.fleet, bus=bus)

    async def container(self, name: str, labels: dict[str, str]) -> str:
        return await self.engine.create(self.spec, name=name, labels=labels)


@pytest.fixture
def house(make: Any) -> House:
    return House(make.deployment().compiled.spec)


async def test_a_container_with_a_role_is_no_plugins(house: House) -> None:
    plugin = await house.container("plugin", OF_A_PLUGIN)
    await house.container("pause", BESIDE_IT)
    await house.observer.look(0.0)

    assert house.fleet.containers.keys() == {plugin}


async def test_nor_is_it_when_it_is_looked_at_alone(house: House) -> None:
    await house.observer.look(0.0)
    house.observer.doubt(await house.container("pause", BESIDE_IT))
    house.observer.doubt(plugin := await house.container("plugin", OF_A_PLUGIN))
    await house.observer.look(1.0)

    assert house.fleet.containers.keys() == {plugin}


@pytest.mark.parametrize(
    ("labels", "told"), [(OF_A_PLUGIN, ["orchestrator.plugin.oom"]), (BESIDE_IT, [])]
)
def test_only_a_plugins_memory_makes_news(
    house: House, labels: dict[str, str], told: list[str]
) -> None:
    kind = EngineEventKind.OOM
    event = EngineEvent(kind=kind, container_id="1", at=0.0, labels=tuple(labels.items()))
    house.observer.hear(event)

    assert [event.type for event in house.told] == told
    assert len(house.fleet.ooms) == len(told)


class Sleeper:
    """A sandbox as far as the observer asks it."""

    def __init__(self) -> None:
        self.resumed = False

    def resume(self) -> None:
        self.resumed = True


@pytest.mark.parametrize("how", ["by somebody", "by a step", "not at all"])
async def test_a_sleeping_container_that_somebody_else_woke_takes_calls_again(
    house: House, how: str
) -> None:
    labels = {**OF_A_PLUGIN, LABEL_SANDBOX: "notes-1"}
    container = await house.container("plugin", labels)
    await house.engine.start(container)
    if how == "not at all":
        house.engine.pause(container)
    if how == "by a step":
        house.fleet.busy.begin("notes", container, "going to sleep")
    sandbox: Any = Sleeper()
    house.fleet.sandboxes["notes-1"] = sandbox
    await house.observer.look(0.0)

    assert sandbox.resumed is (how == "by somebody")
