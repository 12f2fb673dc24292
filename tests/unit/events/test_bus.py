"""PluginEventBus: told at once, in order, to all who listen, and kept for a look back."""

import json
import tracemalloc
from typing import Any

import pytest

from orchestrator.events import bus as bus_module
from orchestrator.events.bus import PluginEventBus
from orchestrator.events.kept import KEPT_BYTES
from orchestrator.model.events import EventName, PluginEvent

STARTED, DIED = EventName.PLUGIN_STARTED, EventName.PLUGIN_DIED


@pytest.fixture
def bus(clock: Any) -> PluginEventBus:
    return PluginEventBus(clock=clock, instance="home")


def test_an_event_says_what_happened_to_whom_where_and_when(
    bus: PluginEventBus, clock: Any
) -> None:
    clock.at = 1_234.5
    event = bus.publish(DIED, "notes", {"exit_code": 3})

    assert event == PluginEvent(
        event_id=event.event_id,
        type="orchestrator.plugin.died",
        source="orchestrator/home",
        at=1_234.5,
        subject="notes",
        data={"exit_code": 3},
    )


def test_every_event_has_an_id_of_its_own(bus: PluginEventBus) -> None:
    assert len({bus.publish(STARTED, "notes").event_id for _ in range(100)}) == 100


def test_an_events_data_does_not_change_with_the_one_who_published_it(bus: PluginEventBus) -> None:
    data: dict[str, Any] = {"a": 1}
    event = bus.publish(STARTED, "notes", data)
    data["a"] = 2

    assert event.data == {"a": 1}


def test_all_listeners_hear_every_event_in_order_before_publish_returns(
    bus: PluginEventBus,
) -> None:
    heard: list[tuple[str, str]] = []
    bus.listen(lambda event: heard.append(("one", event.subject)))
    bus.listen(lambda event: heard.append(("two", event.subject)))
    bus.publish(STARTED, "a")
    bus.publish(STARTED, "b")

    assert heard == [("one", "a"), ("two", "a"), ("one", "b"), ("two", "b")]


def test_a_listener_hears_nothing_from_before_and_nothing_after_it_stopped(
    bus: PluginEventBus,
) -> None:
    heard: list[str] = []
    bus.publish(STARTED, "before")
    stop = bus.listen(lambda event: heard.append(event.subject))
    bus.publish(STARTED, "during")
    stop()
    bus.publish(STARTED, "after")

    assert heard == ["during"]


def test_a_listener_that_stops_while_it_is_told_takes_nothing_from_the_others(
    bus: PluginEventBus,
) -> None:
    heard: list[str] = []
    stops: list[Any] = []
    stops.append(bus.listen(lambda event: stops[0]()))
    bus.listen(lambda event: heard.append(event.subject))
    bus.publish(STARTED, "a")
    bus.publish(STARTED, "b") if len(heard) == 1 else None

    assert heard == ["a", "b"]


def test_a_listener_may_publish_itself(bus: PluginEventBus) -> None:
    bus.listen(lambda event: bus.publish(DIED, "b") and None if event.type == STARTED else None)
    bus.publish(STARTED, "a")

    assert [event.type for event in bus.latest()] == [STARTED, DIED]


def test_the_latest_come_oldest_first(bus: PluginEventBus) -> None:
    for subject in "abcde":
        bus.publish(STARTED, subject)

    assert [event.subject for event in bus.latest(count=3)] == ["c", "d", "e"]
    assert [event.subject for event in bus.latest(count=9)] == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize("count", [0, -1])
def test_none_of_the_latest_are_none(bus: PluginEventBus, count: int) -> None:
    bus.publish(STARTED, "a")

    assert bus.latest(count=count) == []


def test_the_latest_of_one_plugin_are_its_own(bus: PluginEventBus) -> None:
    for subject in ("a", "b", "a", "", "b"):
        bus.publish(STARTED, subject)

    assert [event.subject for event in bus.latest(subject="a")] == ["a", "a"]
    assert [event.subject for event in bus.latest(subject="b", count=1)] == ["b"]
    assert [event.subject for event in bus.latest(subject="")] == [""]
    assert bus.latest(subject="unknown") == []


def test_the_oldest_go_when_too_many_are_kept(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus_module, "KEPT_EVENTS", 3)
    small = PluginEventBus(clock=clock, instance="home")
    for subject in "abcde":
        small.publish(STARTED, subject)

    assert [event.subject for event in small.latest()] == ["c", "d", "e"]


def test_a_bus_keeps_ten_thousand_events(bus: PluginEventBus) -> None:
    for _ in range(10_001):
        bus.publish(STARTED, "a")

    assert len(bus.latest(count=20_000)) == 10_000


def test_what_one_plugin_publishes_pushes_out_nothing_of_others(
    bus: PluginEventBus,
) -> None:
    bus.publish(STARTED, "a")
    tell(bus, "b", 7)
    for number in range(30_000):
        tell(bus, "flooder", number)

    latest = bus.latest(count=100_000)
    assert [event.subject for event in latest[:2]] == ["a", "x"]
    assert latest[1].data == {"number": 7}
    assert latest[-1].data == {"number": 29_999}
    assert len(latest) < 2_100


def test_what_plugins_publish_is_kept_to_a_size(bus: PluginEventBus) -> None:
    many: Any = [[] for _ in range(15_000)]
    tracemalloc.start()
    try:
        for _ in range(100):
            tell(bus, "flooder", json.loads(json.dumps(many)))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert kept < 2 * KEPT_BYTES
    assert bus.latest(count=1)[0].data == {"number": many}


def test_a_plugins_history_is_what_was_told_of_it_and_what_it_published(
    bus: PluginEventBus,
) -> None:
    bus.publish(STARTED, "b")
    tell(bus, "b", 1)
    tell(bus, "a", 2, subject="b")
    bus.publish(DIED, "b")

    assert [event.type for event in bus.latest(subject="b")] == [STARTED, "notes.written", DIED]


def tell(bus: PluginEventBus, plugin: str, number: Any, *, subject: str = "x") -> None:
    data = {"number": number}
    bus.tell(bus.event("notes.written", source=f"plugin/{plugin}", subject=subject, data=data))
