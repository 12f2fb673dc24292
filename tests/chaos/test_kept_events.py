"""The daemon is killed at random while events are published: what it accepted is delivered."""

import json
import random
import threading
import time

import pytest

from orchestrator.client.client import DaemonNotRunning
from orchestrator.client.events import EventsClient
from orchestrator.client.problem import DaemonProblem
from tests.chaos.yard import SECONDS, Yard
from tests.support.instance import Instance, engine, eventually
from tests.support.workshop import Workshop

pytestmark = [pytest.mark.docker, pytest.mark.chaos]

KILLS, SEED = 6, 7
AT_MOST_SECONDS = 0.8
"""Between a daemon's start and its end."""


class Publisher(threading.Thread):
    """Publishes one after another; what was not accepted for sure is never counted."""

    def __init__(self, yard: Yard) -> None:
        super().__init__()
        self.accepted: list[str] = []
        """Ids in their order."""
        self._client = EventsClient(yard.home / "daemon.sock")
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.005):
            try:
                self.accepted.append(
                    self._client.publish_event("chaos.tick", subject="", data={}, who="chaos")
                )
            except (DaemonNotRunning, DaemonProblem):
                self.ended.wait(0.02)


def test_every_accepted_event_is_delivered_in_order_however_often_the_daemon_is_killed(
    instance: Instance, workshop: Workshop
) -> None:
    workshop.small("e2e-ear", info={"subscribes": ["chaos.*"]})
    yard, dice = Yard(instance), random.Random(SEED)  # noqa: S311
    with yard.open():
        yard.start()
        yard.up()
        yard.converged()
        publisher = Publisher(yard)
        publisher.start()
        for _ in range(KILLS):
            time.sleep(AT_MOST_SECONDS * dice.random())
            yard.kill()
            yard.start()
        yard.converged()
        publisher.ended.set()
        publisher.join()
        eventually(lambda: {*publisher.accepted} <= {*_heard(yard)}, seconds=SECONDS)
        heard = list(dict.fromkeys(_heard(yard)))
        whole = yard.audit_is_whole()

    assert len(publisher.accepted) > KILLS
    ours = {*publisher.accepted}
    assert [each for each in heard if each in ours] == publisher.accepted
    assert whole


def _heard(yard: Yard) -> list[str]:
    """Ids of the events that the plugin took, in that order, those told again too."""
    [container] = yard.containers()
    with engine() as client:
        log = client.logs(container["Id"]).decode()
    lines = (line for line in log.splitlines() if line.startswith("event "))
    return [json.loads(line.removeprefix("event "))["id"] for line in lines]
