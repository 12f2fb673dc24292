"""Signals: to the host's processes, to other plugins', to whatever can be reached."""

import signal

import pytest

from tests.support.arena import Arena, on_gvisor_too
from tests.support.instance import eventually

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("bystanders"), on_gvisor_too]


def test_the_numbers_of_the_hosts_processes_mean_nothing_to_it(arena: Arena) -> None:
    own = {each["pid"] for each in arena.attacker("processes")}
    theirs = {
        "daemon": arena.instance.daemon_pid(),
        "neighbour": arena.neighbour.inspect()["State"]["Pid"],
        "itself, as the host numbers it": arena.attacker.inspect()["State"]["Pid"],
    }
    found = {
        name: arena.attacker("signal", pid=pid, number=signal.SIGKILL)["error"]
        for name, pid in theirs.items()
    }

    assert not own & set(theirs.values())
    assert set(found.values()) == {"ESRCH"}


def test_a_signal_to_everybody_ends_nobody_but_its_own(arena: Arena) -> None:
    doomed = arena.doomed
    before = doomed.status()["restarts"]
    doomed.result("signal", pid=-1, number=signal.SIGKILL)
    eventually(lambda: doomed.status()["restarts"] == before + 1 and doomed.answers(), seconds=90)

    assert arena.attacker.answers()
    assert arena.keeper.answers()


@pytest.mark.parametrize("pid", [0, -2, 2**22])
def test_groups_and_numbers_at_a_guess_are_its_own_or_nobody(arena: Arena, pid: int) -> None:
    found = arena.attacker("signal", pid=pid, number=0)

    assert found["error"] in {"", "ESRCH"}
