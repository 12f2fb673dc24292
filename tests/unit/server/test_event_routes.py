"""`/v1/events…` of a whole daemon on in-memory backends; the event log is a real file."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from orchestrator.events.queues import FULL
from orchestrator.manager.neighbours import FleetNeighbours
from orchestrator.model.events import EventName, as_cloud_event
from orchestrator.sandbox.broker import RefusalCode, Refused
from orchestrator.sandbox.callers import CallLedger
from orchestrator.sandbox.host_events import Publication
from orchestrator.server.problems import failure_problem
from orchestrator.store.base import StoreUnavailable
from orchestrator.store.event_values import Choice
from tests.unit.manager.permission_house import PermissionHouse

SECONDS = 20.0


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    pieces = largest = 0
    body: bytes = b""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def ask(
    house: PermissionHouse, method: str, target: str, wish: object = None, *, user: str = ""
) -> Answer:
    path, _, query = target.partition("?")
    body = wish if isinstance(wish, bytes) else json.dumps(wish or {}).encode()
    answer, sent = Answer(), asyncio.Event()

    async def receive() -> dict[str, Any]:
        if sent.is_set():
            await asyncio.sleep(SECONDS)
        sent.set()
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {k.decode(): v.decode() for k, v in message["headers"]}
        else:
            answer.body += (piece := message.get("body", b""))
            answer.pieces += 1
            answer.largest = max(answer.largest, len(piece))

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(b"x-orchestrator-user", user.encode())] if user else [],
        "http_version": "1.1",
        "scheme": "http",
        "server": ("orchestrator", 80),
        "client": None,
        "root_path": "",
    }
    async with asyncio.timeout(SECONDS):
        await house.daemon.api.app()(cast("Any", scope), receive, cast("Any", send))
    return answer


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[PermissionHouse]:
    """`notes` subscribes and does not run: what comes waits."""
    house = PermissionHouse(tmp_path)
    house.policy(events={"max_pending": 2, "max_published": 3})
    house.plugin(permissions=[], subscribes=["order.*", str(EventName.PLUGIN_OOM)])
    house.manifest()
    async with house.open():
        await house.up()
        yield house


async def publish(house: PermissionHouse, event_type: str = "order.created", **wish: Any) -> Answer:
    return await ask(house, "POST", "/v1/events", {"type": event_type, **wish})


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
    assert done["data"]["user"] == "ada"
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


async def test_dead_letters_are_listed_and_replayed(house: PermissionHouse) -> None:
    await publish(house)
    await publish(house)
    event = house.daemon.bus.publish(EventName.PLUGIN_OOM, "other")
    [letter] = (await ask(house, "GET", "/v1/events/dead?plugin=notes")).json
    others = (await ask(house, "GET", "/v1/events/dead?plugin=other")).json
    wish = {"ids": [event.event_id], "who": "ada"}
    replayed = await ask(house, "POST", "/v1/events/replay", wish)
    again = await ask(house, "POST", "/v1/events/replay", wish)
    shown = (await ask(house, "GET", "/v1/plugins/notes")).json

    assert (letter["subscriber"], letter["event_id"]) == ("notes", event.event_id)
    assert letter["reason"] == FULL
    assert letter["event"]["subject"] == "other"
    assert others == []
    assert replayed.json == {"replayed": {"notes": 1}}
    assert (again.status, again.json["code"]) == (404, "dead_letter_not_found")
    assert shown["events_waiting"] == 3


async def test_one_unknown_id_replays_nothing(house: PermissionHouse) -> None:
    await publish(house)
    await publish(house)
    event = house.daemon.bus.publish(EventName.PLUGIN_OOM, "other")
    answer = await ask(
        house, "POST", "/v1/events/replay", {"ids": [event.event_id, "no-such-event"]}
    )
    letters = (await ask(house, "GET", "/v1/events/dead")).json

    assert answer.status == 404
    assert "no-such-event" in answer.json["detail"]
    assert len(letters) == 1


@pytest.mark.parametrize(
    ("wish", "replayed"), [({"plugin": "notes"}, {"notes": 2}), ({"all": True}, {"notes": 2})]
)
async def test_all_dead_letters_can_be_replayed_at_once(
    house: PermissionHouse, wish: Any, replayed: Any
) -> None:
    await publish(house)
    await publish(house)
    house.daemon.bus.publish(EventName.PLUGIN_OOM, "other")
    house.daemon.bus.publish(EventName.PLUGIN_OOM, "other")

    assert (await ask(house, "POST", "/v1/events/replay", wish)).json == {"replayed": replayed}
    assert (await ask(house, "GET", "/v1/events/dead")).json == []


@pytest.mark.parametrize(
    ("wish", "status"),
    [({}, 422), ({"ids": ["a"], "all": True}, 422), ({"plugin": "nobody"}, 404)],
)
async def test_a_replay_names_exactly_what_it_is_of(
    house: PermissionHouse, wish: Any, status: int
) -> None:
    assert (await ask(house, "POST", "/v1/events/replay", wish)).status == status


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
