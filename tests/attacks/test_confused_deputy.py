"""What the host does for a plugin it does in that plugin's name, with its rights and its time."""

import json
from typing import Any

import pytest

from tests.support.arena import on_gvisor_too
from tests.support.hostile import House, code_of, status_of
from tests.support.hostile_house import FRIEND, LIAR, NEIGHBOUR, TALKER
from tests.support.instance import eventually

pytestmark = [pytest.mark.docker, on_gvisor_too]


def execute(plugin: str, body: object = None, *, headers: str = "") -> str:
    text = json.dumps({} if body is None else body)
    return (
        f"POST /v1/plugins/{plugin}/execute HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
        f"Content-Length: {len(text)}\r\n{headers}\r\n{text}"
    )


def ask(house: House, *requests: str, who: str = TALKER) -> list[str]:
    answers: list[str] = house.do(
        who, "talk", path="host.sock", requests=list(requests), seconds=20, pause=0.03
    )
    return answers


def body_of(answer: str) -> Any:
    return json.loads(answer.partition("\r\n\r\n")[2])


def test_a_call_says_who_makes_it_whatever_the_caller_says(house: House) -> None:
    faked = (
        f"X-Caller: operator\r\nX-Plugin: {NEIGHBOUR}\r\nX-Forwarded-For: 127.0.0.1\r\n"
        "Authorization: Bearer operator\r\nX-Tool-Caller: operator\r\nX-Mine: 1\r\n"
    )
    [answer] = ask(house, execute(FRIEND, headers=faked))
    seen = body_of(answer)

    assert seen["x-caller"] == f"plugin:{TALKER}"
    assert seen.keys() <= {
        *("host", "x-request-id", "x-deadline-ms", "x-caller"),
        *("content-length", "content-type"),
    }


def test_no_header_extends_a_deadline(house: House) -> None:
    wishes = ["999999999", "99999999999", "-1", "1e9", "0x7fffffff", "9" * 40, "", " "]
    answers = ask(
        house, *(execute(FRIEND, headers=f"X-Deadline-Ms: {wish}\r\n") for wish in wishes)
    )

    # 120 s is the caller's own max_execution_time_sec: no call from outside stands behind.
    assert {int(body_of(answer)["x-deadline-ms"]) <= 120_000 for answer in answers} == {True}


def test_a_call_made_for_another_has_what_is_left_of_its_time(house: House) -> None:
    inner = execute(FRIEND, headers="X-Request-Id: outer-1\r\nX-Deadline-Ms: 100000\r\n")
    result = _call_in_time(house, "outer-1", 9_000, inner)

    assert int(result["x-deadline-ms"]) <= 9_000


def test_naming_a_call_that_another_serves_lends_nothing(house: House) -> None:
    """Ids are the callers' choice: only the calls that one serves oneself count."""
    there = execute(FRIEND, {"do": "headers"}, headers="X-Request-Id: of-the-neighbour\r\n")
    [answer] = ask(house, there)

    assert body_of(answer)["x-caller"] == f"plugin:{TALKER}"
    assert body_of(answer)["x-request-id"] != "of-the-neighbour"


@pytest.mark.parametrize(
    ("callee", "codes"),
    [
        (NEIGHBOUR, {"call_not_allowed"}),
        (LIAR, {"call_not_allowed"}),
        (TALKER, {"call_cycle"}),
        ("attack-nobody", {"call_not_allowed"}),
        (f"{FRIEND}/../{NEIGHBOUR}", {"unknown_endpoint"}),
        (f"{FRIEND}%00", {"unknown_endpoint"}),
        (FRIEND.upper(), {"unknown_endpoint"}),
        ("", {"unknown_endpoint"}),
    ],
)
def test_nobody_is_called_who_was_not_granted(house: House, callee: str, codes: set[str]) -> None:
    [answer] = ask(house, execute(callee))

    assert code_of(answer) in codes


def test_a_call_back_into_its_own_chain_is_refused(house: House) -> None:
    """talker → friend → talker, each naming the call that it serves."""
    back = execute(TALKER, headers="X-Request-Id: {second}\r\n")
    there = {"do": "in_the_name", "mark": "{second}", "path": "host.sock", "requests": [back]}
    forth = execute(FRIEND, there, headers="X-Request-Id: {first}\r\n")
    [answer] = house.do(
        TALKER, "in_the_name", mark="{first}", path="host.sock", requests=[forth], seconds=20
    )
    [refused] = body_of(answer)

    assert status_of(answer) == 200
    assert code_of(refused) == "call_cycle"


def test_plugins_that_call_each_other_without_saying_so_end_in_their_own_queues(
    house: House,
) -> None:
    """Who hides the call that it serves begins a chain anew: what ends it is its own number of
    connections, and time."""
    with house.unharmed():
        found = house.do(TALKER, "ping_pong", mine=TALKER, other=FRIEND, depth=200)
        eventually(lambda: house.ask(TALKER).status == house.ask(FRIEND).status == 200)

    assert found["depth"] < 40


def _call_in_time(house: House, request_id: str, milliseconds: int, inner: str) -> Any:
    body = json.dumps({"do": "talk", "path": "host.sock", "requests": [inner], "seconds": 5})
    headers = (
        f"X-Request-Id: {request_id}\r\nX-Deadline-Ms: {milliseconds}\r\nConnection: close\r\n"
    )
    with house.dial() as sock:
        sock.sendall(
            f"POST /v1/plugins/{TALKER}/execute HTTP/1.1\r\nHost: h\r\n{headers}"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        [answer] = body_of(house.read(sock))
    return body_of(answer)
