"""Permissions given and taken while plugins run, as the plugin itself sees it."""

import http.server
import json
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.clock import SystemClock
from tests.support.instance import Instance, engine, eventually
from tests.support.workshop import Workshop

pytestmark = pytest.mark.docker

HAMMER, NEEDY, GROWING = "e2e-hammer", "e2e-needy", "e2e-growing"
BRAKE_SECONDS = 1.0
now = SystemClock().now


def told(what: str, seconds: float) -> None:
    """The figure, for `pytest --log-cli-level=INFO`."""
    text = "the last use of %s was %.3f s after the command had returned"
    logging.getLogger(__name__).info(text, what, seconds)


HAMMER_CODE = """
import http.client, signal, socket, threading, time, urllib.request
from orchestrator_sdk import PluginInterface, tool

signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it does not go when asked

class HostSock(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(5)
        self.sock.connect("/run/orchestrator/host.sock")

def host():
    connection = HostSock("orchestrator")
    connection.request("GET", "/v1/plugins")
    return connection.getresponse().status == 200

def egress(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read() == b"bytes!"

def share():
    with open("/mnt/docs/page") as file:
        return file.read() == "words"

def network():
    return len(socket.if_nameindex()) > 1

class Plugin(PluginInterface):
    def initialize(self, config, context):
        self.url = config["url"]
        blows = {
            "host": host, "share": share, "network": network, "egress": lambda: egress(self.url),
        }
        for blow in blows.items():
            threading.Thread(target=self.hammer, args=blow, daemon=True).start()

    def hammer(self, name, blow):
        while True:
            try:
                done = blow()
            except Exception:
                done = False
            print(f"HAMMER {name} {int(done)} {time.time():.6f}", flush=True)
            time.sleep(0.05)

    @tool
    def sleep(self, seconds: float):
        time.sleep(seconds)
"""


class Watch:
    """Follows what the plugin's container says of each blow: (what, done, when)."""

    def __init__(self, container_id: str) -> None:
        self.blows: list[tuple[str, bool, float]] = []
        self.ended_at = 0.0
        self._container_id = container_id
        self._thread = threading.Thread(target=self._follow)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(timeout=60)

    def _follow(self) -> None:
        with engine() as client:
            for line in client.logs(self._container_id, stream=True, follow=True, tail=0):
                words = line.decode().split()
                if words[:1] == ["HAMMER"]:
                    self.blows.append((words[1], words[2] == "1", float(words[3])))
        self.ended_at = now()

    def done(self, what: str) -> list[float]:
        return [when for name, done, when in list(self.blows) if name == what and done]

    def failed(self, what: str) -> list[float]:
        return [when for name, done, when in list(self.blows) if name == what and not done]


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
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
def plugins(
    shared_instance: Instance,
    shared_workshop: Workshop,
    upstream: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> Instance:
    docs: Path = tmp_path_factory.mktemp("docs")
    (docs / "page").write_text("words")
    docs.chmod(0o755)
    shared_instance.policy(
        egress={"allowed_private": ["127.0.0.0/8"]},
        shares={"docs": {"path": str(docs)}},
        lifecycle={"stop_grace_seconds": 2},
    )
    wanted: list[Any] = [
        "plugin_communication",
        {"external_api": {"hosts": [f"localhost:{upstream}"]}},
        {"file_system_read": {"shares": ["docs"]}},
        "network_access",
    ]
    shared_workshop.script(
        HAMMER,
        HAMMER_CODE,
        info={
            "permissions": wanted,
            "tools": [
                {"name": "sleep", "description": "Sleeps.", "input_schema": {"type": "object"}}
            ],
            "config_schema": {"type": "object"},
        },
        permissions=wanted,
        config={"url": f"http://localhost:{upstream}/"},
    )
    required = {"plugin_communication": {"required": True, "reason": "it talks"}}
    shared_workshop.small(
        NEEDY, info={"permissions": [required]}, permissions=["plugin_communication"]
    )
    shared_workshop.small(GROWING)
    shared_instance.up()
    return shared_instance


def rights(plugins: Instance, plugin: str) -> dict[str, dict[str, Any]]:
    """`permissions list`, by permission."""
    [answer] = json.loads(plugins.run("permissions", "list", plugin, "--json").stdout)
    return {row["permission"]: row for row in answer["permissions"]}


def held(plugins: Instance, plugin: str) -> Any:
    [answer] = json.loads(plugins.run("permissions", "list", plugin, "--json").stdout)
    return answer["held"]


def audited(plugins: Instance, action: str, plugin: str) -> list[dict[str, Any]]:
    done = plugins.run("audit", "--type", action, "--plugin", plugin, "--json")
    records: list[dict[str, Any]] = json.loads(done.stdout)
    return records


def active(plugins: Instance, plugin: str) -> Callable[[], bool]:
    return lambda: bool(plugins.ps()[plugin]["status"] == "active")


def works_again(plugins: Instance, what: str) -> bool:
    """Whether the plugin that runs now gets through, sooner or later."""

    def seen() -> bool:
        with engine() as client:
            logs: bytes = client.logs(plugins.containers()[HAMMER], tail=100)
        return f"HAMMER {what} 1 ".encode() in logs

    return bool(eventually(seen, seconds=60))


@pytest.mark.parametrize(
    ("what", "permission"), [("egress", "external_api"), ("host", "plugin_communication")]
)
def test_a_socket_is_lost_within_a_second_though_the_container_still_runs(
    plugins: Instance, what: str, permission: str
) -> None:
    eventually(active(plugins, HAMMER), seconds=60)
    busy = threading.Thread(
        target=plugins.run,
        args=("call", HAMMER, '{"seconds": 20}', "--tool", "sleep"),
        kwargs={"expect": None},
    )
    with Watch(plugins.containers()[HAMMER]) as watch:
        busy.start()  # a call under way: the replacement waits for it, the brake does not
        eventually(lambda: plugins.status(HAMMER)["calls_in_flight"])
        eventually(lambda: watch.done(what))
        plugins.run("permissions", "revoke", HAMMER, permission, "--reason", "it went wild")
        returned = now()
    busy.join()
    lost_after = watch.done(what)[-1] - returned
    told(what, lost_after)
    eventually(active(plugins, HAMMER), seconds=60)

    assert lost_after < BRAKE_SECONDS
    # The old container saw the socket go: the brake did not wait for the replacement.
    assert watch.failed(what) != []
    assert watch.failed(what)[0] < watch.ended_at
    plugins.run("permissions", "check", HAMMER, permission, expect=77)
    plugins.run("permissions", "grant", HAMMER, permission)
    eventually(active(plugins, HAMMER), seconds=60)
    assert works_again(plugins, what)


@pytest.mark.parametrize(
    ("what", "permission"), [("share", "file_system_read"), ("network", "network_access")]
)
def test_what_the_container_holds_is_lost_at_once_by_a_plugin_that_would_not_go(
    plugins: Instance, what: str, permission: str
) -> None:
    eventually(active(plugins, HAMMER), seconds=60)
    before = plugins.containers()[HAMMER]
    with Watch(before) as watch:
        eventually(lambda: watch.done(what))
        plugins.run("permissions", "revoke", HAMMER, permission, "--reason", "leak")
        returned = now()
    lost_after = watch.done(what)[-1] - returned
    told(what, lost_after)
    eventually(active(plugins, HAMMER), seconds=60)
    row, found = plugins.ps()[HAMMER], plugins.inspect(HAMMER)

    assert lost_after < BRAKE_SECONDS
    assert row["container_id"] != before
    assert (row["reason"], row["restarts"]) == ("", 0)  # no failure of the plugin's
    assert (what, found["HostConfig"]["NetworkMode"]) != ("share", "none")
    assert {
        "share": "/mnt/docs" not in [mount["Destination"] for mount in found["Mounts"]],
        "network": found["HostConfig"]["NetworkMode"] == "none",
    }[what]
    plugins.run("permissions", "grant", HAMMER, permission)
    eventually(active(plugins, HAMMER), seconds=60)
    assert works_again(plugins, what)


def test_a_plugin_that_needs_it_is_stopped_and_says_why_over_up_and_a_killed_daemon(
    plugins: Instance,
) -> None:
    plugins.run("permissions", "revoke", NEEDY, "plugin_communication", "--reason", "it lies")
    eventually(lambda: NEEDY not in plugins.containers())
    plugins.up()
    os.kill(plugins.daemon_pid(), signal.SIGKILL)
    plugins.up()
    row, status = plugins.ps()[NEEDY], plugins.status(NEEDY)
    [change] = status["drift"]
    [planned] = [row for row in plugins.plan(expect=0) if row["plugin_id"] == NEEDY]

    assert NEEDY not in plugins.containers()
    assert row["status"] == "inactive"
    assert row["detail"].startswith("stopped: it cannot work without what was taken")
    assert "it lies" in row["detail"]
    assert (row["restarts"], row["reason"]) == (0, "")
    assert (change["permission"], change["state"]) == ("plugin_communication", "revoked")
    assert change["why"] == "it lies"
    assert change["who"] != ""
    assert abs(change["when"] - now()) < 600
    assert planned["drift"] == [change]
    assert "By command\n  plugin_communication was" in plugins.run("explain", NEEDY).stdout
    plugins.run("permissions", "grant", NEEDY, "plugin_communication", "--reason", "it is sorry")
    eventually(active(plugins, NEEDY))
    assert plugins.status(NEEDY)["drift"] == []
    assert [(r["outcome"], r["why"]) for r in audited(plugins, "permission_revoke", NEEDY)] == [
        ("done", "it lies")
    ]
    assert [
        (r["outcome"], r["actor"], r["why"]) for r in audited(plugins, "permission_grant", NEEDY)
    ] == [("done", "operator", "it is sorry")]


def test_a_grant_of_what_is_not_asked_is_refused_and_taken_down(plugins: Instance) -> None:
    done = plugins.run("permissions", "grant", NEEDY, "external_api", expect=77)
    [record] = [r for r in audited(plugins, "permission_grant", NEEDY) if r["outcome"] == "refused"]

    assert "permission_not_asked" in done.stderr
    assert (record["data"]["code"], record["data"]["permission"]) == (
        "permission_refused",
        "external_api",
    )
    assert "external_api" not in rights(plugins, NEEDY)


def test_an_update_that_asks_for_more_waits_until_exactly_it_is_granted(
    plugins: Instance, shared_workshop: Workshop
) -> None:
    before = plugins.containers()[GROWING]
    shared_workshop.revise(GROWING, version="2.0.0", permissions=["file_system_write"])
    plan = {row["plugin_id"]: row for row in plugins.plan(expect=2)}
    up = plugins.up(expect=77)
    waiting = held(plugins, GROWING)
    wrong = plugins.run("permissions", "grant", GROWING, "--update", "0" * 12, expect=73)

    assert plan[GROWING]["held"] == waiting
    assert plan[GROWING]["change"] == "none"
    assert waiting["version"] == "2.0.0"
    assert waiting["differences"] == [
        "asks for the permission file_system_write (before: not asked, now: asked)"
    ]
    assert f"permissions grant {GROWING} --update {waiting['update']}" in up.stderr
    assert "update_changed" in wrong.stderr
    assert plugins.status(GROWING)["held"] == waiting
    assert (plugins.ps()[GROWING]["version"], plugins.containers()[GROWING]) == ("1.0.0", before)
    assert plugins.call(GROWING, {"text": "still here"}, tool="echo") is not None
    plugins.run("permissions", "grant", GROWING, "--update", waiting["update"])
    eventually(
        lambda: active(plugins, GROWING)() and plugins.ps()[GROWING]["version"] == "2.0.0",
        seconds=60,
    )
    plugins.up()
    assert held(plugins, GROWING) is None
    assert [r["outcome"] for r in audited(plugins, "permission_grant", GROWING)] == [
        "refused",
        "done",
    ]
