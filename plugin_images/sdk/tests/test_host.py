"""HostClient against a real unix socket that answers as the host does."""

import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from socket import AF_UNIX, SHUT_RDWR, SOCK_STREAM, socket
from typing import Any

import pytest
from orchestrator_sdk import HostClient, HostProblem, PluginEvent, PluginInterface
from orchestrator_sdk.call import CURRENT, Call
from orchestrator_sdk.dispatch import Dispatcher
from orchestrator_sdk.messages import Request
from orchestrator_sdk.testing import PluginTester, Problem


class Host:
    """Keeps what came, and sends `answer` as it stands."""

    def __init__(self, folder: Path) -> None:
        self.requests: list[bytes] = []
        self.answer = b""
        self._listener = socket(AF_UNIX, SOCK_STREAM)
        self._listener.bind(str(folder / "host.sock"))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def says(self, status: int, content_type: str, body: bytes) -> None:
        head = f"HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\n"
        self.answer = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    def head(self) -> list[str]:
        return self.requests[-1].partition(b"\r\n\r\n")[0].decode().split("\r\n")

    def body(self) -> bytes:
        return self.requests[-1].partition(b"\r\n\r\n")[2]

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(SHUT_RDWR)
        self._thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(10)
                self.requests.append(_request(connection))
                connection.sendall(self.answer)


def _request(connection: socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(4_096)
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [x for x in head.decode().split("\r\n") if x.startswith("Content-Length: ")]
    wanted = int(lengths[0].partition(": ")[2]) if lengths else 0
    while len(body) < wanted:
        body += connection.recv(4_096)
    return head + b"\r\n\r\n" + body


@pytest.fixture
def asked(folder: Path) -> Iterator[Host]:
    host = Host(folder)
    yield host
    host.close()


@pytest.fixture
def client(folder: Path) -> HostClient:
    return HostClient(str(folder))


def test_a_call_carries_its_tool_input_and_the_call_it_is_made_for(
    asked: Host, client: HostClient
) -> None:
    asked.says(200, "application/json", b'{"words": 2}')
    headers = {"x-request-id": "r-1", "traceparent": "00-a-b-01", "x-deadline-ms": "9000"}
    token = CURRENT.set(Call(headers))
    answer = client.call("word-count", {"text": "a b"}, tool="count", deadline_seconds=0.5)
    CURRENT.reset(token)

    assert answer == {"words": 2}
    assert asked.body() == b'{"text":"a b"}'
    assert asked.head() == [
        "POST /v1/plugins/word-count/execute HTTP/1.1",
        "Host: orchestrator",
        "Connection: close",
        "Content-Length: 14",
        "x-request-id: r-1",
        "traceparent: 00-a-b-01",
        "Content-Type: application/json",
        "X-Tool: count",
        "X-Deadline-Ms: 500",
    ]


def test_an_event_carries_the_trace_of_the_call_it_is_published_in(
    asked: Host, client: HostClient
) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for traceparent in (trace, "of another shape"):
        asked.says(202, "application/json", b'{"event_id": "e-7"}')
        token = CURRENT.set(Call({"traceparent": traceparent}))
        client.publish("notes.written")
        CURRENT.reset(token)

        assert json.loads(asked.body()).get("traceparent") == (
            trace if traceparent == trace else None
        )


def test_what_an_event_has_done_belongs_to_its_trace(asked: Host, client: HostClient) -> None:
    class Relay(PluginInterface):
        def execute(self, input_data: Any) -> Any: ...

        def handle_event(self, event: PluginEvent) -> None:
            client.call("other")

    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    asked.says(200, "application/json", b"null")
    dispatcher = Dispatcher(Relay())
    dispatcher.handle(Request("POST", "/v1/initialize", {}, b"{}"))
    event = {"id": "1", "source": "plugin/a", "type": "a.b", "traceparent": trace}
    token = CURRENT.set(Call({"x-request-id": "1"}))
    reply = dispatcher.handle(Request("POST", "/v1/events", {}, json.dumps(event).encode()))
    CURRENT.reset(token)

    assert reply.status == 200
    assert f"traceparent: {trace}" in asked.head()


def test_bytes_go_and_come_as_they_are(asked: Host, client: HostClient) -> None:
    asked.says(200, "application/octet-stream", b"\x00\r\n\r\n\xff")

    assert client.call("other", b"\x01\xfe") == b"\x00\r\n\r\n\xff"
    assert asked.body() == b"\x01\xfe"
    assert "Content-Type: application/octet-stream" in asked.head()


def test_an_event_is_published_as_a_cloudevent(asked: Host, client: HostClient) -> None:
    asked.says(202, "application/json", b'{"event_id": "e-7"}')
    event_id = client.publish("notes.written", {"note": 7}, subject="n/7")

    assert event_id == "e-7"
    assert asked.head()[0] == "POST /v1/events HTTP/1.1"
    assert json.loads(asked.body()) == {
        "specversion": "1.0",
        "type": "notes.written",
        "source": "plugin",
        "data": {"note": 7},
        "subject": "n/7",
    }


def test_an_event_can_carry_an_id_that_tells_its_repeats(asked: Host, client: HostClient) -> None:
    asked.says(202, "application/json", b'{"event_id": "e-7"}')
    client.publish("notes.written", event_id="n-7")

    assert json.loads(asked.body())["id"] == "n-7"


def test_the_plugins_that_may_be_called_are_listed(asked: Host, client: HostClient) -> None:
    asked.says(200, "application/json", b'{"plugins": [{"plugin_id": "a"}]}')

    assert client.plugins() == [{"plugin_id": "a"}]


def test_a_refusal_keeps_its_status_code_and_words(asked: Host, client: HostClient) -> None:
    body = b'{"status": 403, "code": "call_not_allowed", "detail": "found b"}'
    asked.says(403, "application/problem+json", body)
    with pytest.raises(HostProblem, match="found b") as caught:
        client.call("b")

    assert (caught.value.host_status, caught.value.code) == (403, "call_not_allowed")


def test_another_plugins_odd_error_is_a_problem_too(asked: Host, client: HostClient) -> None:
    asked.says(418, "text/plain", b"teapot")
    with pytest.raises(HostProblem, match="teapot") as caught:
        client.call("b")

    assert (caught.value.host_status, caught.value.code) == (418, "plugin_error")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"])
def test_an_answer_that_breaks_off_is_never_taken_for_one(
    asked: Host, client: HostClient, answer: bytes
) -> None:
    asked.answer = answer
    with pytest.raises(HostProblem) as caught:
        client.plugins()

    assert caught.value.code == "host_unreachable"


def test_without_the_permission_there_is_no_socket_and_that_is_said(client: HostClient) -> None:
    with pytest.raises(HostProblem, match="plugin_communication") as caught:
        client.publish("notes.written")

    assert caught.value.code == "host_unreachable"


@pytest.mark.parametrize("name", ["a/../../events", "a HTTP/1.1\r\nX-Evil: 1\r\n\r\n"])
def test_a_name_cannot_become_another_request(asked: Host, client: HostClient, name: str) -> None:
    asked.says(404, "application/problem+json", b'{"code": "unknown_endpoint", "detail": "no"}')
    with pytest.raises((ValueError, HostProblem)):
        client.call(name)

    assert not any(b"X-Evil" in request for request in asked.requests)


class Relaying(PluginInterface):
    def execute(self, input_data: object) -> object:
        return self.context.host.call("other", input_data)


class Answering(HostClient):
    def call(self, plugin_id: str, input_data: object = None, **_: object) -> object:
        if input_data is None:
            raise HostProblem(403, "call_not_allowed", "no")
        return [plugin_id, input_data]


def test_a_tester_takes_a_host_of_the_tests_own() -> None:
    with PluginTester(Relaying, host=Answering()) as tester:
        assert tester.call(1) == ["other", 1]


def test_a_problem_that_is_passed_on_unhandled_is_not_the_callers_fault() -> None:
    with PluginTester(Relaying, host=Answering()) as tester, pytest.raises(Problem) as caught:
        tester.call(None)

    assert (caught.value.status, caught.value.code) == (502, "call_not_allowed")
