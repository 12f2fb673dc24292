"""What a broker holds, tried from inside containers that have no network at all."""

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.instance import Instance, eventually
from tests.support.workshop import Workshop

pytestmark = pytest.mark.docker

CALLER, CALLEE, STRANGER = "e2e-caller", "e2e-callee", "e2e-stranger"

CALLER_CODE = """
import http.client, json, socket, urllib.error, urllib.request
from orchestrator_sdk import PluginInterface, tool

class HostSock(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/run/orchestrator/host.sock")

class Plugin(PluginInterface):
    @tool
    def ask(self, method: str, path: str, body: object = None, headers: dict = {}):
        connection = HostSock("orchestrator", timeout=10)
        data = json.dumps(body).encode() if body is not None else None
        connection.request(method, path, body=data, headers=headers)
        answer = connection.getresponse()
        return {"status": answer.status, "body": answer.read().decode()}

    @tool
    def fetch(self, url: str):
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return {"status": answer.status, "body": answer.read().decode()}
        except urllib.error.HTTPError as error:
            return {"status": error.code, "body": error.read().decode()}

    @tool
    def relay(self, name: str):
        return self.context.host.call("e2e-callee", {"name": name}, tool="greet")

    @tool
    def tell(self, note: int):
        return self.context.host.publish("notes.written", {"note": note})

    @tool
    def may_call(self):
        return [plugin["plugin_id"] for plugin in self.context.host.plugins()]

    @tool
    def stray(self):
        return self.context.host.call("e2e-stranger")

    @tool
    def sockets(self):
        import os
        return sorted(os.listdir("/run/orchestrator"))
"""

CALLEE_CODE = """
from orchestrator_sdk import PluginInterface, tool

class Plugin(PluginInterface):
    seen = []

    @tool
    def greet(self, name: str):
        return f"hello {name}"

    @tool
    def events(self):
        return self.seen

    def handle_event(self, event):
        self.seen.append([event.type, event.source, event.data])
"""


def tools(*names: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "description": "For one test.", "input_schema": {"type": "object"}}
        for name in names
    ]


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    """A web server of the host's own: as private as an address can be."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "6")
            self.end_headers()
            self.wfile.write(b"bytes!")

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def plugins(shared_instance: Instance, shared_workshop: Workshop, upstream: int) -> Instance:
    shared_instance.policy(egress={"allowed_private": ["127.0.0.0/8"]})
    wanted: list[Any] = [
        "plugin_communication",
        {"external_api": {"hosts": [f"localhost:{upstream}"]}},
    ]
    shared_workshop.script(
        CALLER,
        CALLER_CODE,
        info={
            "permissions": wanted,
            "tools": tools("ask", "fetch", "relay", "tell", "may_call", "stray", "sockets"),
            "dependencies": [CALLEE],
            "publishes": ["notes.written"],
        },
        permissions=wanted,
    )
    shared_workshop.script(
        CALLEE,
        CALLEE_CODE,
        info={
            "tools": tools("greet", "events"),
            "subscribes": ["notes.*"],
        },
    )
    shared_workshop.script(STRANGER, CALLEE_CODE, info={"tools": tools("greet")})
    shared_instance.up()
    return shared_instance


def ask(plugins: Instance, method: str, path: str, **more: Any) -> tuple[int, Any]:
    answer = plugins.call(CALLER, {"method": method, "path": path, **more}, tool="ask")
    return answer["status"], json.loads(answer["body"] or "null")


def test_a_plugin_calls_its_dependency_through_its_own_socket(plugins: Instance) -> None:
    status, greeting = ask(
        plugins,
        "POST",
        f"/v1/plugins/{CALLEE}/execute",
        body={"name": "you"},
        headers={"X-Tool": "greet", "Content-Type": "application/json"},
    )

    assert (status, greeting) == (200, "hello you")


@pytest.mark.parametrize(
    ("callee", "code"), [(STRANGER, "call_not_allowed"), (CALLER, "call_cycle")]
)
def test_a_call_to_anybody_else_is_refused_and_taken_down(
    plugins: Instance, callee: str, code: str
) -> None:
    status, problem = ask(plugins, "POST", f"/v1/plugins/{callee}/execute", body={})

    assert (status, problem["code"]) == (403, code)
    records = json.loads(plugins.run("audit", "--type", "host_call", "--json").stdout)
    assert any(
        (r["outcome"], r["actor"], r["data"].get("callee"))
        == ("refused", f"plugin:{CALLER}", callee)
        for r in records
    )


def test_a_declared_event_reaches_who_subscribed_with_a_source_the_host_set(
    plugins: Instance,
) -> None:
    event = {
        "specversion": "1.0",
        "id": "1",
        "source": "somebody/else",
        "type": "notes.written",
        "data": {"note": 7},
    }
    status, _ = ask(
        plugins,
        "POST",
        "/v1/events",
        body=event,
        headers={"Content-Type": "application/cloudevents+json"},
    )
    seen = eventually(lambda: plugins.call(CALLEE, tool="events"))

    assert status in {200, 201, 202}
    assert seen == [["notes.written", f"plugin/{CALLER}", {"note": 7}]]


def test_the_sdk_calls_a_plugin_and_publishes(plugins: Instance) -> None:
    greeting = plugins.call(CALLER, {"name": "sdk"}, tool="relay")
    event_id = plugins.call(CALLER, {"note": 8}, tool="tell")
    seen = eventually(
        lambda: [it for it in plugins.call(CALLEE, tool="events") if it[2] == {"note": 8}]
    )

    assert greeting == "hello sdk"
    assert isinstance(event_id, str)
    assert event_id
    assert seen == [["notes.written", f"plugin/{CALLER}", {"note": 8}]]
    assert plugins.call(CALLER, tool="may_call") == [CALLEE]


def test_a_refusal_reaches_the_plugins_own_caller_as_the_plugins_failure(
    plugins: Instance,
) -> None:
    told = plugins.call(CALLER, tool="stray", expect=76)

    assert "call_not_allowed" in told


def test_an_event_that_was_not_declared_is_refused(plugins: Instance) -> None:
    event = {"specversion": "1.0", "id": "1", "source": "x", "type": "notes.burnt"}
    status, _ = ask(
        plugins,
        "POST",
        "/v1/events",
        body=event,
        headers={"Content-Type": "application/cloudevents+json"},
    )

    assert status == 403


def test_an_unmodified_client_reaches_a_granted_host_and_no_other(
    plugins: Instance, upstream: int
) -> None:
    granted = plugins.call(CALLER, {"url": f"http://localhost:{upstream}/"}, tool="fetch")
    other = plugins.call(CALLER, {"url": f"http://127.0.0.1:{upstream}/"}, tool="fetch")
    records = json.loads(plugins.run("audit", "--type", "egress", "--json").stdout)

    assert granted == {"status": 200, "body": "bytes!"}
    assert other["status"] == 403
    assert {record["outcome"] for record in records} == {"allowed", "refused"}


def test_a_plugin_has_the_sockets_of_its_permissions_and_no_more(plugins: Instance) -> None:
    found = plugins.call(CALLER, tool="sockets")

    assert found == ["egress.sock", "host.sock", "plugin.sock"]
