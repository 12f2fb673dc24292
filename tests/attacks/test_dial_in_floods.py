"""Connections without number, to every socket that a plugin is given."""

import pytest

from tests.support.arena import on_gvisor_too
from tests.support.hostile import House
from tests.support.hostile_house import FLOODER, FRIEND, TALKER
from tests.support.instance import eventually

pytestmark = pytest.mark.docker

SHAKE = (
    "GET /v1/serve HTTP/1.1\r\nHost: o\r\nConnection: Upgrade\r\nUpgrade: PTTH/1.0\r\n"
    "X-Lane: {lane}\r\n\r\n"
)


@on_gvisor_too
@pytest.mark.parametrize("text", ["", "GET /v1/serve HT", SHAKE.format(lane="calls")])
def test_connections_beyond_its_number_are_not_held(house: House, text: str) -> None:
    with house.unharmed():
        before = house.do(FRIEND, "visible")
        found = house.do(FRIEND, "hold", path="plugin.sock", count=400, text=text, seconds=3)

    # Neither the half open nor those that ask for a lane that is full outlast the handshake.
    assert found["alive"] == 0
    assert found["opened"] > 100
    # The kernel takes down what was closed in its own time, also what earlier tests had open.
    seen = set(before["kernel"])
    eventually(lambda: set(house.do(FRIEND, "visible")["kernel"]) <= seen)


def test_a_plugin_that_dials_without_end_is_replaced_and_no_other_notices(house: House) -> None:
    restarts = house.status(FLOODER)["restarts"]
    with house.unharmed() as witness:
        house.ask(FLOODER, "flood", path="plugin.sock", seconds=20, text=SHAKE.format(lane="calls"))
        eventually(lambda: house.status(FLOODER)["restarts"] > restarts, seconds=60)
        eventually(lambda: house.ask(FLOODER).status == 200, seconds=60)

    events = [e for e in house.status(FLOODER)["events"] if e["type"].endswith("plugin.stuck")]
    assert "dialled more than 500 times" in str(events[-1]["data"])
    assert len(witness.statuses) > 10
    assert witness.slowest < 5


@pytest.mark.parametrize("sock", ["host.sock", "egress.sock"])
def test_a_broker_that_is_dialled_without_end_holds_up_nobody_else(house: House, sock: str) -> None:
    with house.unharmed() as witness:
        times = house.do(TALKER, "flood", path=sock, seconds=4, text="GET / HTTP/1.1\r\n\r\n")

    assert times > 200
    assert len(witness.statuses) > 10
    assert witness.slowest < 5
    # What comes after the first records is told as sums, one in five seconds.
    limits = {"rate_limited", "too_many_connections"}
    assert eventually(lambda: limits & house.refusals(TALKER), seconds=60)


@on_gvisor_too
@pytest.mark.parametrize(("sock", "most"), [("host.sock", 16), ("egress.sock", 32)])
def test_a_broker_holds_no_more_connections_than_it_says(
    house: House, sock: str, most: int
) -> None:
    with house.unharmed():
        found = house.do(TALKER, "hold", path=sock, count=300, text="", seconds=1)

    assert found["alive"] <= most


def test_a_flood_is_told_in_the_audit_log_and_does_not_fill_it(house: House) -> None:
    before = len(house.client.audit(plugin=TALKER, since=None, action=None, count=1_000))
    with house.unharmed():
        house.do(TALKER, "flood", path="host.sock", seconds=2, text="GET /v1/plugins HTTP/1.1\r\n")
    records = house.client.audit(plugin=TALKER, since=None, action=None, count=1_000)

    assert len(records) - before < 250
    assert house.client.audit_verify()["intact"]
