"""Requests with two readings, to every socket that a plugin has and to the daemon's own.

Unit tests hold each broker to many more (test_egress_hostile.py, test_host_broker_hostile.py); here
they come out of a container, and what lies behind is watched.
"""

import contextlib

import pytest

from tests.support.arena import on_gvisor_too
from tests.support.hostile import House, code_of, status_of
from tests.support.hostile_house import FRIEND, NEIGHBOUR, TALKER, World

pytestmark = [pytest.mark.docker, on_gvisor_too]

PACE = 0.06
"""Seconds between requests: slower than the rate from which on they are refused for that."""
# An address that leads to the host itself, in the notations that some resolver or library knows.
ODD = [
    "0177.0.0.1",
    "0x7f.0.0.1",
    "0x7f000001",
    "2130706433",
    "017700000001",
    "127.1",
    "127.0.1",
    "127.0.0.1.",
    "127.000.000.001",
    "0",
    "0.0.0.0",  # noqa: S104 - one of its names
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[::1%25lo]",
    "[::1%lo]",
    "[fe80::1%1]",
    "[v1.127.0.0.1]",
    "127.0.0.1%00.granted.test",
    "127。0。0。1",
    "127\uff0e0\uff0e0\uff0e1",
    "\uff11\uff12\uff17.0.0.1",
    "\u2460\u2461\u2466.0.0.1",
    "\u0661\u0662\u0667.0.0.1",
    "localhost",
    "localhost.",
    "LOCALHOST",
    "granted.test@127.0.0.1",
    "granted.test:80@127.0.0.1",
    "127.0.0.1#granted.test",
    "127.0.0.1/granted.test",
    "127.0.0.1\\granted.test",
    "127.0.0.1?granted.test",
    "127.0.0.1 granted.test",
    "127.0.0.1\tgranted.test",
    "granted.test.127.0.0.1",
    "wild.test",
    ".wild.test",
    "127.0.0.1.wild.test.",
    "a..wild.test",
]


@pytest.fixture(autouse=True)
def _names(world: World) -> None:
    world.names.answers["granted.test"] = [[world.names.address(80)]]


@pytest.mark.parametrize("form", ["CONNECT", "absolute"])
def test_no_notation_of_an_address_leads_to_the_host(house: House, world: World, form: str) -> None:
    targets = [_latin(f"{host}:{world.port}") for host in ODD]
    requests = [
        f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"
        if form == "CONNECT"
        else f"GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\n\r\n"
        for target in targets
    ]
    before = world.private.connections, world.public.connections
    with house.unharmed():
        answers = house.do(
            TALKER, "talk", path="egress.sock", requests=requests, seconds=10, pause=PACE
        )

    # 502 is for a name below wild.test, which is granted and does not exist.
    found = dict(zip(ODD, map(status_of, answers), strict=True))
    assert {host: status for host, status in found.items() if status not in {400, 403, 502}} == {}
    assert list(found.values()).count(502) <= 1
    assert (world.private.connections, world.public.connections) == before
    assert "rate_limited" not in set(map(code_of, answers))


def test_a_request_with_two_readings_reaches_no_host(house: House, world: World) -> None:
    host = f"granted.test:{world.port}"
    post = f"POST http://{host}/ HTTP/1.1\r\nHost: {host}\r\n"
    get = f"GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n"
    requests = [
        post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        post + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        post + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        post + "Content-Length: 5, 5\r\n\r\nhello",
        post + "Content-Length: +5\r\n\r\nhello",
        post + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        post + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        post + "X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        get + f"Host: {host}\r\n\r\n",
        f"GET http://{host}/ HTTP/1.1\r\nHost: localhost:{world.port}\r\n\r\n",
        f"GET http://{host}/ HTTP/1.1\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n",
        f"GET //{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
        f"GET http://{host}@localhost:{world.port}/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
        f"GET https://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
        f"GET file:///etc/passwd HTTP/1.1\r\nHost: {host}\r\n\r\n",
        f"GET unix:///run/docker.sock HTTP/1.1\r\nHost: {host}\r\n\r\n",
        f"TRACE http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
        f"CONNECT {host} HTTP/1.1\r\nHost: localhost:{world.port}\r\n\r\n",
        f"CONNECT {host} HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
        f"{get}\r\n{get}\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ]
    before = world.private.connections, world.public.connections
    with house.unharmed():
        answers = house.do(TALKER, "talk", path="egress.sock", requests=requests, pause=PACE)

    statuses = list(map(status_of, answers))
    assert [(r, s) for r, s in zip(requests, statuses, strict=True) if s not in {400, 403}] == []
    assert (world.private.connections, world.public.connections) == before


def test_what_reaches_a_host_is_in_the_brokers_own_words(house: House, world: World) -> None:
    host = f"granted.test:{world.port}"
    world.public.heard.clear()
    request = (
        f"GET http://{host}/a?b HTTP/1.1\r\nHost: {host}\r\nProxy-Authorization: Basic eA==\r\n"
        "Connection: X-Hop, keep-alive\r\nX-Hop: 1\r\nUpgrade: h2c\r\nTE: trailers\r\n"
        "X-Mine: kept\r\n\r\n"
    )
    [answer] = house.do(TALKER, "talk", path="egress.sock", requests=[request])
    [heard] = world.public.heard
    lines = heard.decode().removesuffix("\r\n\r\n").split("\r\n")

    assert answer.endswith("public")
    assert lines == ["GET /a?b HTTP/1.1", f"Host: {host}", "X-Mine: kept", "Connection: close"]


def test_a_call_with_two_readings_reaches_no_plugin(house: House) -> None:
    to = f"POST /v1/plugins/{FRIEND}/execute HTTP/1.1\r\nHost: h\r\n"
    hidden = f"GET /v1/plugins/{NEIGHBOUR} HTTP/1.1\r\nHost: h\r\n\r\n"
    requests = [
        to + f"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}",
        to + f"Content-Length: 0\r\nContent-Length: 2\r\n\r\n{hidden}",
        to + f"Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n{hidden}",
        to + f"Transfer-Encoding: chunked\r\n\r\n2;a=b\r\n{{}}\r\n0\r\n\r\n{hidden}",
        to + f"Content-Length: 2\r\n\r\n{{}}{hidden}",
        to + "Content-Length: 2\r\nX-Request-Id: a\r\nX-Request-Id: b\r\n\r\n{}",
        to + "Content-Length: 2\r\nX-Tool: a\x00b\r\n\r\n{}",
        to + "Content-Length: 2\r\nX-Tool: a\rX-Caller: operator\r\n\r\n{}",
        to + "Content-Length: 99999999999999\r\n\r\n{}",
    ]
    with house.unharmed():
        answers = house.do(TALKER, "talk", path="host.sock", requests=requests, seconds=1)

    statuses = list(map(status_of, answers))
    assert [(r, s) for r, s in zip(requests, statuses, strict=True) if s not in {400, 413}] == []
    assert [answer.count("HTTP/1.1 ") for answer in answers] == [1] * len(requests)


@pytest.mark.parametrize("sock", ["host.sock", "egress.sock", "plugin.sock"])
def test_the_daemons_own_routes_are_behind_no_socket_of_a_plugins(house: House, sock: str) -> None:
    lines = [
        "GET /v1/status",
        f"GET /v1/plugins/{NEIGHBOUR}",
        f"GET /v1/plugins/{NEIGHBOUR}/logs",
        f"POST /v1/plugins/{NEIGHBOUR}/execute",
        f"POST /v1/plugins/{FRIEND}/../{NEIGHBOUR}/execute",
        f"POST /v1/plugins/{FRIEND}%2f..%2f{NEIGHBOUR}/execute",
        f"GET http://orchestrator/v1/plugins/{NEIGHBOUR}",
        "POST /v1/shutdown",
        "PUT /v1/desired",
        "GET /v1/audit",
        "GET /v1/events",
    ]
    requests = [f"{line} HTTP/1.1\r\nHost: orchestrator\r\n\r\n" for line in lines]
    with house.unharmed():
        answers = house.do(TALKER, "talk", path=sock, requests=requests, seconds=1, pause=PACE)

    assert set(map(status_of, answers)) <= {400, 403, 404}


def test_the_daemons_own_socket_takes_no_request_with_two_readings(house: House) -> None:
    """No plugin gets there; but a program of the operator's may pass on what it was given."""
    to = f"POST /v1/plugins/{NEIGHBOUR}/execute HTTP/1.1\r\nHost: h\r\n"
    hidden = "POST /v1/shutdown HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"
    requests = [
        to + f"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}",
        to + f"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n{hidden}",
        to + f"Content-Length: 2\r\nContent-Length: 99\r\n\r\n{{}}{hidden}",
        to + f"Content-Length: +2\r\n\r\n{{}}{hidden}",
        to + f"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{hidden}",
        to + f"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{hidden}",
        to + f"Content-Length: 2\r\n\r\n{{}}{hidden}",
        f"CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n{hidden}",
        f"GET /v1/status HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n{hidden}",
        f"GET /v1/status HTTP/1.1\r\nHost: h\r\n\r\n{hidden}",
    ]
    with house.unharmed():
        answers = [_ask(house, request) for request in requests]

    # Of two requests in one go the second is never carried out; the daemon is still there.
    assert max(answer.count("HTTP/1.1 ") for answer in answers) <= 1
    assert house.do(NEIGHBOUR)["x-caller"] == "operator"


def _ask(house: House, request: str) -> str:
    with house.dial() as sock:
        sock.settimeout(1)
        with contextlib.suppress(OSError):
            sock.sendall(request.encode("latin-1"))
        return house.read(sock)


def _latin(text: str) -> str:
    """As the hostile plugin takes it: a character a byte of UTF-8."""
    return text.encode().decode("latin-1")
