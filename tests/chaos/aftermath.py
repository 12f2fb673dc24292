"""Aftermath: what must hold after every scene over the real engine, whatever was done meanwhile.

All is as the manifests say and answers; nothing is left of what is no more, on the host or in the
daemon; every event that was accepted arrived, in its order; the audit log is whole.
"""

import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from orchestrator.client.client import DaemonNotRunning
from orchestrator.client.events import EventsClient
from orchestrator.client.problem import DaemonProblem
from tests.chaos.yard import SECONDS, Yard
from tests.support.instance import eventually

EAR: Final[dict[str, Any]] = {"subscribes": ["chaos.*"]}
"""Metadata of the plugin that hears what is published."""
MORE: Final = {"sockets": 64, "files": 3, "threads": 2}
"""Than before, with as many plugins. Sockets: 49 more connections to the engine were seen after a
full disk, kept by the SDK's clients; why as many is not known."""
UNDER_LOAD: Final = 4
"""Times as much while much is going on."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a daemon holds of the machine."""

    sockets: int
    files: int
    """Descriptors of anything else."""
    threads: int

    def beyond(self, before: "Footprint", times: int = 1) -> list[str]:
        """What is more than it was, and than may be."""
        return [
            f"{kind}: {now} after {then}"
            for kind, more in MORE.items()
            if (now := getattr(self, kind)) > (then := getattr(before, kind)) + more * times
        ]


def footprint(pid: int) -> Footprint:
    """Of a process that runs."""
    links = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.append(str(path.readlink()))
        except FileNotFoundError:  # closed meanwhile
            continue
    sockets = sum(link.startswith("socket:") for link in links)
    threads = len([*Path(f"/proc/{pid}/task").iterdir()])
    return Footprint(sockets, len(links) - sockets, threads)


class Aftermath:
    """Made while all is well; `check` at the end."""

    def __init__(self, yard: Yard, *, ear: str = "") -> None:
        """`ear` is the plugin with EAR in its metadata, if one runs; its container must stay."""
        self.accepted: list[str] = []
        """Ids of events that the daemon took for sure, in their order."""
        self._yard = yard
        self._ear = ear
        self._events = EventsClient(yard.home / "daemon.sock")
        self._before = footprint(yard.pid)
        self._noted: list[Footprint] = []

    def note(self) -> None:
        """What the daemon holds now, in the middle of it all; it may be killed next."""
        self._noted.append(footprint(self._yard.pid))

    def publish(self) -> bool:
        """Whether an event more was accepted."""
        try:
            event_id = self._events.publish_event("chaos.tick", subject="", data={}, who="chaos")
        except (DaemonNotRunning, DaemonProblem):
            return False
        self.accepted.append(event_id)
        return True

    def heard(self) -> list[str]:
        """Ids of the events that the ear took, each once, in the order in which they first came."""
        lines = (line for line in self._yard.log_of(self._ear) if line.startswith("event "))
        return [*dict.fromkeys(json.loads(line.removeprefix("event "))["id"] for line in lines)]

    def check(self) -> None:
        """Waits for what takes a while, and says what never came to be."""
        yard = self._yard
        yard.converged()
        if self._ear:
            self._check_events()
        answers = [yard.echo(name) for name in yard.wanted]
        disks = [len(yard.instance.volumes()), len(yard.instance.loop_devices())]

        assert yard.left_over() == []  # containers, networks, sockets, secrets, mounts
        assert disks == [yard.disks_wanted] * 2
        assert answers == [200] * len(yard.wanted)
        assert yard.audit_is_whole()
        self._check_footprint()

    def _check_events(self) -> None:
        ours = {*self.accepted}
        eventually(lambda: ours <= {*self.heard()}, seconds=SECONDS)

        assert [each for each in self.heard() if each in ours] == self.accepted
        assert self._events.dead_events(plugin="", count=1) == []

    def _check_footprint(self) -> None:
        noted = [found for each in self._noted for found in each.beyond(self._before, UNDER_LOAD)]
        assert noted == []
        last: list[str] = []

        def small() -> bool:
            last[:] = footprint(self._yard.pid).beyond(self._before)
            return not last

        try:
            eventually(small, seconds=SECONDS)
        except AssertionError as error:
            raise AssertionError(last) from error


class Publisher(threading.Thread):
    """Publishes one after another until it is `ended`."""

    def __init__(self, aftermath: Aftermath, *, every_seconds: float = 0.005) -> None:
        super().__init__()
        self.ended = threading.Event()
        self._aftermath = aftermath
        self._every_seconds = every_seconds

    def __enter__(self) -> "Publisher":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.join()

    def run(self) -> None:
        while not self.ended.wait(self._every_seconds):
            if not self._aftermath.publish():
                self.ended.wait(0.02)
