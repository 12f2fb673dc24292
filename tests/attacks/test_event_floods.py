"""Events without number or measure: bounded by a rate, a size, and what is kept of one plugin."""

import json

import pytest

from tests.support.arena import on_gvisor_too
from tests.support.hostile import House, code_of, status_of
from tests.support.hostile_house import FRIEND, NEIGHBOUR, TALKER
from tests.support.instance import eventually

pytestmark = [pytest.mark.docker, on_gvisor_too]

PACE = 0.025
"""Seconds: just within the rate."""


def publish(data: str, **more: str) -> str:
    """Without an id: each time it is another event."""
    event = {"specversion": "1.0", "source": "x", "type": "hostile.noise", **more}
    body = json.dumps(event)[:-1] + f', "data": {data}}}'
    return (
        "POST /v1/events HTTP/1.1\r\nHost: h\r\nContent-Type: application/cloudevents+json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )


def test_events_beyond_the_rate_are_refused(house: House) -> None:
    with house.unharmed() as witness:
        statuses = house.do(
            TALKER, "repeat", path="host.sock", text=publish('{"n": 1}'), times=3_000
        )

    assert statuses.keys() <= {"202", "429"}
    assert statuses["429"] > 500
    assert len(witness.statuses) > 2
    assert "rate_limited" in house.refusals(TALKER)


def test_events_as_large_and_many_as_may_be_fill_no_memory_and_no_log(house: House) -> None:
    """Small as text, large as objects: what is kept of them is text, and on disk."""
    large = '{"a": [' + ",".join(["[]"] * 20_000) + "]}"
    log = house.instance.home / house.instance.name / "daemon.log"
    size = log.stat().st_size
    with house.unharmed() as witness:
        statuses = house.do(
            TALKER, "repeat", path="host.sock", text=publish(large), times=120, pause=PACE
        )

    assert statuses.get("202", 0) > 60
    assert log.stat().st_size - size < 1_000_000
    assert witness.grown_mib < 64


def test_an_event_that_others_could_not_write_down_is_refused(house: House) -> None:
    deep = [f'{{"a": {"[" * levels}{"]" * levels}}}' for levels in (100, 900, 960, 990, 30_000)]
    odd = ['{"a": "\\ud800"}', '{"a": NaN}', '{"a": ' + "9" * 5_000 + "}", '{"a": 1, "a": }', "[]"]
    with house.unharmed():
        answers = house.do(
            TALKER, "talk", path="host.sock", requests=[publish(d) for d in deep + odd], seconds=2
        )
        shown = house.instance.run("status", FRIEND, "--json")

    assert set(map(status_of, answers)) == {422}
    assert shown.returncode == 0


def test_a_flood_pushes_nothing_out_of_another_plugins_history(house: House) -> None:
    before = [e["type"] for e in house.status(NEIGHBOUR)["events"]]
    faked = publish('{"reason": "fake"}', subject=NEIGHBOUR)
    statuses = house.do(TALKER, "repeat", path="host.sock", text=faked, times=40, pause=PACE)

    assert statuses["202"] > 20
    assert [e["type"] for e in house.status(NEIGHBOUR)["events"]] == before


def test_no_plugin_publishes_what_it_did_not_declare_or_as_somebody_else(house: House) -> None:
    refused = ["orchestrator.plugin.died", "orchestrator.x", "hostilex", "other.type", "*", ""]
    requests = [publish("{}", type=name) for name in refused]
    with house.unharmed():
        answers = house.do(
            TALKER, "talk", path="host.sock", requests=requests, pause=PACE, seconds=2
        )
        faked = publish('{"marked": 7}', source=f"plugin/{NEIGHBOUR}", type="hostile.faked")
        [taken] = house.do(TALKER, "talk", path="host.sock", requests=[faked], seconds=2)
        seen = eventually(
            lambda: [e for e in house.do(FRIEND, "seen") if e["type"] == "hostile.faked"]
        )

    assert set(map(code_of, answers)) <= {"event_not_declared", "event_invalid"}
    assert status_of(taken) == 202
    assert {event["source"] for event in seen} == {f"plugin/{TALKER}"}
