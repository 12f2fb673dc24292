"""Updates under load: no call fails while one takes over, or fails and is gone back from.

The revisions differ in their configuration alone, so that each plugin's image is built once.
"""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from orchestrator.client.client import DaemonClient
from tests.support.instance import Instance, eventually
from tests.support.workshop import Workshop

pytestmark = pytest.mark.docker

CODE = """\
import os
import sys
import time

from orchestrator_sdk import PluginInterface, PluginStatus


class Plugin(PluginInterface):
    def initialize(self, config, context):
        self.since = time.monotonic()
        print("ImportError: it does " + config["does"], file=sys.stderr, flush=True)
        if config["does"] == "crash":
            os._exit(3)
        if config["does"] == "never":
            time.sleep(3600)
        return True

    def execute(self, payload):
        return {"says": self.config["says"]}

    def get_status(self):
        ill = self.config["does"] == "ill" and time.monotonic() - self.since > 0.7
        return PluginStatus("error" if ill else "ready")
"""
SCHEMA = {
    "type": "object",
    "properties": {
        "says": {"type": "string", "default": ""},
        "does": {"type": "string", "default": "work"},
    },
}
BESIDE, ALONE = ("e2e-crash", "e2e-never", "e2e-ill"), "e2e-data"
PLUGINS = (*BESIDE, ALONE)
FAULTS = {"e2e-crash": "crash", "e2e-never": "never", "e2e-ill": "ill", "e2e-data": "crash"}
POLICY = {"lifecycle": {"start_deadline_seconds": 20}}
ROLLOUT = {"min_healthy_seconds": 1.5}


def deploy(workshop: Workshop, says: str, faults: dict[str, str] | None = None) -> None:
    """Write what the plugins say, and what is wrong with them."""
    for name in PLUGINS:
        config = {"says": says, "does": (faults or {}).get(name, "work")}
        writes: list[Any] = ["file_system_write"] if name == ALONE else []
        workshop.script(
            name,
            CODE,
            info={"config_schema": SCHEMA, "permissions": writes},
            config=config,
            permissions=writes,
            limits={"max_cpu_percent": 50},
        )


@dataclass
class Callers:
    """One for each plugin, call after call."""

    instance: Instance
    end: threading.Event = field(default_factory=threading.Event)
    said: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in PLUGINS})
    failed: list[str] = field(default_factory=list)

    def call(self, name: str) -> None:
        client = DaemonClient(self.instance.home / self.instance.name / "daemon.sock")
        while not self.end.is_set():
            done = client.call(
                name, b"{}", content_type="application/json", tool=None, timeout_seconds=25.0
            )
            if done.status != 200:
                self.failed.append(f"{name}: {done.status} {done.body!r}")
            else:
                self.said[name].append(json.loads(done.body)["says"])
            time.sleep(0.02)

    def turns(self, name: str) -> list[str]:
        """What it said, without repetitions."""
        said = self.said[name]
        return [word for place, word in enumerate(said) if place == 0 or said[place - 1] != word]


@contextmanager
def calling(instance: Instance) -> Iterator[Callers]:
    callers = Callers(instance)
    with ThreadPoolExecutor(len(PLUGINS)) as threads:
        calls: list[Future[None]] = [threads.submit(callers.call, name) for name in PLUGINS]
        try:
            eventually(lambda: all(callers.said.values()))
            yield callers
        finally:
            callers.end.set()
        for call in calls:
            call.result()


@pytest.fixture(scope="module")
def house(shared_instance: Instance, shared_workshop: Workshop) -> Workshop:
    """Four plugins that run, each in its second revision; see the first test."""
    shared_instance.policy(**POLICY, rollout=ROLLOUT)
    deploy(shared_workshop, "one")
    shared_instance.up()
    return shared_workshop


def rows(instance: Instance) -> list[dict[str, Any]]:
    shown = instance.ps()
    return [shown[name] for name in PLUGINS]


def revisions(instance: Instance, name: str) -> list[tuple[int, str]]:
    shown = json.loads(instance.run("rollout", "history", name, "--json").stdout)
    return [(row["revision"], row["state"]) for row in shown["revisions"]]


def test_an_update_under_load_fails_no_call_and_an_undo_neither(
    shared_instance: Instance, house: Workshop
) -> None:
    _well(shared_instance, 1)
    with calling(shared_instance) as callers:
        deploy(house, "two")
        plan = shared_instance.run("plan", str(shared_instance.manifests), expect=2).stdout
        shared_instance.up()
        told = shared_instance.run("rollout", "undo", "e2e-ill", "--reason", "a trial").stdout
        eventually(lambda: callers.said["e2e-ill"][-1] == "one")
        shared_instance.up()
        eventually(lambda: all(said[-1] == "two" for said in callers.said.values()))

    assert callers.failed == []
    assert [callers.turns(name) for name in ("e2e-crash", "e2e-never", ALONE)] == [
        ["one", "two"]
    ] * 3
    assert callers.turns("e2e-ill") == ["one", "two", "one", "two"]
    assert "brings back what the files say" in told
    assert plan.count("stopped first: its /data is no other container's") == 1
    assert plan.count("started beside what runs") == 3
    assert revisions(shared_instance, "e2e-crash") == [(1, "healthy"), (2, "healthy")]
    assert revisions(shared_instance, "e2e-ill")[1:] == [
        (2, "undone"),
        (3, "healthy"),
        (4, "healthy"),
    ]


def test_updates_that_fail_are_gone_back_from_with_no_call_failed_and_stay_away(
    shared_instance: Instance, house: Workshop
) -> None:
    deploy(house, "two")
    shared_instance.up()
    before = [row["rollout"]["revision"] for row in rows(shared_instance)]
    shared_instance.policy(**POLICY, rollout={**ROLLOUT, "progress_deadline_seconds": 15})
    deploy(house, "three", FAULTS)
    with calling(shared_instance) as callers:
        failed = shared_instance.up(expect=76)
        after = rows(shared_instance)
        eventually(lambda: {*shared_instance.containers()} == {*PLUGINS}, seconds=60.0)

    assert callers.failed == []
    assert [callers.turns(name) for name in PLUGINS] == [["two"]] * 4
    assert [row["rollout"]["state"] for row in after] == ["rolled_back"] * 4
    assert [row["rollout"]["revision"] for row in after] == [number + 1 for number in before]
    assert [row["rollout"]["serving"] for row in after] == before
    assert {row["status"] for row in after} == {"active"}
    assert failed.stderr.count("ROLLED BACK to revision") >= 4
    assert "it says: ImportError: it does crash" in failed.stderr
    _still_says_why(shared_instance)
    _stays_away_over_a_kill(shared_instance)
    _goes_through_when_mended(shared_instance, house)


def _stays_away_over_a_kill(instance: Instance) -> None:
    containers = instance.containers()
    os.kill(instance.daemon_pid(), signal.SIGKILL)
    eventually(lambda: not instance.processes())
    again = instance.up(expect=76)

    assert "ROLLED BACK" in again.stderr
    assert instance.containers() == containers
    assert instance.call("e2e-crash") == {"says": "two"}
    _still_says_why(instance)


def _still_says_why(instance: Instance) -> None:
    """The containers are gone, and their logs with them; one of them had never ended."""
    for name, does in FAULTS.items():
        said = f"ImportError: it does {does}"
        failed = instance.status(name)["failed_revision"]
        status = instance.run("status", name).stdout
        history = instance.run("rollout", "history", name).stdout

        assert failed["last_words"]["lines"][-1] == said
        assert f"before it failed\n  {said}" in status
        assert f"last lines of revision {failed['revision']} before it failed\n  {said}" in history
    assert "it does crash" not in instance.run("logs", "e2e-crash").stdout


def _goes_through_when_mended(instance: Instance, house: Workshop) -> None:
    instance.policy(**POLICY, rollout=ROLLOUT)
    deploy(house, "four")
    instance.up()

    assert [instance.call(name) for name in PLUGINS] == [{"says": "four"}] * 4
    assert [state for _, state in revisions(instance, ALONE)][-2:] == ["failed", "healthy"]


def _well(instance: Instance, revision: int) -> None:
    """There is something to go back to."""
    eventually(
        lambda: all(
            (row["rollout"]["revision"], row["rollout"]["state"]) == (revision, "completed")
            for row in rows(instance)
        )
    )
