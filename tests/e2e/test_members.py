"""Plugins with several containers: an update that no caller notices, replicas, sleep."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from orchestrator.client.client import DaemonClient
from tests.support.instance import Instance, eventually
from tests.support.workshop import Workshop

pytestmark = pytest.mark.docker
CALLERS = 4
WHO = """
import os
from orchestrator_sdk import PluginInterface

class Plugin(PluginInterface):
    def execute(self, data):
        return {"who": os.environ["ORCHESTRATOR_INSTANCE_ID"]}
"""


class Callers:
    """Callers who call one plugin all the time; what did not come back as it should is kept."""

    def __init__(self, instance: Instance, plugin: str) -> None:
        self._client = DaemonClient(instance.home / instance.name / "daemon.sock")
        self._plugin = plugin
        self._over = threading.Event()
        self.answered = 0
        self.failed: list[str] = []

    @contextmanager
    def at_it(self) -> Iterator["Callers"]:
        threads = [threading.Thread(target=self._run) for _ in range(CALLERS)]
        for thread in threads:
            thread.start()
        try:
            eventually(lambda: self.answered > CALLERS)
            yield self
            before = self.answered
            eventually(lambda: self.answered > before + CALLERS)
        finally:
            self._over.set()
            for thread in threads:
                thread.join(60)

    def _run(self) -> None:
        while not self._over.is_set():
            result = self._client.call(
                self._plugin, b"{}", tool=None, content_type="application/json", timeout_seconds=60
            )
            if result.status == 200:
                self.answered += 1
            else:
                self.failed.append(f"{result.status}: {result.body[:300]!r}")


@pytest.mark.parametrize(
    ("permissions", "alone"), [([], False), (["file_system_write"], True)], ids=["beside", "alone"]
)
def test_no_call_fails_while_a_plugin_is_updated(
    shared_instance: Instance, shared_workshop: Workshop, permissions: list[str], *, alone: bool
) -> None:
    plugin = f"e2e-{'alone' if alone else 'beside'}"
    shared_workshop.small(
        plugin,
        info={"permissions": permissions, "limits": {"max_disk_mb": 8}},
        permissions=permissions,
    )
    shared_instance.up()
    [old] = shared_instance.containers_of(plugin)
    most = 0
    over = threading.Event()

    def watch() -> None:
        nonlocal most
        while not over.is_set():
            running = [s for s in shared_instance.containers_of(plugin).values() if s == "running"]
            most = max(most, len(running))

    watcher = threading.Thread(target=watch)
    slow: list[Any] = []
    caller = threading.Thread(
        target=lambda: slow.append(shared_instance.call(plugin, {"seconds": 3}, tool="sleep"))
    )
    with Callers(shared_instance, plugin).at_it() as callers:
        watcher.start()
        caller.start()
        shared_workshop.revise(plugin, version="1.0.1")
        shared_instance.up()
        over.set()
        caller.join(60)
        watcher.join(60)
    [new] = shared_instance.containers_of(plugin)
    row = shared_instance.ps()[plugin]

    assert callers.failed == []
    assert len(slow) == 1
    assert new != old
    assert (row["version"], row["status"], row["settled"]) == ("1.0.1", "active", True)
    assert most == (1 if alone else 2)


def test_replicas_share_the_calls_and_one_that_ends_costs_only_itself(
    shared_instance: Instance, shared_workshop: Workshop
) -> None:
    shared_workshop.script("e2e-many", WHO, replicas=3)
    shared_instance.up()
    members = shared_instance.containers_of("e2e-many")
    seen: set[str] = set()

    def all_asked() -> bool:
        threads = [
            threading.Thread(target=lambda: seen.add(shared_instance.call("e2e-many", {})["who"]))
            for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        return len(seen) == 3

    assert len(members) == 3
    assert shared_instance.ps()["e2e-many"]["detail"] == "running, 3 replicas"
    eventually(all_asked, seconds=60.0)
    shared_workshop.script("e2e-many", WHO, replicas=1)
    shared_instance.up()
    left = shared_instance.containers_of("e2e-many")

    assert len(left) == 1
    assert left.keys() <= members.keys()
    assert shared_instance.ps()["e2e-many"]["restarts"] == 0


def test_what_nobody_calls_is_paused_then_stopped_and_woken_by_the_next_call(
    shared_instance: Instance, shared_workshop: Workshop
) -> None:
    shared_instance.policy(lifecycle={"idle_stop_seconds": 8})
    shared_workshop.small("e2e-sleeper", idle_timeout=1.5)
    shared_instance.up("--config", str(shared_instance.config))

    def states() -> list[str]:
        return list(shared_instance.containers_of("e2e-sleeper").values())

    eventually(lambda: states() == ["paused"])
    woken = shared_instance.call("e2e-sleeper", {"wake": "up"})
    eventually(lambda: states() == [], seconds=60)
    idle = shared_instance.ps()["e2e-sleeper"]
    started = shared_instance.call("e2e-sleeper", {"and": "again"})

    assert woken == {"wake": "up"}
    assert started == {"and": "again"}
    assert (idle["status"], idle["restarts"]) == ("active", 0)
    assert idle["detail"].startswith("idle")
