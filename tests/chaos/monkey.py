"""Monkey: does to plugins' containers what programs, kernels and hands do, in any order."""

import contextlib
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import docker

from orchestrator.client.client import DaemonNotRunning
from tests.chaos.yard import Yard

OOM_BYTES = 6 << 20
"""An echo of so much does not fit into the 8 MiB of its plugin."""
CALL_SECONDS = 3.0


@dataclass
class Monkey:
    """Faults by name, counted. One thread's; its dice are its own."""

    yard: Yard
    client: docker.APIClient
    dice: random.Random
    spared: str = ""
    done: Counter[str] = field(default_factory=Counter)

    def act(self) -> None:
        """One fault, to one plugin that has a container now."""
        containers = self.yard.instance.containers()
        containers.pop(self.spared, None)
        if not containers:
            return
        plugin_id, container_id = self.dice.choice(sorted(containers.items()))
        name, fault = self.dice.choice(self._faults)
        # It may be gone, or not running, by the time that we come.
        with contextlib.suppress(docker.errors.APIError, ProcessLookupError, DaemonNotRunning):
            fault(self, plugin_id, container_id)
            self.done[name] += 1

    def _signal(self, container_id: str, number: signal.Signals) -> None:
        pid = self.client.inspect_container(container_id)["State"]["Pid"]
        if pid:
            os.kill(self._program_of(pid), number)

    def _program_of(self, init: int) -> int:
        """The plugin's own process: the container's first is docker-init."""
        with open(f"/proc/{init}/task/{init}/children") as file:  # noqa: PTH123 - may vanish
            children = file.read().split()
        return int(children[0]) if children else init

    def crash(self, plugin_id: str, container_id: str) -> None:
        self._signal(container_id, signal.SIGSEGV)

    def exit(self, plugin_id: str, container_id: str) -> None:
        self._signal(container_id, signal.SIGTERM)

    def hang(self, plugin_id: str, container_id: str) -> None:
        """It stands still, and is found out by a call that it does not answer."""
        self._signal(container_id, signal.SIGSTOP)
        call(self.yard, plugin_id, b"{}")

    def exhaust(self, plugin_id: str, container_id: str) -> None:
        call(self.yard, plugin_id, b'"%b"' % (b"x" * OOM_BYTES))

    def kill(self, plugin_id: str, container_id: str) -> None:
        self.client.kill(container_id)

    def stop(self, plugin_id: str, container_id: str) -> None:
        self.client.stop(container_id, timeout=1)

    def pause(self, plugin_id: str, container_id: str) -> None:
        self.client.pause(container_id)

    def remove(self, plugin_id: str, container_id: str) -> None:
        self.client.remove_container(container_id, force=True)

    @property
    def _faults(self) -> list[tuple[str, Callable[["Monkey", str, str], None]]]:
        kinds = ("crash", "exit", "hang", "exhaust", "kill", "stop", "pause", "remove")
        return [(kind, getattr(Monkey, kind)) for kind in kinds]


def call(yard: Yard, plugin_id: str, body: bytes) -> tuple[int, bytes]:
    result = yard.client.call(
        plugin_id,
        body,
        content_type="application/json",
        tool="echo",
        timeout_seconds=CALL_SECONDS,
    )
    return result.status, result.body


class Callers:
    """Threads that call plugins all the while, each call with words of its own."""

    def __init__(self, yard: Yard, *, threads: int) -> None:
        self.statuses: Counter[int] = Counter()
        self.wrong: list[tuple[bytes, bytes]] = []
        """(asked, answered) where 200 was not the call's own echo."""
        self._yard = yard
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(threads)]

    def __enter__(self) -> "Callers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        dice, plugins, count = random.Random(number), self._yard.wanted, 0  # noqa: S311
        while not self._stop.wait(0.02):
            count += 1
            body = b'{"caller":%d,"call":%d}' % (number, count)
            try:
                status, answer = call(self._yard, dice.choice(plugins), body)
            except DaemonNotRunning:
                self.statuses[0] += 1
                self._stop.wait(0.1)
                continue
            self.statuses[status] += 1
            if status == 200 and answer != body:
                self.wrong.append((body, answer))
