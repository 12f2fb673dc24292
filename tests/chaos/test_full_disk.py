"""The disk of the state folder is filled to its last byte, and freed again."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.aftermath import EAR, Aftermath
from tests.chaos.yard import SECONDS, Yard
from tests.support.instance import Instance, eventually
from tests.support.workshop import Workshop

pytestmark = [pytest.mark.docker, pytest.mark.chaos]


@pytest.fixture
def small_disk(instance: Instance) -> Iterator[Path]:
    """The home of all state, on a file system of its own."""
    instance.home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", instance.home], check=True)
    yield instance.home
    instance.destroy()
    subprocess.run(["umount", "--lazy", instance.home], check=True)


def fill(disk: Path) -> Path:
    """To the last byte, as an unbuffered writer finds it."""
    path = disk / "filler"
    with path.open("ab", buffering=0) as file:
        for size in (1 << 16, 1 << 10, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return path


def test_a_full_disk_is_told_and_survived_and_nothing_is_lost_when_there_is_room_again(
    small_disk: Path, instance: Instance, workshop: Workshop
) -> None:
    workshop.small("e2e-one", info=EAR)
    workshop.small("e2e-two", info={"dependencies": ["e2e-one"]})
    yard = Yard(instance)
    with yard.open():
        yard.start()
        yard.up()
        yard.converged()
        aftermath = Aftermath(yard, ear="e2e-one")
        taken = [aftermath.publish()]
        pid, filler = yard.pid, fill(small_disk)
        taken.append(aftermath.publish())
        answered, told, refused = _live_without_room(yard, workshop)
        still = [row["plugin_id"] for row in yard.rows()]
        filler.unlink()
        _make_good(yard)
        survivor = yard.pid if yard.lives else 0
        taken.append(aftermath.publish())
        aftermath.check()
        taken.append(aftermath.publish())
        yard.kill()
        yard.start()
        aftermath.check()

    assert answered == 200
    assert survivor == pid
    assert "full" in told
    assert "[store_unavailable]" in refused
    assert still == ["e2e-one", "e2e-two"]
    assert taken == [True, False, True, True]


def _make_good(yard: Yard) -> None:
    """What was refused goes through, and goes again: as many run as before."""
    yard.up()
    yard.converged()
    eventually(lambda: not yard.client.status()["state_trouble"], seconds=SECONDS)
    (yard.instance.manifests / "e2e-three.yaml").unlink()
    yard.up()


def _live_without_room(yard: Yard, workshop: Workshop) -> tuple[int, str, str]:
    """A call, a plugin's end and return, an `up`: what the first, status and the last say."""
    answered = yard.echo("e2e-one")
    os.kill(int(yard.instance.inspect("e2e-one")["State"]["Pid"]), signal.SIGKILL)
    eventually(lambda: _restarts(yard, "e2e-one") == 1, seconds=SECONDS)
    yard.converged()
    told: str = yard.client.status()["state_trouble"]
    workshop.small("e2e-three")
    manifests = str(yard.instance.manifests)
    refused = yard.instance.run("up", "--detach", manifests, expect=None).stderr
    return answered, told, refused


def _restarts(yard: Yard, plugin_id: str) -> int:
    restarts: int = yard.client.plugin(plugin_id)["restarts"]
    return restarts
