"""What is no HTTP, sent by a plugin where the daemon reads: it costs the plugin, nobody else."""

import json

import pytest

from tests.support.arena import on_gvisor_too
from tests.support.hostile import House, status_of
from tests.support.hostile_house import LIAR
from tests.support.instance import eventually

pytestmark = [pytest.mark.docker, on_gvisor_too]

OK = "HTTP/1.1 200 OK\r\n"
TYPE = "Content-Type: application/json\r\n"
BAD_ANSWERS = [
    "garbage\r\n\r\n",
    "\x00\x01\x02\x03",
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "SSH-2.0-OpenSSH_9.2\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP/2 200\r\n\r\n",
    "HTTP/9.9 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "HTTP/1.1 99 Low\r\nContent-Length: 2\r\n\r\n{}",
    "HTTP/1.1 999 High\r\nContent-Length: 2\r\n\r\n{}",
    "HTTP/1.1 100 Continue\r\n\r\n" * 50,
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    OK + "\r\n{}",
    OK + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    OK + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    OK + "Content-Length: -2\r\n\r\n{}",
    OK + "Content-Length: 99999999999999999999999\r\n\r\n{}",
    OK + "Transfer-Encoding: gzip\r\n\r\n{}",
    OK + "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    OK + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    OK + "No colon\r\nContent-Length: 2\r\n\r\n{}",
    OK + "A: \x00\r\nContent-Length: 2\r\n\r\n{}",
    OK + "".join(f"A{n}: b\r\n" for n in range(101)) + "Content-Length: 2\r\n\r\n{}",
    OK + "A: b\r\n" * 101 + "Content-Length: 2\r\n\r\n{}",
    OK + "A: " + "b" * 40_000 + "\r\nContent-Length: 2\r\n\r\n{}",
    OK + "Content-Type: " + "b" * 300 + "\r\nContent-Length: 2\r\n\r\n{}",
    OK + "Content-Type: text/h\xe4\r\nContent-Length: 2\r\n\r\n{}",
    "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
]


def test_an_answer_that_is_none_is_a_failure_of_that_call_alone(house: House) -> None:
    with house.unharmed():
        found = []
        for raw in BAD_ANSWERS:
            result = house.ask(LIAR, "answer", pieces=[raw], then="close")
            found.append((raw[:60], result.status, json.loads(result.body or b"{}").get("code")))
            eventually(lambda: house.ask(LIAR).status == 200)

    # Where a stream had begun, all that can be done is to cut it.
    assert [row for row in found if row[1:] not in {(502, "bad_response"), (0, None)}] == []
    assert {row[0] for row in found if not row[1]} == {
        raw[:60] for raw in BAD_ANSWERS if "chunked\r\n\r\n" in raw and "Length" not in raw
    }


def test_a_second_answer_is_never_taken_for_the_next_calls(house: House) -> None:
    """Two answers in one go, then silence: the next call must not be given the spare one."""
    first = f'{OK}{TYPE}Content-Length: 9\r\n\r\n{{"n": 1 }}'
    spare = f'{OK}{TYPE}Content-Length: 12\r\n\r\n{{"stolen": 1}}'
    with house.unharmed():
        for _ in range(6):
            answer = house.ask_raw(LIAR, "answer", pieces=[first + spare])
            assert "stolen" not in answer
            assert answer.count("HTTP/1.1 ") == 1
            after = house.do(LIAR)
            assert after["x-caller"] == "operator"


def test_an_answer_before_any_question_costs_the_connection(house: House) -> None:
    shake = (
        "GET /v1/serve HTTP/1.1\r\nHost: o\r\nConnection: Upgrade\r\nUpgrade: PTTH/1.0\r\n"
        "X-Lane: {lane}\r\n\r\n"
    )
    stolen = f'{OK}{TYPE}Content-Length: 12\r\n\r\n{{"stolen": 1}}'
    requests = [shake.format(lane=lane) + stolen for lane in ("calls", "control", "events", "x")]
    with house.unharmed():
        answers = house.do(LIAR, "talk", path="plugin.sock", requests=requests * 5, seconds=1)

    assert set(map(status_of, answers)) <= {400, 409}
    assert house.do(LIAR)["x-caller"] == "operator"


def test_a_handshake_that_is_none_is_refused(house: House) -> None:
    shake = "GET /v1/serve HTTP/1.1\r\nHost: o\r\nConnection: Upgrade\r\nUpgrade: PTTH/1.0\r\n"
    requests = [
        "\x00" * 64 + "\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET /v1/serve HTTP/1.1\r\n\r\n",
        shake.replace("GET", "POST") + "X-Lane: calls\r\n\r\n",
        shake.replace("PTTH/1.0", "websocket") + "X-Lane: calls\r\n\r\n",
        shake + "X-Lane: calls\r\n" * 200 + "\r\n",
        shake + "X-Lane: " + "c" * 40_000 + "\r\n\r\n",
        shake + "X-Lane: calls\x00\r\n\r\n",
        shake + "X-Lane: __class__\r\n\r\n",
        shake + "X-Lane: \xff\xfe\r\n\r\n",
        shake + "\r\n",
    ]
    with house.unharmed():
        answers = house.do(LIAR, "talk", path="plugin.sock", requests=requests, seconds=1)

    # 409: what it asks for is understood, and taken already.
    assert set(map(status_of, answers)) <= {0, 400, 409}


def test_a_report_that_is_no_report_neither_ends_the_daemon_nor_hides_a_plugin(
    house: House,
) -> None:
    """The daemon itself asks for these, every few seconds: a fault there is everybody's."""
    deep = "[" * 100_000 + "]" * 100_000
    bodies = [
        '{"state": []}',
        '{"state": "ready", "detail": "\\ud800", "metrics": {"\\udfff": 1}}',
        '{"state": "ready", "metrics": {"a": ' + "9" * 4_000 + "}}",
        f'{{"state": {deep}}}',
        deep,
        '{"state": "ready", "detail": "' + "x" * 900_000 + '"}',
        "\xff\xfe",
    ]
    answers = [
        f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        for body in bodies
        for status in ((200, 500) if body == deep else (200,))
    ]
    with house.unharmed():
        house.do(LIAR, "lie", path="/v1/status", answers=answers)
        eventually(lambda: house.do(LIAR, "lies_left") == 0, seconds=60)
        shown = [house.instance.run(*words).stdout for words in (("status", LIAR), ("ps",))]

    assert [LIAR in text for text in shown] == [True, True]
    assert max(map(len, shown)) < 20_000
