"""The daemon is killed at random while events are published: what it accepted is delivered."""

import random
import time

import pytest

from tests.chaos.aftermath import EAR, Aftermath, Publisher
from tests.chaos.yard import Yard
from tests.support.instance import Instance
from tests.support.workshop import Workshop

pytestmark = [pytest.mark.docker, pytest.mark.chaos]

KILLS, SEED = 6, 7
AT_MOST_SECONDS = 0.8
"""Between a daemon's start and its end."""


def test_every_accepted_event_is_delivered_in_order_however_often_the_daemon_is_killed(
    instance: Instance, workshop: Workshop
) -> None:
    workshop.small("e2e-ear", info=EAR)
    yard, dice = Yard(instance), random.Random(SEED)  # noqa: S311
    with yard.open():
        yard.start()
        yard.up()
        yard.converged()
        aftermath = Aftermath(yard, ear="e2e-ear")
        with Publisher(aftermath):
            for _ in range(KILLS):
                time.sleep(AT_MOST_SECONDS * dice.random())
                yard.kill()
                yard.start()
            yard.converged()
        aftermath.check()

    assert len(aftermath.accepted) > KILLS
