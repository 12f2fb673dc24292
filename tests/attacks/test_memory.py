"""Memory: taken by the plugin, by its children, by files in memory."""

import pytest

from tests.support.arena import MEMORY_MB, TMP_MB, Arena, on_gvisor_too
from tests.support.instance import eventually

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("bystanders")]


@on_gvisor_too
def test_memory_below_the_limit_is_there_to_be_used(arena: Arena) -> None:
    found = arena.attacker("allocate", mb=MEMORY_MB // 2, in_child=True)

    assert found == {"error": "", "mb": MEMORY_MB // 2}


@on_gvisor_too
def test_a_plugin_above_its_memory_limit_is_killed_told_of_and_back(arena: Arena) -> None:
    lost = arena.lost
    before = lost.status()
    told = len(lost.events("died"))
    failed = lost.result("allocate", mb=200)
    eventually(
        lambda: (
            lost.status()["restarts"] == before["restarts"] + 1
            and lost.status()["status"] == "active"
            and lost.answers()
        ),
        seconds=60,
    )
    after = lost.instance.status("lost")

    assert failed.status >= 500
    assert (after["status"], after["reason"]) == ("active", "oom_killed")
    assert after["last_failure"]["reason"] == "oom_killed"
    assert [event["reason"] for event in lost.events("died")[told:]] == ["oom_killed"]
    assert "oom_killed" in lost.instance.run("status", "lost").stdout
    assert lost.instance.ps()["lost"]["reason"] == "oom_killed"


def test_a_child_above_the_memory_limit_dies_alone_and_is_told_of(arena: Arena) -> None:
    attacker = arena.attacker
    before = attacker.status()
    told = len(attacker.events("oom"))
    found = attacker("allocate", mb=200, in_child=True)
    eventually(lambda: len(attacker.events("oom")) > told)

    assert found["error"] == "SIGKILL"
    assert attacker.answers()
    assert attacker.status()["restarts"] == before["restarts"]


def test_files_in_memory_count_as_memory(arena: Arena) -> None:
    attacker = arena.attacker
    attacker("fill", path="/tmp/ballast", mb=TMP_MB - 1, keep=True)
    found = attacker("allocate", mb=MEMORY_MB - TMP_MB, in_child=True)
    attacker("remove", path="/tmp/ballast")

    assert found["error"] == "SIGKILL"
