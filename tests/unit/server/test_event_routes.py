"""`/v1/events…` of a whole daemon on in-memory backends; the event log is a real file."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from orchestrator.manager.neighbours import FleetNeighbours
from orchestrator.model.events import EventName, as_cloud_event
from orchestrator.sandbox.broker import RefusalCode, Refused
from orchestrator.sandbox.callers import CallLedger
from orchestrator.sandbox.host_events import Publication
from orchestrator.server.problems import failure_problem
from orchestrator.store.base import StoreUnavailable
from orchestrator.store.event_values import Choice
from tests.unit.manager.permission_house import PermissionHouse
from tests.unit.server.event_asking import SECONDS, ask, asked_house, publish


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[PermissionHouse]:
    async with asked_house(tmp_path) as house:
        yield house


async def test_an_operators_event_is_taken_and_shown_as_his(house: PermissionHouse) -> None:
    answer = await publish(house, subject="shop", data={"number": 7}, who="ada")
    shown = (await ask(house, "GET", "/v1/events?type=order.*")).json

    assert answer.status == 202
    [event] = shown
    assert event["id"] == answer.json["event_id"]
    assert event["source"] == "operator/ada"
    assert (event["subject"], event["data"]) == ("shop", {"number": 7})


async def test_publishing_and_its_refusal_are_audited(house: PermissionHouse) -> None:
    answer = await publish(house, who="ada")
    refused = await publish(house, "orchestrator.plugin.died")
    done, no = (await ask(house, "GET", "/v1/audit?type=command&count=2")).json

    assert refused.status == 403
    assert refused.json["code"] == "event_type_reserved"
    assert done["why"] == "events publish order.created"
    assert done["data"]["event_id"] == answer.json["event_id"]
    assert done["data"]["who"] == "ada"
    assert no["outcome"] == "refused"
    assert no["data"]["code"] == "event_type_reserved"


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (b"{", "Invalid JSON"),
        ({}, "type: Field required"),
        ({"type": "Order"}, "type"),
        ({"type": "order.*"}, "expected one type"),
        ({"type": "a.b", "data": [1]}, "data"),
        (b'{"type": "a.b", "data": {"n": NaN}}', "data"),
        (b'{"type": "a.b", "data": {"n": 1e999}}', "no JSON"),
        ({"type": "a.b", "subject": "a\nb"}, "subject"),
        ({"type": "a.b", "who": "a/b"}, "who"),
        ({"type": "a.b", "id": "1"}, "Extra inputs"),
        ({"type": "a.b", "data": {"x": "x" * 70_000}}, "more than 65536 bytes"),
    ],
)
async def test_what_is_no_event_is_refused_by_field(
    house: PermissionHouse, wish: Any, words: str
) -> None:
    answer = await ask(house, "POST", "/v1/events", wish)

    assert answer.status == 422
    assert words in answer.json["detail"]


async def test_what_was_taken_waits_also_for_a_plugin_of_the_next_daemon(
    house: PermissionHouse,
) -> None:
    await publish(house)
    async with house.open():
        shown = (await ask(house, "GET", "/v1/plugins/notes")).json
        events = (await ask(house, "GET", "/v1/events?type=order.created")).json

    assert shown["events_waiting"] == 1
    assert len(events) == 1


async def test_too_many_events_are_429_with_retry_after(house: PermissionHouse) -> None:
    await publish(house)
    await publish(house)
    answer = await publish(house)

    assert answer.status == 429
    assert answer.headers["retry-after"] == "1"
    assert answer.json["code"] == "events_full"
    assert "policy.events.max_pending 2" in answer.json["detail"]


@pytest.mark.parametrize("count", ["-1", "x", "1.5", "\u0661"])
async def test_a_count_that_is_none_is_refused(house: PermissionHouse, count: str) -> None:
    assert (await ask(house, "GET", f"/v1/events?count={count}")).status == 422


async def test_a_follower_gets_the_latest_and_then_what_comes_of_its_choice(
    house: PermissionHouse,
) -> None:
    first = (await publish(house, "order.a")).json["event_id"]
    follower = house.daemon.events.follow(Choice(type="order.*"), count=5)
    async with asyncio.timeout(SECONDS):
        ids = [json.loads(body)["id"] for body in await anext(follower)]
        await publish(house, "other.a")
        second = (await publish(house, "order.b")).json["event_id"]
        while len(ids) < 2:
            ids += [json.loads(body)["id"] for body in await anext(follower)]
    await follower.aclose()

    assert ids == [first, second]


async def test_the_orchestrators_own_events_are_in_the_log_over_a_restart(
    house: PermissionHouse,
) -> None:
    house.daemon.bus.publish(EventName.PLUGIN_DIED, "notes", {"reason": "r"})
    await ask(house, "GET", "/v1/events")  # by then it is written
    async with house.open():
        [event] = (await ask(house, "GET", "/v1/events?type=orchestrator.plugin.died")).json

    assert (event["source"], event["subject"]) == ("orchestrator/default", "notes")


async def test_what_waits_for_a_plugin_that_is_taken_down_is_dropped(
    house: PermissionHouse,
) -> None:
    await publish(house)
    house.daemon.manager.fleet.deployments.clear()
    desk, dropped = house.daemon.events, Choice(type=EventName.EVENT_DROPPED)
    async with asyncio.timeout(SECONDS), asyncio.TaskGroup() as group:
        running = group.create_task(desk.run())
        async for bodies in desk.follow(dropped, count=0):
            if bodies:
                break
        running.cancel()

    assert desk.pending() == {}
    assert json.loads(bodies[0])["data"] == {"count": 1, "why": "not deployed any more"}


# -- a plugin's own publishing ------------------------------------------------------------------


@pytest.fixture
def neighbours(house: PermissionHouse) -> FleetNeighbours:
    return FleetNeighbours(
        fleet=house.daemon.manager.fleet,
        doors=cast("Any", None),
        ledger=CallLedger(lambda: 0.0),
        bus=house.daemon.bus,
        problem=failure_problem,
    )


def publication(own_id: str = "") -> Publication:
    return Publication(
        type="order.created",
        source="plugin/shop",
        event_id=own_id,
        subject="",
        traceparent="",
        data={},
    )


async def test_an_event_keeps_the_trace_that_it_was_published_in(
    neighbours: FleetNeighbours, house: PermissionHouse
) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await neighbours.publish(replace(publication("7"), traceparent=trace))
    await neighbours.publish(publication("8"))
    told, silent = house.daemon.bus.latest(count=2)

    assert as_cloud_event(told)["traceparent"] == trace
    assert "traceparent" not in as_cloud_event(silent)


async def test_a_plugins_repeat_gets_the_first_ones_id(neighbours: FleetNeighbours) -> None:
    first = await neighbours.publish(publication("7"))

    assert await neighbours.publish(publication("7")) == first
    assert await neighbours.publish(publication("8")) != first


async def test_a_plugin_beyond_a_bound_is_refused_as_full(neighbours: FleetNeighbours) -> None:
    await neighbours.publish(publication())
    await neighbours.publish(publication())
    with pytest.raises(Refused) as caught:
        await neighbours.publish(publication())

    assert caught.value.code is RefusalCode.EVENTS_FULL
    assert caught.value.status == 429


async def test_a_plugin_is_told_when_the_disk_takes_nothing(
    house: PermissionHouse, neighbours: FleetNeighbours, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr("orchestrator.store.event_log.EventLog.add", full)
    with pytest.raises(Refused) as caught:
        await neighbours.publish(publication())
    monkeypatch.undo()

    assert caught.value.status == 507
    assert (await ask(house, "GET", "/v1/events?type=order.*")).json == []


async def test_route_event_takes_an_event_once(house: PermissionHouse) -> None:
    event = house.daemon.bus.event("order.created", source="test", subject="", data={})
    taken = await house.daemon.manager.route_event(event)
    again = await house.daemon.manager.route_event(event)

    assert taken == again == event
    assert house.daemon.events.pending() == {"notes": 1}
