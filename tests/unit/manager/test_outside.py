"""An end that somebody brought about through the engine is not the plugin's own failure."""

import signal
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.clock import SystemClock
from orchestrator.engine.base import EngineEvent, EngineEventKind
from orchestrator.engine.memory import MemoryEngine
from orchestrator.events.bus import PluginEventBus
from orchestrator.manager.fleet import Fleet
from orchestrator.manager.observe import Observer
from orchestrator.manager.outside import Signals, had_settled
from orchestrator.model.container import ContainerPhase, ContainerState
from orchestrator.model.events import PluginEvent
from orchestrator.store.memory import MemoryStore

LABELS = {"orchestrator.instance": "one"}


class House:
    """A wanted plugin whose container ran from 1000 on, and an observer of it."""

    def __init__(self, make: Any, clock: Any) -> None:
        self.clock = clock
        self.deployment = make.deployment()
        self.engine = MemoryEngine(clock=clock)
        self.fleet = Fleet(store=MemoryStore())
        self.fleet.deployments["notes"] = self.deployment
        self.told: list[PluginEvent] = []
        bus = PluginEventBus(clock=SystemClock(), instance="one")
        bus.listen(self.told.append)
        self.observer = Observer(labels=LABELS, engine=self.engine, fleet=self.fleet, bus=bus)
        self.labels = {**LABELS, **dict(make.container(self.deployment).labels)}
        self.heard = 0
        self.container_id = ""

    async def run(self) -> "House":
        compiled = self.deployment.compiled
        self.container_id = await self.engine.create(
            compiled.spec, name=compiled.container_name, labels=self.labels
        )
        await self.engine.start(self.container_id)
        await self.look()
        return self

    async def look(self) -> None:
        events = self.engine._events.items
        for event in events[self.heard :]:
            self.observer.hear(event)
        self.heard = len(events)
        await self.observer.look(self.clock.at)

    @property
    def history(self) -> Any:
        return self.fleet.history(self.deployment.compiled.sandbox_id)


@pytest.fixture
async def house(make: Any, clock: Any) -> House:
    return await House(make, clock).run()


@pytest.mark.parametrize(("grace", "name"), [(10, "SIGTERM"), (0, "SIGKILL")])
async def test_a_plugin_that_somebody_stopped_has_not_failed(
    house: House, grace: int, name: str
) -> None:
    house.clock.at += 60
    await house.engine.stop(house.container_id, grace_seconds=grace)
    await house.look()
    [died] = house.told

    assert house.history.reason == "stopped_from_outside"
    assert house.history.detail == f"somebody had the engine send it {name}"
    assert house.history.failures == ()
    assert died.data["reason"] == "stopped_from_outside"


async def test_one_that_hardly_ran_waits_for_its_back_off_all_the_same(house: House) -> None:
    house.clock.at += 2
    await house.engine.stop(house.container_id, grace_seconds=0)
    await house.look()

    assert house.history.reason == "stopped_from_outside"
    assert house.history.failures == (1_002.0,)


async def test_an_end_of_its_own_is_its_own_however_it_looks(house: House) -> None:
    """A process can kill itself with any signal; the engine then sent none."""
    house.clock.at += 60
    house.engine.die(house.container_id, exit_code=137)
    await house.look()

    assert house.history.reason == "exit_code_137"
    assert len(house.history.failures) == 1


async def test_what_our_own_step_stops_was_stopped_by_nobody_else(house: House) -> None:
    house.clock.at += 60
    house.fleet.busy.begin("notes", house.container_id, "stopping")
    await house.engine.stop(house.container_id, grace_seconds=0)
    await house.look()
    house.fleet.busy.end("notes", house.container_id)
    house.observer.doubt_all()
    await house.look()

    assert house.history.reason == "exit_code_137"


async def test_why_we_stopped_it_goes_before_who_had_it_stopped(house: House) -> None:
    house.clock.at += 60
    house.fleet.causes[house.container_id] = ("stuck", "a call went on past its deadline")
    await house.engine.stop(house.container_id, grace_seconds=0)
    await house.look()

    assert house.history.reason == "stuck"
    assert len(house.history.failures) == 1


async def test_a_removal_by_somebody_is_no_failure_of_a_plugin_that_had_settled(
    house: House,
) -> None:
    house.clock.at += 60
    await house.engine.remove(house.container_id)
    await house.look()

    assert house.history.reason == "container_removed"
    assert house.history.failures == ()
    assert house.history.restarts == 1


async def test_a_removal_soon_after_the_start_counts(house: House) -> None:
    house.clock.at += 2
    await house.engine.remove(house.container_id)
    await house.look()

    assert len(house.history.failures) == 1


class PlayedSandbox:
    """Knows its id, and whether it was closed."""

    def __init__(self, sandbox_id: str) -> None:
        self.sandbox_id = sandbox_id
        self.closed = False

    def close(self, *, remove_folder: bool) -> None:
        self.closed = True


async def restart(house: House) -> None:
    """`docker restart`, of which nobody hears until it is over."""
    house.engine.drop_events(dropped=True)
    await house.engine.stop(house.container_id, grace_seconds=0)
    house.clock.at += 1
    await house.engine.start(house.container_id)
    house.observer.doubt_all()
    await house.look()


async def test_a_container_that_somebody_restarted_unseen_is_begun_anew(house: House) -> None:
    """Its plugin dials in again, but nobody has initialised it."""
    sandbox: Any = PlayedSandbox(house.deployment.compiled.sandbox_id)
    house.fleet.sandboxes[sandbox.sandbox_id] = sandbox
    house.clock.at += 60
    await restart(house)
    [died] = house.told

    assert (sandbox.closed, house.fleet.sandboxes) == (True, {})
    assert died.data["detail"] == "somebody restarted its container"
    assert (house.history.reason, house.history.failures) == ("stopped_from_outside", ())


async def test_our_own_step_may_restart_it(house: House) -> None:
    sandbox: Any = PlayedSandbox(house.deployment.compiled.sandbox_id)
    house.fleet.sandboxes[sandbox.sandbox_id] = sandbox
    house.fleet.busy.begin("notes", house.container_id, "starting")
    await restart(house)

    assert (sandbox.closed, house.told) == (False, [])


def ended(*, started: float = 100.0, finished: float = 200.0) -> ContainerState:
    return ContainerState(
        container_id="1",
        name="notes",
        labels=(),
        phase=ContainerPhase.EXITED,
        exit_code=137,
        started_at=started,
        finished_at=finished,
    )


def sent(number: int, at: float) -> EngineEvent:
    kind = EngineEventKind.SIGNALLED
    return EngineEvent(kind=kind, container_id="1", at=at, signal=number)


@pytest.mark.parametrize(
    ("number", "at", "outside"),
    [
        (signal.SIGTERM, 199.0, True),
        (signal.SIGKILL, 200.5, True),  # two clocks
        (signal.SIGHUP, 190.0, True),
        (signal.SIGTERM, 150.0, False),  # it took it, and went on
        (signal.SIGTERM, 90.0, False),  # the run before
        (signal.SIGWINCH, 199.0, False),
        (signal.SIGCHLD, 199.0, False),
        (0, 199.0, False),
    ],
)
def test_a_signal_counts_if_it_may_have_ended_that_run(
    number: int, at: float, *, outside: bool
) -> None:
    signals = Signals()
    signals.hear(sent(number, at))

    assert bool(signals.ended(ended())) is outside
    assert signals.ended(ended()) == ""


def test_the_signal_of_an_earlier_run_is_not_that_of_the_next() -> None:
    signals = Signals()
    signals.hear(sent(15, 199.0))
    later = replace(ended(), started_at=199.5, finished_at=203.0)

    assert signals.ended(later) == ""


def test_a_signal_without_a_name_has_a_number() -> None:
    signals = Signals()
    signals.hear(sent(99, 199.0))

    assert signals.ended(ended()) == "somebody had the engine send it signal 99"


@pytest.mark.parametrize(
    ("started", "settled"), [(0.0, False), (189.9, True), (190.0, True), (190.1, False)]
)
def test_ten_seconds_make_a_run_that_had_settled(started: float, *, settled: bool) -> None:
    assert had_settled(ended(started=started), 200.0) is settled
