"""Dead letters over HTTP: listed, replayed, discarded."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.events.queues import FULL
from orchestrator.model.events import EventName, PluginEvent
from tests.unit.manager.permission_house import PermissionHouse
from tests.unit.server.event_asking import ask, asked_house, publish


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[PermissionHouse]:
    async with asked_house(tmp_path) as house:
        yield house


async def test_dead_letters_are_listed_and_replayed(house: PermissionHouse) -> None:
    await publish(house)
    await publish(house)
    event = house.daemon.bus.publish(EventName.PLUGIN_OOM, "other")
    [letter] = (await ask(house, "GET", "/v1/events/dead?plugin=notes")).json
    wish = {"ids": [event.event_id], "who": "ada"}
    replayed = await ask(house, "POST", "/v1/events/replay", wish)
    again = await ask(house, "POST", "/v1/events/replay", wish)
    shown = (await ask(house, "GET", "/v1/plugins/notes")).json

    assert (letter["subscriber"], letter["event_id"]) == ("notes", event.event_id)
    assert letter["reason"] == FULL
    assert letter["event"]["subject"] == "other"
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
@pytest.mark.parametrize("verb", ["replay", "discard"])
async def test_a_replay_or_discard_names_exactly_what_it_is_of(
    house: PermissionHouse, wish: Any, status: int, verb: str
) -> None:
    assert (await ask(house, "POST", f"/v1/events/{verb}", wish)).status == status


async def test_dead_letters_are_discarded_with_who_did_it_and_that_is_told(
    house: PermissionHouse,
) -> None:
    told: list[PluginEvent] = []
    house.daemon.bus.listen(told.append)
    await publish(house)
    await publish(house)
    events = [house.daemon.bus.publish(EventName.PLUGIN_OOM, "other") for _ in range(3)]
    wish = {"ids": [events[1].event_id], "who": "ada"}
    one = await ask(house, "POST", "/v1/events/discard", wish)
    again = await ask(house, "POST", "/v1/events/discard", wish)
    left = [letter["event_id"] for letter in (await ask(house, "GET", "/v1/events/dead")).json]
    rest = await ask(house, "POST", "/v1/events/discard", {"plugin": "notes", "who": "ada"})
    none = await ask(house, "POST", "/v1/events/discard", {"all": True})
    counts = await house.daemon.events.dead_counts()
    audited = [
        (entry["why"], entry["data"]["user"], entry["data"]["discarded"])
        for entry in (await ask(house, "GET", "/v1/audit?type=command")).json
        if entry["why"].startswith("events discard")
    ]
    dropped = [event.data for event in told if event.type == EventName.EVENT_DROPPED]

    assert one.json == {"discarded": {"notes": 1}}
    assert (again.status, again.json["code"]) == (404, "dead_letter_not_found")
    assert left == [events[0].event_id, events[2].event_id]
    assert rest.json == {"discarded": {"notes": 2}}
    assert none.json == {"discarded": {}}
    assert counts == {}
    assert audited == [
        (f"events discard {events[1].event_id}", "ada", {"notes": 1}),
        ("events discard --plugin notes", "ada", {"notes": 2}),
        ("events discard --all", "operator", {}),
    ]
    assert [(data["count"], data["why"]) for data in dropped] == [
        (1, "discarded by an operator"),
        (2, "discarded by an operator"),
    ]


async def test_dead_letters_of_a_plugin_that_is_gone_are_shown_and_can_be_discarded(
    house: PermissionHouse,
) -> None:
    await publish(house)
    await publish(house)
    house.daemon.bus.publish(EventName.PLUGIN_OOM, "other")
    await house.daemon.events.dead_counts()
    await house.daemon.manager.down(with_volumes=False)
    shown = await ask(house, "GET", "/v1/events/dead?plugin=notes")
    gone = await ask(house, "POST", "/v1/events/discard", {"plugin": "notes"})
    after = await ask(house, "GET", "/v1/events/dead?plugin=notes")

    assert len(shown.json) == 1
    assert gone.json == {"discarded": {"notes": 1}}
    assert (after.status, after.json["code"]) == (404, "plugin_not_found")


@pytest.mark.parametrize("path", ["dead?plugin=nobody", "discard"])
async def test_a_plugin_that_is_nowhere_is_not_found(house: PermissionHouse, path: str) -> None:
    method = "POST" if path == "discard" else "GET"
    answer = await ask(house, method, f"/v1/events/{path}", {"plugin": "nobody"})

    assert (answer.status, answer.json["code"]) == (404, "plugin_not_found")
