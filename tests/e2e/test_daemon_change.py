"""One daemon follows another, of its own version or of another one: the plugins run on, and every
call is answered once or refused with leave to try again."""

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from orchestrator.client.client import DaemonClient
from orchestrator.client.reach import connect
from tests.support.instance import ROOT, Instance, engine, eventually
from tests.support.workshop import Workshop

pytestmark = pytest.mark.docker

BOOK = "e2e-book"
SMALL = "e2e-small"
_CODE = """
from collections import Counter
from orchestrator_sdk import PluginInterface, tool

class Plugin(PluginInterface):
    lines = Counter()

    @tool
    def note(self, number: int) -> dict:
        self.lines[str(number)] += 1
        return {"noted": number}

    @tool
    def read(self) -> dict:
        return dict(self.lines)
"""
_TOOLS = [
    {
        "name": "note",
        "description": "Note a number.",
        "input_schema": {
            "type": "object",
            "properties": {"number": {"type": "integer"}},
            "required": ["number"],
        },
    },
    {"name": "read", "description": "How often each number was noted.", "read_only": True},
]


@pytest.fixture(scope="module")
def house(shared_workshop: Workshop) -> Iterator[Instance]:
    """Two plugins, and a permission taken away: what must not change with the daemon."""
    instance = shared_workshop.instance
    shared_workshop.script(BOOK, _CODE, info={"tools": _TOOLS}, limits={"max_cpu_percent": 100})
    shared_workshop.small(
        SMALL,
        info={"permissions": ["file_system_write"]},
        permissions=["file_system_write"],
    )
    instance.up()
    _client(instance).revoke_permission(SMALL, "file_system_write", who="a test", why="to see")
    eventually(lambda: all(row["status"] == "active" for row in _client(instance).plugins()))
    return instance


def _socket(instance: Instance) -> Path:
    return instance.home / instance.name / "daemon.sock"


@dataclass
class Load:
    """Callers that never rest; each number is sent once, and `book` says what became of it."""

    path: Path
    answered: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    hung_up: list[int] = field(default_factory=list)
    """Sent on a connection that had been answered on before, and that ended without a word."""
    wrong: list[str] = field(default_factory=list)
    longest_seconds: float = 0.0
    _numbers: "count[int]" = field(default_factory=count)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> "Load":
        for work in (self._with_client, self._with_client, self._kept_alive, self._kept_alive):
            self._threads.append(threading.Thread(target=self._guarded, args=(work,)))
            self._threads[-1].start()
        eventually(lambda: len(self.answered) > 20, seconds=60)
        return self

    def __exit__(self, *_: object) -> None:
        before = len(self.answered)
        eventually(lambda: len(self.answered) > before + 20 or self.wrong, seconds=60)
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def told(self) -> str:
        return (
            f"{len(self.answered)} calls answered, {len(self.refused)} told to try again, "
            f"{len(self.hung_up)} sent to an ended connection, "
            f"the longest took {self.longest_seconds:.2f} s"
        )

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - the test tells it
            self.wrong.append(repr(error))

    def _with_client(self) -> None:
        """As the command line calls: a connection each, tried again where that is safe."""
        client = DaemonClient(self.path)
        while not self._stop.is_set():
            number, began = next(self._numbers), time.monotonic()
            body = json.dumps({"number": number}).encode()
            got = client.call(
                BOOK, body, content_type="application/json", tool="note", timeout_seconds=None
            )
            self._note(number, got.status, got.body, began)

    def _kept_alive(self) -> None:
        """As a program calls: one connection for long, and a new one where it was ended."""
        connection: http.client.HTTPConnection | None = None
        while not self._stop.is_set():
            number, began = next(self._numbers), time.monotonic()
            used = connection is not None
            if connection is None:
                connection = http.client.HTTPConnection("orchestrator")
                connection.sock = connect(self.path, 60)  # never absent: a failure ends the test
            try:
                connection.request(
                    "POST",
                    f"/v1/plugins/{BOOK}/execute",
                    body=json.dumps({"number": number}),
                    headers={"X-Tool": "note"},
                )
                answer = connection.getresponse()
                body = answer.read()
            except (ConnectionError, http.client.HTTPException):
                if not used:
                    raise
                self.hung_up.append(number)
                connection.close()
                connection = None
                continue
            self._note(number, answer.status, body, began)
            if answer.will_close:
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def _note(self, number: int, status: int, body: bytes, began: float) -> None:
        self.longest_seconds = max(self.longest_seconds, time.monotonic() - began)
        value = json.loads(body)
        if status == 200 and value == {"noted": number}:
            self.answered.append(number)
        elif (status, value.get("code"), value.get("repeat")) == (503, "daemon_stopping", "safe"):
            self.refused.append(number)
        else:
            self.wrong.append(f"{number}: {status} {body!r}")


@pytest.fixture
def untouched(house: Instance) -> Iterator[None]:
    """Whatever a test does to the daemon: containers, their uptime and what is remembered stay."""
    before = _facts(house)
    yield
    eventually(lambda: all(row["status"] == "active" for row in _client(house).plugins()))

    assert _facts(house) == before


def _facts(house: Instance) -> dict[str, Any]:
    client = _client(house)
    containers = house.containers()
    with engine() as docker:
        states = {name: docker.inspect_container(c)["State"] for name, c in containers.items()}
    return {
        "containers": containers,
        "started": {name: state["StartedAt"] for name, state in states.items()},
        "rows": [
            (row["plugin_id"], row["status"], row["restarts"], row["container_id"])
            for row in client.plugins()
        ],
        "permissions": client.permissions(),
        "audit": client.audit_verify()["found"],
    }


def _client(house: Instance) -> DaemonClient:
    return DaemonClient(_socket(house))


def _book(house: Instance) -> Counter[str]:
    """Each number that the plugin was ever asked to note, and how often it was."""
    answer = _client(house).call(
        BOOK, b"{}", content_type="application/json", tool="read", timeout_seconds=None
    )
    return Counter(json.loads(answer.body))


@pytest.mark.usefixtures("untouched")
def test_under_load_a_restart_answers_every_call_once_or_says_to_try_again(
    house: Instance, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _book(house)
    pids = {_client(house).status()["pid"]}
    with Load(_socket(house)) as load:
        for _ in range(2):
            house.run("daemon", "restart")
            pids.add(_client(house).status()["pid"])
    book = _book(house) - before
    with capsys.disabled():
        print(f"\ntwo restarts: {load.told()}")  # noqa: T201 - a measurement

    assert load.wrong == []
    assert len(pids) == 3
    assert book == Counter(map(str, load.answered))  # each once, and no other at all
    assert len(load.refused) + len(load.hung_up) <= 2 * len(pids)


@dataclass(frozen=True)
class Other:
    """The same orchestrator under another version's number."""

    folder: Path
    version: str

    def run(self, instance: Instance, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`orchestrator ARGUMENTS` of that version."""
        instance.variables = {"PYTHONPATH": str(self.folder)}
        try:
            return instance.run(*arguments)
        finally:
            instance.variables = {}


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Other:
    folder = tmp_path_factory.mktemp("newer")
    shutil.copytree(ROOT / "orchestrator", folder / "orchestrator")
    (folder / "plugin_images").symlink_to(ROOT / "plugin_images")
    version = folder / "orchestrator" / "version.py"
    version.write_text(re.sub(r'"\d+\.\d+\.\d+"', '"9.8.7"', version.read_text()))
    return Other(folder, "9.8.7")


@pytest.mark.usefixtures("untouched")
def test_a_daemon_of_another_version_takes_over_what_runs_and_no_call_fails(
    house: Instance, newer: Other, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _book(house)
    here = _client(house).status()["version"]
    seen = newer.run(house, "ps").stderr
    with Load(_socket(house)) as load:
        done = newer.run(house, "daemon", "restart")
        there = _client(house).status()["version"]
        told = house.run("ps").stderr
        house.run("daemon", "restart")
    book = _book(house) - before
    with capsys.disabled():
        print(f"\nto another version and back: {load.told()}")  # noqa: T201 - a measurement

    assert f"the daemon is version {here} and this command {newer.version}" in seen
    assert "`orchestrator daemon restart`" in seen
    assert re.search(rf"version {re.escape(here)} → pid \d+, version 9\.8\.7$", done.stdout.strip())
    assert there == newer.version
    assert f"the daemon is version {newer.version} and this command {here}" in told
    assert house.run("ps").stderr == ""
    assert load.wrong == []
    assert book == Counter(map(str, load.answered))


@pytest.mark.usefixtures("untouched")
def test_a_second_sigterm_does_not_wait_and_the_caller_hears_whether_to_try_again(
    house: Instance,
) -> None:
    pid = _client(house).status()["pid"]
    command = [sys.executable, "-m", "orchestrator", "call", SMALL, "--tool", "sleep"]
    call = subprocess.Popen(
        [*command, '{"seconds": 25}'], env=house.environment(), stderr=subprocess.PIPE, text=True
    )
    eventually(lambda: _client(house).plugin(SMALL)["calls_in_flight"] == 1, every=0.02)
    os.kill(pid, signal.SIGTERM)
    time.sleep(0.5)
    waits = call.poll() is None and house.processes() == [pid]
    os.kill(pid, signal.SIGTERM)
    _, err = call.communicate(timeout=30)
    eventually(lambda: not house.processes(), seconds=30)
    house.run("daemon", "start")

    assert waits
    assert call.returncode == 124
    assert "[daemon_stopped]" in err
