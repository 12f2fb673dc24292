"""Thirty plugins that end in every way there is, for two minutes, called all the while.

In between the daemon is killed at random as well.
"""

import random
import time

import pytest

from tests.chaos.aftermath import EAR, Aftermath, Publisher
from tests.chaos.monkey import Callers, Monkey
from tests.chaos.yard import Yard
from tests.support.instance import Instance, engine
from tests.support.workshop import Workshop

pytestmark = [pytest.mark.docker, pytest.mark.chaos]

PLUGINS, DISKS = 30, 3
FOR_SECONDS = 120.0
EACH_SECONDS = 0.8
"""From fault to fault."""
DAEMON_LIVES_SECONDS = 25.0
SEED = 4
WRITES = ["file_system_write"]
EAR_NAME = "e2e-ear"
"""It hears the events that are published all the while; the monkey leaves its container alone."""
EACH_EVENT_SECONDS = 0.1


def test_thirty_plugins_with_random_ends_for_two_minutes_are_all_well_afterwards(
    instance: Instance, workshop: Workshop
) -> None:
    for number in range(PLUGINS):
        granted = {"permissions": WRITES} if number < DISKS else {}
        workshop.small(f"e2e-m{number:02}", info=granted, **granted)
    workshop.small(EAR_NAME, info=EAR)
    yard = Yard(instance)
    with yard.open(), engine() as client:
        yard.start()
        yard.up()
        yard.converged()
        aftermath = Aftermath(yard, ear=EAR_NAME)
        monkey = Monkey(yard, client, random.Random(SEED), spared=EAR_NAME)  # noqa: S311
        publisher = Publisher(aftermath, every_seconds=EACH_EVENT_SECONDS)
        with Callers(yard, threads=2) as callers, publisher:
            _torment(yard, monkey, aftermath)
        yard.up()  # whatever failed too often, and was given up, is given another chance
        aftermath.check()

    assert callers.wrong == []
    assert callers.statuses[200] > PLUGINS
    assert len(monkey.done) == 8, monkey.done
    assert len(aftermath.accepted) > PLUGINS


def _torment(yard: Yard, monkey: Monkey, aftermath: Aftermath) -> None:
    until = time.monotonic() + FOR_SECONDS
    due = time.monotonic() + DAEMON_LIVES_SECONDS
    while time.monotonic() < until:
        monkey.act()
        if time.monotonic() > due:
            aftermath.note()
            yard.kill()
            yard.start()
            due = time.monotonic() + DAEMON_LIVES_SECONDS
        time.sleep(EACH_SECONDS * monkey.dice.random() * 2)
