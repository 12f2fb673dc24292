"""Delivery: who gets an event, when it can be sent, and what counts as a try."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator.events.queue import Answer
from orchestrator.manager.actions import Sleep
from orchestrator.manager.delivery import FleetSubscribers
from orchestrator.manager.fleet import Fleet
from orchestrator.sandbox.sandbox import PluginSandbox, SandboxState
from orchestrator.store.event_values import Due
from orchestrator.store.memory import MemoryStore
from tests.unit.sandbox.house import House, Plugin

DUE = Due(
    delivery_id=1, event_id="e1", source="s", type="a.b", body=b'{"id": "e1"}', tries=0, since=0.0
)


@dataclass
class Delivering:
    """One plugin, deployed and dialled in."""

    fleet: Fleet
    subscribers: FleetSubscribers
    sandbox: PluginSandbox
    plugin: Plugin
    answers: "asyncio.Queue[Answer]"
    woken: list[int]

    def carry(self, due: Due = DUE) -> bool:
        return self.subscribers.carry("notes", due, self.answers.put_nowait)

    async def answer(self) -> Answer:
        async with asyncio.timeout(10):
            return await self.answers.get()


@pytest.fixture
async def delivering(tmp_path: Path, make: Any) -> AsyncIterator[Delivering]:
    house = House(tmp_path)
    fleet = Fleet(store=MemoryStore(), told=True)
    deployment = make.deployment(info={"subscribes": ("a.*",)})
    fleet.deployments["notes"] = deployment
    sandbox, plugin, _ = await house.ready(events=1)
    fleet.routes["notes"] = (sandbox,)
    woken: list[int] = []
    subscribers = FleetSubscribers(fleet, lambda: woken.append(1))
    yield Delivering(fleet, subscribers, sandbox, plugin, asyncio.Queue(), woken)
    house.close()


@pytest.mark.parametrize(
    ("event_type", "source", "names"),
    [
        ("a.b", "plugin/other", ["notes"]),
        ("a.b.c", "operator/root", ["notes"]),
        ("a", "plugin/other", []),
        ("ab.c", "plugin/other", []),
        ("a.b", "plugin/notes", []),
    ],
)
async def test_a_plugin_is_to_get_what_it_subscribed_to_and_did_not_publish(
    delivering: Delivering, event_type: str, source: str, names: list[str]
) -> None:
    delivering.sandbox.state = SandboxState.STUCK

    assert delivering.subscribers.of(event_type, source) == names


async def test_while_a_revision_is_replaced_both_are_asked_what_they_subscribe_to(
    delivering: Delivering, make: Any
) -> None:
    fleet, wants = delivering.fleet, delivering.subscribers.wants
    fleet.deployments["notes"] = make.deployment(info={"subscribes": ("new.*",)})

    assert delivering.sandbox.info.subscribes == ("a.b",)
    assert [wants("notes", each) for each in ("new.x", "a.b", "z")] == [True, True, False]
    fleet.routes.clear()
    assert not wants("notes", "a.b")


async def test_a_plugin_is_known_while_it_is_deployed(delivering: Delivering) -> None:
    known, fleet = delivering.subscribers.is_known, delivering.fleet

    assert (known("notes"), known("other")) == (True, False)
    fleet.unread.add("other")
    assert known("other")
    fleet.unread.clear()
    fleet.told = False
    assert known("other")


async def test_an_event_goes_down_the_events_lane_and_2xx_takes_it(
    delivering: Delivering,
) -> None:
    lane = await delivering.plugin.dial("events")

    assert delivering.carry()
    request = await lane.request()
    lane.answer(status=204, body=b"")
    assert request.line == "POST /v1/events HTTP/1.1"
    assert request.headers["content-type"] == "application/cloudevents+json"
    assert request.body == DUE.body
    assert await delivering.answer() == Answer(taken=True)


@pytest.mark.parametrize("status", [301, 404, 500])
async def test_any_other_answer_is_a_failed_try(delivering: Delivering, status: int) -> None:
    lane = await delivering.plugin.dial("events")
    delivering.carry()
    await lane.request()
    lane.answer(status=status)

    assert await delivering.answer() == Answer(
        taken=False, reason=f"it answered with status {status}"
    )


async def test_a_plugin_that_crashes_over_an_event_failed_a_try(delivering: Delivering) -> None:
    lane = await delivering.plugin.dial("events")
    delivering.carry()
    await lane.request()
    lane.close()
    answer = await delivering.answer()

    assert (answer.taken, answer.is_try) == (False, True)
    assert answer.reason.startswith("plugin_disconnected")


async def test_a_plugin_that_is_replaced_meanwhile_did_not_fail(delivering: Delivering) -> None:
    lane = await delivering.plugin.dial("events")
    delivering.carry()
    await lane.request()
    delivering.sandbox.close(remove_folder=False)
    answer = await delivering.answer()

    assert (answer.taken, answer.is_try) == (False, False)


async def test_a_plugin_that_is_drained_and_then_ends_did_not_fail(
    delivering: Delivering,
) -> None:
    lane = await delivering.plugin.dial("events")
    delivering.carry()
    await lane.request()
    await delivering.sandbox.drain(grace_seconds=1)
    lane.close()
    answer = await delivering.answer()

    assert (answer.taken, answer.is_try) == (False, False)


@pytest.mark.parametrize("state", [s for s in SandboxState if s is not SandboxState.READY])
async def test_nothing_is_sent_to_a_plugin_that_is_not_ready(
    delivering: Delivering, state: SandboxState
) -> None:
    delivering.sandbox.state = state

    assert not delivering.carry()


async def test_a_revision_that_did_not_subscribe_to_the_type_gets_none(
    delivering: Delivering, make: Any
) -> None:
    delivering.sandbox.info = make.info(subscribes=("z.*",))

    assert not delivering.carry()


async def test_nothing_is_sent_to_a_plugin_without_a_sandbox(delivering: Delivering) -> None:
    delivering.fleet.routes.clear()

    assert not delivering.carry()
    assert delivering.woken == []


async def test_an_event_wakes_a_plugin_that_sleeps(
    delivering: Delivering, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = delivering.fleet
    fleet.deployments["notes"] = make.deployment(
        info={"subscribes": ("a.*",)}, spec={"idle_timeout": 60.0}
    )
    fleet.can_pause = True
    fleet.routes.clear()
    fleet.used_at["notes"] = fleet.clock.monotonic() - 61

    assert not delivering.carry()
    assert delivering.woken == [1]
    assert fleet.sleep("notes")[0] is Sleep.AWAKE
