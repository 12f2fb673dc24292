"""Names whose answers change between the check and the use: what is connected to was checked.

The daemon looks names up with the system's resolver; the name server is the attacker's.
"""

import json

import pytest

from tests.support.arena import on_gvisor_too
from tests.support.hostile import House, code_of, status_of
from tests.support.hostile_house import FRIEND, TALKER, World
from tests.support.instance import eventually

pytestmark = [pytest.mark.docker, on_gvisor_too]

EVIL = "evil.wild.test"


def ask(house: House, world: World, *names: str, via: str = "GET") -> list[str]:
    """What the talker's egress.sock answers, name by name."""
    targets = [f"{name}:{world.port}" for name in names]
    requests = [
        f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"
        if via == "CONNECT"
        else f"GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\n\r\n"
        for target in targets
    ]
    answers: list[str] = house.do(TALKER, "talk", path="egress.sock", requests=requests)
    return answers


def test_an_answer_that_changes_after_the_check_is_not_asked_for_again(
    house: House, world: World
) -> None:
    """Public, then the host itself, and so on: each request is one look-up, and goes where that
    look-up said or nowhere."""
    public, before = world.names.address(80), world.private.connections
    world.names.answers[EVIL] = [[public], ["127.0.0.1"]] * 6
    world.names.asked.clear()
    with house.unharmed():
        answers = ask(house, world, *[EVIL] * 12)

    assert [status_of(answer) for answer in answers] == [200, 403] * 6
    assert {answer.partition("\r\n\r\n")[2] for answer in answers[::2]} == {"public"}
    assert {code_of(answer) for answer in answers[1::2]} == {"address_refused"}
    assert world.names.asked == [EVIL] * 12
    assert world.private.connections == before


def test_what_the_audit_log_names_is_what_was_connected_to(house: House, world: World) -> None:
    public, before = world.names.address(80), world.public.connections
    world.names.answers["told.wild.test"] = [[public]]
    asked = []

    def told() -> set[tuple[str, bool]]:
        """Asked again while so much is held back of what others asked that names are left out."""
        asked.append(ask(house, world, "told.wild.test"))
        records = house.client.audit(plugin=TALKER, since=None, action="egress", count=1_000)
        found = [r["data"] for r in records if r["data"].get("host") == "told.wild.test"]
        return {(data["address"], data["received_bytes"] > 0) for data in found}

    named = eventually(told, seconds=120, every=5)

    assert named == {(public, True)}
    assert world.public.connections == before + len(asked)


@pytest.mark.parametrize("via", ["GET", "CONNECT"])
def test_a_name_that_leads_inside_is_refused_however_it_is_written(
    house: House, world: World, via: str
) -> None:
    public, before = world.names.address(80), world.private.connections
    inside = [
        ["127.0.0.1"],
        [public, "127.0.0.1"],
        ["127.0.0.1", public],
        ["0.0.0.0"],  # noqa: S104 - a name that says so
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["::ffff:0:127.0.0.1"],
        ["::127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["2002:7f00:1::1"],
        ["::"],
        ["169.254.169.254"],
        ["fe80::1"],
        ["fd00:ec2::254"],
        ["10.0.0.1"],
        ["172.17.0.1"],
        ["192.168.0.1"],
        ["100.64.0.1"],
        ["224.0.0.1"],
        ["255.255.255.255"],
    ]
    names = [f"n{number}.{via.lower()}.wild.test" for number in range(len(inside))]
    world.names.answers.update({name: [found] for name, found in zip(names, inside, strict=True)})
    with house.unharmed():
        answers = ask(house, world, *names, via=via)

    refused = dict(zip(map(json.dumps, inside), map(status_of, answers), strict=True))
    # 502: the resolver itself finds no way there, and so gives no address.
    assert {found: status for found, status in refused.items() if status not in {403, 502}} == {}
    assert list(refused.values()).count(403) >= len(inside) - 4
    assert world.private.connections == before


def test_a_name_server_that_never_answers_holds_up_nobody_else(house: House, world: World) -> None:
    """Threads look names up; an attacker's own name server must not hold those of others."""
    world.names.answers["granted.test"] = [[world.names.address(80)]]
    world.names.answers.update({f"tar{n}.wild.test": [["silent"]] for n in range(12)})
    slow = [f"tar{n}.wild.test:{world.port}" for n in range(12)]
    with house.unharmed():
        stuck = house.do(
            TALKER,
            "hold_each",
            path="egress.sock",
            texts=[f"CONNECT {name} HTTP/1.1\r\nHost: {name}\r\n\r\n" for name in slow],
        )
        target = f"granted.test:{world.port}"
        [answer] = house.do(
            FRIEND,
            "talk",
            path="egress.sock",
            requests=[f"GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\n\r\n"],
            seconds=20,
        )
        house.do(TALKER, "let_go")

    assert stuck == 12
    assert answer.endswith("public")
