"""Thirty plugins that end in every way there is, for two minutes, called all the while.

In between the daemon is killed at random as well.
"""

import random
import time

import pytest

from tests.chaos.monkey import Callers, Monkey
from tests.chaos.yard import Yard
from tests.support.instance import Instance, engine, eventually
from tests.support.workshop import Workshop

pytestmark = [pytest.mark.docker, pytest.mark.chaos]

PLUGINS, DISKS = 30, 3
FOR_SECONDS = 120.0
EACH_SECONDS = 0.8
"""From fault to fault."""
DAEMON_LIVES_SECONDS = 25.0
SEED = 4
WRITES = ["file_system_write"]
MOST_FILES, MOST_THREADS = 64, 8
"""More than before: clients of the engine keep some connections."""


def test_thirty_plugins_with_random_ends_for_two_minutes_are_all_well_afterwards(
    instance: Instance, workshop: Workshop
) -> None:
    for number in range(PLUGINS):
        granted = {"permissions": WRITES} if number < DISKS else {}
        workshop.small(f"e2e-m{number:02}", info=granted, **granted)
    yard = Yard(instance)
    with yard.open(), engine() as client:
        yard.start()
        yard.up()
        yard.converged()
        before = (yard.open_files, yard.threads)
        monkey = Monkey(yard, client, random.Random(SEED))  # noqa: S311
        with Callers(yard, threads=2) as callers:
            _torment(yard, monkey)
        yard.up()  # whatever failed too often, and was given up, is given another chance
        yard.converged()
        left, whole = yard.left_over(), yard.audit_is_whole()
        answers = {yard.echo(name) for name in yard.wanted}
        disks = (len(instance.volumes()), len(instance.loop_devices()))
        eventually(lambda: yard.open_files <= before[0] + MOST_FILES, seconds=90)
        threads = yard.threads

    assert callers.wrong == []
    assert left == []
    assert answers == {200}
    assert callers.statuses[200] > PLUGINS
    assert len(monkey.done) == 8, monkey.done
    assert whole
    assert disks == (DISKS, DISKS)
    assert threads <= before[1] + MOST_THREADS


def _torment(yard: Yard, monkey: Monkey) -> None:
    until = time.monotonic() + FOR_SECONDS
    due = time.monotonic() + DAEMON_LIVES_SECONDS
    while time.monotonic() < until:
        monkey.act()
        if time.monotonic() > due:
            yard.kill()
            yard.start()
            due = time.monotonic() + DAEMON_LIVES_SECONDS
        time.sleep(EACH_SECONDS * monkey.dice.random() * 2)
