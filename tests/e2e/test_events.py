"""Events from end to end: what was accepted arrives, whatever happens to the daemon meanwhile."""

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.client.events import EventsClient
from tests.support.instance import Instance, eventually
from tests.support.workshop import Workshop

pytestmark = pytest.mark.docker

TELLER, READER = "e2e-teller", "e2e-reader"
MAX_PUBLISHED, MAX_TRIES = 40, 5

TELLER_CODE = """
import http.client, json, socket
from orchestrator_sdk import PluginInterface, tool

class HostSock(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/run/orchestrator/host.sock")

class Plugin(PluginInterface):
    @tool
    def tell(self, count: int, prefix: str):
        answers = []
        for number in range(count):
            connection = HostSock("orchestrator", timeout=20)
            event = {"specversion": "1.0", "type": "notes.written", "source": "x",
                     "id": prefix + str(number), "data": {"note": prefix + str(number)}}
            connection.request("POST", "/v1/events", body=json.dumps(event))
            answer = connection.getresponse()
            body = json.loads(answer.read())
            answers.append([answer.status, answer.getheader("Retry-After"), body.get("code")])
            connection.close()
        return answers
"""

READER_CODE = """
import threading
from orchestrator_sdk import PluginInterface, tool

class Plugin(PluginInterface):
    seen = []
    refuses = False
    free = threading.Event()
    free.set()

    @tool
    def events(self):
        return self.seen

    @tool
    def behave(self, hold: bool, refuse: bool):
        self.refuses = refuse
        self.free.clear() if hold else self.free.set()

    def handle_event(self, event):
        # Shorter than the host waits: who holds its lane longer is not there for the next daemon.
        if not self.free.wait(4) or self.refuses:
            raise RuntimeError("not today")
        self.seen.append([event.data["note"], event.source])
"""


def tools(*names: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "description": "For one test.", "input_schema": {"type": "object"}}
        for name in names
    ]


@pytest.fixture(scope="module")
def plugins(shared_instance: Instance, shared_workshop: Workshop) -> Instance:
    shared_instance.policy(
        events={"max_tries": MAX_TRIES, "max_published": MAX_PUBLISHED},
        host={"requests_per_second": 1_000},
    )
    shared_workshop.script(
        TELLER,
        TELLER_CODE,
        info={
            "permissions": ["plugin_communication"],
            "tools": tools("tell"),
            "publishes": ["notes.written"],
        },
        permissions=["plugin_communication"],
    )
    shared_workshop.script(
        READER, READER_CODE, info={"tools": tools("events", "behave"), "subscribes": ["notes.*"]}
    )
    shared_instance.up()
    return shared_instance


@pytest.fixture(autouse=True)
def _well_behaved(plugins: Instance) -> Iterator[None]:
    yield
    behave(plugins)


def behave(plugins: Instance, *, hold: bool = False, refuse: bool = False) -> None:
    plugins.call(READER, {"hold": hold, "refuse": refuse}, tool="behave")


def tell(plugins: Instance, count: int, prefix: str) -> list[list[Any]]:
    answers: list[list[Any]] = plugins.call(TELLER, {"count": count, "prefix": prefix}, tool="tell")
    return answers


def seen(plugins: Instance, prefix: str) -> list[str]:
    """What came, in order; what came again is left out."""
    notes = [note for note, _ in plugins.call(READER, tool="events") if note.startswith(prefix)]
    return list(dict.fromkeys(notes))


def client(plugins: Instance) -> EventsClient:
    return EventsClient(plugins.home / plugins.name / "daemon.sock")


def test_what_was_accepted_before_a_kill_of_the_daemon_is_delivered_after_it_in_order(
    plugins: Instance,
) -> None:
    behave(plugins, hold=True)
    answers = tell(plugins, 20, "kept-")
    for pid in plugins.processes():
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not plugins.processes())
    plugins.up()
    behave(plugins)
    wanted = [f"kept-{number}" for number in range(20)]
    eventually(lambda: len(seen(plugins, "kept-")) == 20, seconds=60)
    repeated = tell(plugins, 1, "kept-")

    assert [status for status, _, _ in answers] == [202] * 20
    assert seen(plugins, "kept-") == wanted
    assert repeated == [[202, None, None]]


def test_a_publisher_beyond_its_bound_gets_429_until_its_events_are_taken(
    plugins: Instance,
) -> None:
    behave(plugins, hold=True)
    answers = tell(plugins, MAX_PUBLISHED + 2, "full-")
    waiting = plugins.status(READER)["events_waiting"]
    behave(plugins)
    eventually(lambda: len(seen(plugins, "full-")) == MAX_PUBLISHED, seconds=60)

    assert answers[:MAX_PUBLISHED] == [[202, None, None]] * MAX_PUBLISHED
    assert answers[MAX_PUBLISHED:] == [[429, "1", "events_full"]] * 2
    assert waiting == MAX_PUBLISHED
    assert tell(plugins, 1, "again-") == [[202, None, None]]


def test_what_fails_too_often_is_a_dead_letter_that_can_be_replayed(plugins: Instance) -> None:
    behave(plugins, refuse=True)
    data = json.dumps({"note": "dead-0"})
    event_id = plugins.run("events", "publish", "notes.torn", "--data", data).stdout.strip()
    letters = eventually(lambda: client(plugins).dead_events(plugin=READER, count=10), seconds=60)
    table = plugins.run("events", "dead", "--plugin", READER).stdout
    behave(plugins)
    plugins.run("events", "replay", "no-such-event", expect=66)
    replayed = plugins.run("events", "replay", event_id).stdout
    eventually(lambda: seen(plugins, "dead-") == ["dead-0"], seconds=60)
    told = plugins.run("events", "tail", "--type", "orchestrator.event.dead", "--json").stdout
    [record] = [r for r in audit(plugins) if r["why"] == "events publish notes.torn"]

    assert [(it["event_id"], it["tries"]) for it in letters] == [(event_id, MAX_TRIES)]
    assert event_id in table
    assert replayed == f"{READER}: 1 queued anew\n"
    assert client(plugins).dead_events(plugin=READER, count=10) == []
    assert json.loads(told)["data"]["event_id"] == event_id
    assert record["data"]["event_id"] == event_id
    assert [source for note, source in plugins.call(READER, tool="events") if note == "dead-0"] == [
        "operator/root"
    ]


def audit(plugins: Instance) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads(
        plugins.run("audit", "--type", "command", "--json").stdout
    )
    return records


def test_no_operator_publishes_as_the_orchestrator(plugins: Instance) -> None:
    said = plugins.run("events", "publish", "orchestrator.plugin.died", expect=77).stderr

    assert "event_type_reserved" in said


def test_a_follower_sees_what_came_and_what_comes(plugins: Instance) -> None:
    first = client(plugins).publish_event("follow.one", subject="", data={}, who="root")
    follower = client(plugins).tail_events(event_type="follow.*", plugin="", count=5, follow=True)
    ids = [next(follower)["id"]]
    second = client(plugins).publish_event("follow.two", subject="", data={}, who="root")
    ids.append(next(follower)["id"])
    follower.close()  # type: ignore[attr-defined]

    assert ids == [first, second]
