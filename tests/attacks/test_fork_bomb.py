"""Fork bombs: processes until there are no more, of one's own or of others."""

import pytest

from tests.support.arena import PIDS, Arena

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("bystanders")]


def test_a_fork_bomb_ends_at_the_limit_of_processes_and_the_plugin_lives(arena: Arena) -> None:
    attacker = arena.attacker
    before = attacker.status()
    found = attacker("spawn", count=200)

    assert found["error"] == "EAGAIN"
    assert PIDS // 2 < found["count"] < PIDS
    assert attacker.answers()
    assert attacker.status()["container_id"] == before["container_id"]
    assert attacker.status()["restarts"] == before["restarts"]


def test_one_plugins_fork_bomb_takes_no_process_from_another(arena: Arena) -> None:
    arena.attacker("spawn", count=200)
    found = arena.neighbour("spawn", count=PIDS // 2)

    assert found == {"error": "", "count": PIDS // 2}
