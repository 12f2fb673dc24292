"""Answers without measure or end: bounded in bytes and in time, and in what the daemon holds."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.arena import on_gvisor_too
from tests.support.hostile import House
from tests.support.hostile_house import ANSWER_MIB, FRIEND, LIAR, TALKER
from tests.support.instance import eventually

pytestmark = [pytest.mark.docker, on_gvisor_too]

MIB = 1 << 20
HEAD = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + "Transfer-Encoding: chunked\r\n\r\n"
PIECE = "x" * 60_000
CHUNK = f"{len(PIECE):x}\r\n{PIECE}\r\n"
ENDLESS = 1_000_000


@pytest.mark.parametrize(
    ("pieces", "codes"),
    [
        pytest.param([CHUNKED, CHUNK], {""}, id="chunks"),
        pytest.param([f"{HEAD}Content-Length: {1 << 40}\r\n\r\n", PIECE], {"response_too_large"}),
        pytest.param([HEAD, f"X: {PIECE[:900]}\r\n"], {"bad_response"}, id="headers"),
        pytest.param([HEAD + "X: ", PIECE], {"bad_response"}, id="a header"),
        pytest.param(["HTTP/1.1 200 ", PIECE], {"bad_response"}, id="a reason"),
        pytest.param([CHUNKED + "1;x=", PIECE], {"", "bad_response"}, id="a chunk's extension"),
        pytest.param([CHUNKED + "0\r\n", f"X: {PIECE[:900]}\r\n"], {""}, id="trailers"),
        pytest.param(["", "HTTP/1.1 100 Continue\r\n\r\n"], {"bad_response"}, id="interim answers"),
        pytest.param(["", "\r\n"], {"bad_response", "deadline_exceeded"}, id="empty lines"),
    ],
)
def test_an_answer_without_end_is_cut_off(house: House, pieces: list[str], codes: set[str]) -> None:
    with house.unharmed():
        code = _code(house, pieces)
        eventually(lambda: house.ask(LIAR).status == 200)

    assert code in codes


def test_of_an_endless_answer_no_more_comes_through_than_is_allowed(house: House) -> None:
    with house.unharmed():
        came = house.ask_raw(LIAR, "answer", pieces=[CHUNKED, CHUNK], times=ENDLESS)
        eventually(lambda: house.ask(LIAR).status == 200)

    assert came.startswith("HTTP/1.1 200 ")
    assert not came.endswith("0\r\n\r\n")
    assert len(came) < 1.1 * ANSWER_MIB * MIB


def test_many_giant_answers_at_once_are_held_back_by_who_reads_them(house: House) -> None:
    """On all the connections that it has, and between plugins, where answers are gathered."""
    times = ANSWER_MIB * MIB // len(PIECE)
    size = times * len(PIECE)
    answer = {"pieces": [f"{HEAD}Content-Length: {size}\r\n\r\n", PIECE], "times": times}
    call = json.dumps({"do": "answer", **answer})
    request = (
        f"POST /v1/plugins/{FRIEND}/execute HTTP/1.1\r\nHost: h\r\n"
        f"Content-Length: {len(call)}\r\n\r\n{call}"
    )
    with house.unharmed(), ThreadPoolExecutor(8) as threads:
        within = [threads.submit(house.ask, LIAR, "answer", **answer) for _ in range(6)]
        asked = house.do(TALKER, "unread", path="host.sock", text=request, count=14, seconds=2)
        sizes = {len(done.result().body) for done in within}

    eventually(lambda: house.ask(FRIEND).status == 200)
    assert sizes == {size}
    assert asked == 14


def _code(house: House, pieces: list[str]) -> str:
    """The problem's code; empty where the answer had begun and was cut."""
    line = json.dumps({"do": "answer", "pieces": pieces, "times": ENDLESS})
    done = house.instance.run("call", LIAR, line, expect=None)
    assert done.returncode != 0
    found = done.stderr.partition("[")[2].partition("]")[0]
    return "" if found == "daemon_not_running" else found
