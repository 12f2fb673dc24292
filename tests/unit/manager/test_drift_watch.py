"""Drift is told once, cured at once, and never makes the fleet flap."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from orchestrator.clock import SystemClock
from orchestrator.events.bus import PluginEventBus
from orchestrator.manager.drift import Cure
from orchestrator.manager.drift_watch import FORGET_SECONDS, MOST_PAUSE_SECONDS, DriftWatch
from orchestrator.manager.fleet import Fleet
from orchestrator.model.container import ContainerPhase
from orchestrator.model.events import PluginEvent
from orchestrator.sandbox.sandbox import SandboxState
from orchestrator.store.memory import MemoryStore
from tests.unit.manager.drifting import as_made


class PlayedSandbox:
    """A sandbox that is in the state that the test says."""

    def __init__(self) -> None:
        self.state = SandboxState.READY


class House:
    """One ready plugin; `see` is what the engine shows of its container at a time."""

    def __init__(self, make: Any) -> None:
        self.make = make
        self.deployment = make.deployment()
        self.fleet = Fleet(store=MemoryStore())
        self.fleet.deployments["notes"] = self.deployment
        self.sandbox: Any = PlayedSandbox()
        self.fleet.sandboxes[self.deployment.compiled.sandbox_id] = self.sandbox
        self.told: list[PluginEvent] = []
        bus = PluginEventBus(clock=SystemClock(), instance="one")
        bus.listen(self.told.append)
        self.watch = DriftWatch(fleet=self.fleet, bus=bus)

    def see(self, *, at: float = 0.0, state: dict[str, Any] | None = None, **changes: Any) -> None:
        container = replace(as_made(self.make, self.deployment, **changes), **(state or {}))
        self.fleet.containers = {container.container_id: container}
        self.watch.look(at)

    @property
    def cures(self) -> dict[str, Cure]:
        return {it.field: it.cure for found in self.fleet.drifts.values() for it in found}


@pytest.fixture
def house(make: Any) -> House:
    return House(make)


def test_a_drift_is_told_once_with_its_field(house: House) -> None:
    house.see(pids_limit=9_999)
    house.see(at=15.0, pids_limit=9_999)
    [event] = house.told

    assert (event.type, event.subject) == ("orchestrator.plugin.drifted", "notes")
    assert dict(event.data) == {
        "detail": "pids_limit: found 9999, expected 128",
        "field": "pids_limit",
        "found": 9_999,
        "expected": 128,
        "cure": "set back",
        "container_id": f"id-{house.deployment.compiled.sandbox_id}",
    }


def test_a_drift_that_comes_again_after_it_was_cured_is_told_again(house: House) -> None:
    house.see(pids_limit=9_999)
    house.see(at=1.0)
    gone = house.cures
    house.see(at=2.0, pids_limit=9_999)

    assert gone == {}
    assert len(house.told) == 2


@pytest.mark.parametrize(
    "state",
    [SandboxState.STARTING, SandboxState.DRAINING, SandboxState.STUCK, SandboxState.CLOSED],
)
def test_what_we_do_ourselves_on_the_way_up_and_down_is_no_drift(
    house: House, state: SandboxState
) -> None:
    house.sandbox.state = state
    house.see(state={"cpu_percent": 100}, pids_limit=9_999)

    assert (house.cures, house.told) == ({}, [])


def test_a_container_is_judged_again_once_its_plugin_is_ready(house: House) -> None:
    house.sandbox.state = SandboxState.STARTING
    house.see(pids_limit=9_999)
    house.sandbox.state = SandboxState.READY
    house.watch.look(1.0)

    assert house.cures == {"pids_limit": Cure.SET_BACK}


@pytest.mark.parametrize("change", [{"phase": ContainerPhase.PAUSED}, {"labels": ()}], ids=str)
def test_what_stands_still_or_is_of_another_revision_is_not_judged(
    house: House, change: dict[str, Any]
) -> None:
    house.see(state=change, pids_limit=9_999)

    assert (house.cures, house.told) == ({}, [])


def test_a_container_that_is_gone_is_forgotten(house: House) -> None:
    house.see(pids_limit=9_999)
    house.fleet.containers = {}
    house.watch.look(1.0)

    assert house.fleet.drifts == {}


def test_a_cure_that_does_not_last_is_tried_at_growing_intervals(house: House) -> None:
    """An engine that shows a limit in its own way must not keep the loop busy."""
    times = []
    for at in range(0, 3_000, 15):
        house.see(at=float(at), pids_limit=0)
        if house.cures == {"pids_limit": Cure.SET_BACK}:
            times.append(at)
    gaps = [later - earlier for earlier, later in pairwise(times)]

    assert gaps[:5] == [15, 15, 15, 30, 45]
    assert max(gaps) <= MOST_PAUSE_SECONDS + 15
    assert gaps == sorted(gaps)
    assert len(house.told) == 1


def test_a_field_that_was_left_alone_for_an_hour_is_cured_at_once_again(house: House) -> None:
    for at in (0.0, 15.0, 30.0, 45.0):
        house.see(at=at, pids_limit=0)
    house.see(at=46.0)
    late = 46.0 + FORGET_SECONDS
    house.see(at=late, pids_limit=0)
    first = house.cures
    house.see(at=late + 2.5, pids_limit=0)

    assert first == {"pids_limit": Cure.SET_BACK}
    assert house.cures == {"pids_limit": Cure.SET_BACK}


def test_a_clock_that_was_set_back_delays_no_cure(house: House) -> None:
    house.see(at=10_000.0, pids_limit=0)
    house.see(at=10_001.0)
    house.see(at=5_000.0, pids_limit=0)

    assert house.cures == {"pids_limit": Cure.SET_BACK}


def test_a_container_that_was_born_with_it_is_not_replaced_again(house: House) -> None:
    house.see(state={"container_id": "first"}, cpu_shares=2)
    first = house.cures
    house.see(at=1_000.0, state={"container_id": "second"}, cpu_shares=2)
    second = house.cures
    house.see(at=9_000.0, state={"container_id": "second"}, cpu_shares=2)

    assert first == {"cpu_shares": Cure.REPLACE}
    assert second == {"cpu_shares": Cure.TELL}
    assert house.cures == {"cpu_shares": Cure.TELL}


def test_a_container_that_somebody_changed_again_is_replaced_again(house: House) -> None:
    house.see(state={"container_id": "first"}, cpu_shares=2)
    house.see(at=1_000.0, state={"container_id": "second"})
    house.see(at=2_000.0, state={"container_id": "second"}, cpu_shares=2)

    assert house.cures == {"cpu_shares": Cure.REPLACE}


def test_programs_run_beside_it_are_only_told(house: House) -> None:
    house.see(exec_sessions=1)

    assert house.cures == {"exec_sessions": Cure.TELL}
    assert [event.data["field"] for event in house.told] == ["exec_sessions"]


def test_an_unchanged_fleet_makes_no_news_however_often_it_is_looked_at(house: House) -> None:
    for at in range(100):
        house.see(at=float(at))

    assert (house.told, house.fleet.drifts) == ([], {})
