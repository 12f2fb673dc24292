"""Requests and answers on a real connection: framing, streams, problems."""

import time
from pathlib import Path

import pytest
from fake_host import FakeHost, PluginProcess, appears, problem_of


def test_a_call_is_answered_on_a_connection_that_stays_open(
    host: FakeHost, plugin: PluginProcess
) -> None:
    host.started()
    call = host.lane("calls")
    first = call.execute({"a": "ü"}, x_caller="someone")
    second = call.execute([1], x_deadline_ms="5000")

    assert first.value == {"echo": {"a": "ü"}, "left": None, "caller": "someone"}
    assert second.value["echo"] == [1]
    assert 4.0 < second.value["left"] <= 5.0
    assert second.headers["content-type"] == "application/json"


def test_bytes_go_in_and_come_out_untouched(host: FakeHost, plugin: PluginProcess) -> None:
    host.started()
    body = bytes(range(256)) * 4_096 * 3
    answer = host.lane("calls").ask(
        "POST", "/v1/execute", body, {"Content-Type": "application/octet-stream"}
    )

    assert answer.body == body[::-1]
    assert answer.headers["content-type"] == "application/octet-stream"


def test_a_chunked_body_is_put_together(host: FakeHost, plugin: PluginProcess) -> None:
    host.started()
    call = host.lane("calls")
    head = b"POST /v1/execute HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    for piece in (
        head,
        b"3;ext=1\r\n[1,\r",
        b"\nA\r\n2, 3, 4,  \r\n2\r\n5]\r\n0\r\n",
        b"T: x\r\n\r\n",
    ):
        call.send(piece)
        time.sleep(0.02)
    first = call.answer()
    second = call.execute("next")

    assert first.value["echo"] == [1, 2, 3, 4, 5]
    assert second.value["echo"] == "next"


def test_a_head_that_comes_byte_by_byte_is_read(host: FakeHost, plugin: PluginProcess) -> None:
    host.started()
    call = host.lane("calls")
    for byte in b'POST /v1/execute HTTP/1.1\r\nContent-Length: 3\r\n\r\n"x"':
        call.send(bytes([byte]))

    assert call.answer().value["echo"] == "x"


@pytest.mark.parametrize("tool", ["stream", "async_stream"])
def test_an_iterator_is_streamed_and_the_connection_goes_on(
    host: FakeHost, plugin: PluginProcess, tool: str
) -> None:
    host.started()
    call = host.lane("calls")
    answer = call.tool(tool, pieces=3)
    empty = call.tool(tool, pieces=0)

    assert answer.body == b"piece 0;piece 1;piece 2;"
    assert answer.headers["transfer-encoding"] == "chunked"
    assert (empty.status, empty.body) == (200, b"")


def test_a_stream_that_fails_before_its_first_piece_is_a_problem(
    host: FakeHost, plugin: PluginProcess
) -> None:
    host.started()
    answer = host.lane("calls").tool("stream", pieces=0, fail=True)

    assert (answer.status, answer.value["detail"]) == (500, "OSError: disk gone")


def test_a_stream_that_fails_half_way_costs_the_connection(
    host: FakeHost, plugin: PluginProcess
) -> None:
    host.started()
    call = host.lane("calls")
    call.begin("POST", "/v1/execute", b'{"pieces": 1, "fail": true}', {"X-Tool": "stream"})
    received = b""
    while piece := call.connection.recv(4_096):
        received += piece
    call.close()
    host.lane("calls")
    again = host.lane("calls").execute(1)

    assert received.endswith(b"piece 0;\r\n")
    assert again.status == 200
    assert any("disk gone" in line.get("exception", "") for line in plugin.log())


def test_a_stream_nobody_reads_is_closed(
    host: FakeHost, plugin: PluginProcess, folder: Path
) -> None:
    host.started()
    call = host.lane("calls")
    call.begin("POST", "/v1/execute", b"", {"X-Tool": "endless"})
    call.connection.recv(100)
    call.close()

    assert appears(folder / "closed")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"POST /v1/execute HTTP/1.0\r\n\r\n", 400),
        (b"POST /v1/execute HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /v1/execute HTTP/1.1\r\nContent-Length: 1_0\r\n\r\n", 400),
        (b"POST /v1/execute HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400),
        (
            b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n folded\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 999999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n", 413),
        (b"POST / HTTP/1.1\r\nX: " + b"x" * 16_384 + b"\r\n\r\n", 431),
    ],
)
def test_a_malformed_request_is_refused_and_the_connection_closed(
    host: FakeHost, plugin: PluginProcess, head: bytes, status: int
) -> None:
    host.started()
    call = host.lane("calls")
    call.send(head)
    answer = call.answer()

    assert (answer.status, answer.value["code"]) == (status, "malformed_request")
    assert call.ended()


def test_failures_are_problems_and_the_connection_goes_on(
    host: FakeHost, plugin: PluginProcess
) -> None:
    host.started()
    call = host.lane("calls")
    raised = call.execute("raise", x_request_id="r-7")

    assert problem_of(raised) == (500, "plugin_exception")
    assert raised.value["detail"] == "KeyError: 'lost'"
    assert problem_of(call.execute("nonsense")) == (500, "invalid_output")
    assert problem_of(call.ask("POST", "/v1/execute", b"{")) == (400, "invalid_json")
    assert problem_of(call.ask("POST", "/v1/execute", b"[" * 9_999)) == (400, "invalid_json")
    assert problem_of(call.ask("POST", "/v1/execute", b"NaN")) == (400, "invalid_json")
    assert problem_of(call.ask("POST", "/v1/execute", b"\xff")) == (400, "invalid_json")
    assert problem_of(call.tool("unknown")) == (404, "no_tool")
    assert problem_of(call.tool("nap")) == (422, "invalid_input")
    assert problem_of(call.tool("nap", seconds=0, haste=1)) == (422, "invalid_input")
    assert problem_of(call.execute([], x_tool="nap")) == (422, "invalid_input")
    assert problem_of(call.ask("GET", "/v1/execute")) == (405, "method_not_allowed")
    assert problem_of(call.ask("GET", "/v1/nothing")) == (404, "not_found")
    assert call.execute("fine").status == 200
    [line] = [line for line in plugin.log() if "lost" in line.get("exception", "")]
    assert line["request_id"] == "r-7"
    assert line["level"] == "error"
    assert "Traceback" in line["exception"]


def test_nothing_is_served_before_initialize_and_a_refusal_can_be_repeated(
    host: FakeHost, plugin: PluginProcess
) -> None:
    control, call = host.lane("control"), host.lane("calls")

    assert problem_of(call.execute(1)) == (503, "not_running")
    assert problem_of(control.ask("GET", "/v1/status")) == (503, "not_running")
    assert problem_of(control.ask("POST", "/v1/initialize", b"[]")) == (422, "invalid_input")
    assert problem_of(control.initialize(refuse=True)) == (500, "initialize_refused")
    assert problem_of(call.execute(1)) == (503, "not_running")
    assert control.initialize().status == 200
    assert problem_of(control.initialize()) == (409, "already_initialized")
    assert call.execute(1).status == 200
