"""Slowness as a weapon, both ways: who dawdles loses its connection, and holds nobody up."""

import contextlib
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.arena import on_gvisor_too
from tests.support.hostile import House, code_of, status_of
from tests.support.hostile_house import LIAR, SECONDS, TALKER
from tests.support.instance import eventually

pytestmark = pytest.mark.docker

HEAD = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@on_gvisor_too
@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param(["HTTP/1.1 200 OK\r\nX: ", "y"], id="a head"),
        pytest.param([HEAD, "X: y\r\n"], id="headers"),
        pytest.param([f"{HEAD}Content-Length: 1000\r\n\r\n", "x"], id="a body"),
        pytest.param([f"{HEAD}Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n"], id="chunks"),
    ],
)
def test_an_answer_that_drips_ends_with_the_calls_deadline(house: House, pieces: list[str]) -> None:
    with house.unharmed():
        call = json.dumps({"do": "answer", "pieces": pieces, "times": 400, "pause": 0.1})
        done = house.instance.run("call", LIAR, call, "--timeout", "1", expect=None)
        eventually(lambda: house.ask(LIAR).status == 200)

    assert done.returncode != 0
    begun = "\r\n\r\n" in pieces[0]
    assert ("deadline_exceeded" in done.stderr) is not begun


def test_a_plugin_that_dawdles_on_every_connection_holds_up_itself_alone(house: House) -> None:
    call = {"pieces": ["HTTP/1.1 200 OK\r\nX: ", "y"], "times": 400, "pause": 0.1}
    with house.unharmed() as witness, ThreadPoolExecutor(6) as threads:
        results = list(threads.map(lambda _: house.ask(LIAR, "answer", **call), range(6)))

    assert {result.status for result in results} <= {504, 503, 502}
    assert len(witness.statuses) > SECONDS
    eventually(lambda: house.ask(LIAR).status == 200, seconds=60)


def test_requests_that_drip_into_the_brokers_are_ended_with_a_reason(house: House) -> None:
    """More of them than a broker has connections, on both brokers at the same time."""
    line = "POST /v1/events HTTP/1.1\r\nHost: " + "h" * 1_000
    ways = (("host.sock", 16), ("egress.sock", 32))
    with house.unharmed() as witness, ThreadPoolExecutor(2) as threads:
        found = list(
            threads.map(
                lambda way: house.do(
                    TALKER,
                    "dribble",
                    path=way[0],
                    text=line,
                    pause=0.5,
                    seconds=40,
                    count=way[1] + 2,
                ),
                ways,
            )
        )

    for (_, most), ended in zip(ways, found, strict=True):
        codes = [code_of(each["answer"]) for each in ended]
        assert codes.count("request_timeout") == most
        assert codes.count("too_many_connections") == 2
    assert len(witness.statuses) > 50


@on_gvisor_too
def test_a_handshake_that_drips_is_ended(house: House) -> None:
    with house.unharmed():
        ended = house.do(
            LIAR,
            "dribble",
            path="plugin.sock",
            text="GET /" + "a" * 200,
            pause=0.3,
            seconds=30,
            count=6,
        )

    assert [each["answer"] for each in ended] == [""] * 6
    assert house.do(LIAR)["x-caller"] == "operator"


@on_gvisor_too
def test_a_body_that_nobody_reads_is_not_gathered(house: House) -> None:
    """A caller pours in what the plugin does not take: it is the caller that waits."""
    with house.unharmed(), house.dial() as sock:
        sock.settimeout(1)
        head = f"POST /v1/plugins/{LIAR}/execute HTTP/1.1\r\nHost: h\r\n"
        kind = "Content-Type: application/x-unread\r\nContent-Length: 16000000\r\n\r\n"
        sock.sendall((head + kind).encode())
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 15_000_000:
                sent += sock.send(b" " * 65_536)
        sock.settimeout(30)
        answer = sock.recv(65_536).decode()

    assert sent < 4 << 20
    assert status_of(answer) == 504
    eventually(lambda: house.ask(LIAR).status == 200)
