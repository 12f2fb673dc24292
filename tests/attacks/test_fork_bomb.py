"""Fork bombs: processes until there are no more, of one's own or of others."""

import pytest

from tests.support.arena import PIDS, Arena, on_gvisor_too
from tests.support.instance import eventually

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("bystanders")]

OWN = {"runc": PIDS // 2, "runsc": 4}
"""Each costs gVisor several threads, and memory."""


def test_a_fork_bomb_ends_at_the_limit_of_processes_and_the_plugin_lives(arena: Arena) -> None:
    attacker = arena.attacker
    before = attacker.status()
    found = attacker("spawn", count=200)

    assert found["error"] == "EAGAIN"
    assert PIDS // 2 < found["count"] < PIDS
    assert attacker.answers()
    assert attacker.status()["container_id"] == before["container_id"]
    assert attacker.status()["restarts"] == before["restarts"]


@on_gvisor_too
def test_one_plugins_fork_bomb_takes_no_process_from_another(arena: Arena) -> None:
    arena.doomed.result("spawn", count=2_000)  # of which gVisor makes an end as a whole
    found = arena.neighbour("spawn", count=OWN[arena.runtime])
    eventually(arena.doomed.answers, seconds=90)

    assert found == {"error": "", "count": OWN[arena.runtime]}
