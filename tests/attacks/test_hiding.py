"""Hiding: under another's name, from the daemon, from the out-of-memory killer, behind init."""

import signal
from pathlib import Path

import pytest

from tests.support.arena import Arena, on_gvisor_too
from tests.support.instance import engine, eventually

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("bystanders")]


def test_a_process_under_another_name_is_still_its_own_to_the_engine(arena: Arena) -> None:
    attacker = arena.attacker
    hidden = attacker("hide", name="kworker/0:0")["pid"]
    try:
        with engine() as client:
            listed = client.top(attacker.status()["container_id"])
        column = listed["Titles"].index("PID")
        names = {
            Path("/proc", row[column], "comm").read_text().strip() for row in listed["Processes"]
        }
    finally:
        attacker("signal", pid=hidden, number=signal.SIGKILL)

    assert "kworker/0:0" in names


def test_what_hides_from_its_plugins_end_ends_with_it(arena: Arena) -> None:
    doomed = arena.doomed
    before = doomed.status()
    doomed("hide", name="outlives")
    hidden = eventually(lambda: _on_host("outlives"))
    doomed.result("signal", pid=-1, number=signal.SIGTERM)  # the hidden one is deaf to it
    eventually(
        lambda: doomed.status()["restarts"] > before["restarts"] and doomed.answers(), seconds=90
    )

    assert len(hidden) == 1
    assert _on_host("outlives") == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV])
def test_its_init_cannot_be_killed_from_inside(arena: Arena, number: int) -> None:
    before = arena.attacker.status()["restarts"]
    arena.attacker("signal", pid=1, number=number)
    processes = {each["pid"]: each for each in arena.attacker("processes")}

    assert processes[1]["name"] == "docker-init"
    assert processes[1]["state"] in {"S", "R"}
    assert arena.attacker.status()["restarts"] == before


@on_gvisor_too
def test_asking_its_init_to_end_ends_the_plugin_and_is_told_of(arena: Arena) -> None:
    doomed = arena.doomed
    before = doomed.status()["restarts"]
    told = len(doomed.events("died"))
    doomed.result("signal", pid=1, number=signal.SIGTERM)
    eventually(lambda: doomed.status()["restarts"] == before + 1 and doomed.answers(), seconds=90)

    assert len(doomed.events("died")) == told + 1
    assert doomed.instance.status("doomed")["reason"].startswith("exit_code_")


def test_it_cannot_hide_from_the_oom_killer_behind_the_host(arena: Arena) -> None:
    # Down to the engine's own value an engine without CAP_SYS_RESOURCE would let it; never below.
    own = int(Path("/proc/self/oom_score_adj").read_text(encoding="ascii"))
    found = arena.attacker("write", path="/proc/self/oom_score_adj", text=str(own - 1))

    assert found["error"] == "EACCES"


def _on_host(name: str) -> list[int]:
    """Processes of plugins that go by that name, as the host sees them."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = status.read_text(encoding="utf-8").splitlines()
        except OSError:
            continue  # it ended meanwhile
        if lines[0].split()[1:] == [name]:
            found.append(int(status.parent.name))
    return found
