"""`kill -9` of the daemon at every boundary of a deployment, a change and a removal."""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator.client.client import DaemonNotRunning
from tests.chaos.yard import Yard
from tests.support.instance import Instance, new_name
from tests.support.workshop import Workshop

pytestmark = [pytest.mark.docker, pytest.mark.chaos]

WRITES = ["file_system_write"]
MANY = 60
"""More boundaries than any `up` here has."""


def deploy(workshop: Workshop) -> None:
    """`ask` needs `base`; `disk` has /data."""
    workshop.small("e2e-base")
    workshop.small("e2e-ask", info={"dependencies": ["e2e-base"]})
    workshop.small("e2e-disk", info={"permissions": WRITES}, permissions=WRITES)


def change(workshop: Workshop) -> None:
    """`disk` has to stop before it starts anew; calls to `base` move over."""
    newer = {"version": "2.0.0"}
    workshop.small("e2e-base", info=newer)
    workshop.small("e2e-disk", info={"permissions": WRITES, **newer}, permissions=WRITES)


def remove(workshop: Workshop) -> None:
    for name in ("e2e-ask", "e2e-base"):
        (workshop.instance.manifests / f"{name}.yaml").unlink()


ROUND = [deploy, change, remove]


@pytest.fixture
def neighbour(tmp_path: Path) -> Iterator[Instance]:
    """A second one: the two go round side by side, for each mostly waits."""
    made = Instance(tmp_path / "neighbour", new_name())
    yield made
    made.destroy()
    left = made.left_over()
    made.purge()
    assert left == []


def test_a_daemon_killed_at_any_boundary_is_made_good_by_the_next(
    instance: Instance, neighbour: Instance, binary: Path, images: None
) -> None:
    """Before each; after it is before the next. One takes the odd ones, the other the even ones."""
    shops = [Workshop(instance, binary), Workshop(neighbour, binary)]
    with ThreadPoolExecutor() as threads:
        boundaries = [*threads.map(_go_round, shops, (1, 2))]

    assert [12 < each < MANY - 1 for each in boundaries] == [True, True]


def _go_round(workshop: Workshop, first: int) -> int:
    """Each time two boundaries later, until no step has so many; how many there were."""
    yard, left, at = Yard(workshop.instance), ROUND, first
    # An update would wait two seconds, each time, to see that the new one stays well.
    workshop.instance.policy(rollout={"min_healthy_seconds": 0})
    with yard.open():
        yard.start()
        while left and at < MANY:
            left = [write for write in ROUND if _step(yard, workshop, write, left, f"before {at}")]
            at += 2
    return at


def _step(
    yard: Yard,
    workshop: Workshop,
    write: Callable[[Workshop], None],
    left: list[Callable[[Workshop], None]],
    moment: str,
) -> bool:
    """One `up`, its daemon killed at that boundary if it has so many, and all that must hold."""
    write(workshop)
    if write in left:
        yard.arm(moment)
    answered = False
    with contextlib.suppress(DaemonNotRunning):
        yard.up()
        answered = True
    yard.killed_or_converged()
    yard.disarm()
    killed = not yard.lives  # what it still did after all was well may have been the boundary
    if killed:
        yard.start()
        if not answered:
            yard.up()
        yard.converged()
    where = f"{write.__name__}, {moment}: {yard.said}"
    try:
        _check(yard, where)
    except DaemonNotRunning:
        if yard.lives:
            raise
        # It was at its boundary just before it was disarmed.
        killed = True
        yard.start()
        yard.converged()
        _check(yard, where)
    return killed


def _check(yard: Yard, where: str) -> None:
    assert yard.left_over() == [], where
    assert len(yard.instance.volumes()) == len(yard.instance.loop_devices()) == 1, where
    assert yard.audit_is_whole(), where
    assert [yard.echo(name) for name in yard.wanted] == [200] * len(yard.wanted), where
