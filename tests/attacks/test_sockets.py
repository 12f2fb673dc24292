"""Sockets: what lies unread in them is the kernel's memory, and somebody must answer for it."""

import json
from pathlib import Path

import pytest

from tests.support.arena import MEMORY_MB, MIB, OPEN_FILES, Arena, on_gvisor_too
from tests.support.instance import eventually

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("bystanders"), on_gvisor_too]

PAGES_PER_MB = MIB // 4_096


def test_sockets_end_at_the_limit_of_open_files(arena: Arena) -> None:
    found = arena.attacker("flood_sockets", kind="unix", pairs=4 * OPEN_FILES, fill=False)

    assert found["error"] == "EMFILE"
    assert found["sockets"] < OPEN_FILES


def test_what_lies_unread_in_local_sockets_is_the_plugins_own_memory(arena: Arena) -> None:
    # No process owns that memory, so the kernel may well end the plugin rather than its child.
    lost = arena.lost
    answer = lost.result("flood_sockets", kind="unix", pairs=OPEN_FILES, fill=True)
    eventually(lost.answers, seconds=90)
    found = json.loads(answer.body)

    assert answer.status >= 500 or found["error"] == "SIGKILL" or found["mb"] <= arena.memory_mb


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_without_a_network_there_are_no_sockets_of_one_to_fill(arena: Arena, kind: str) -> None:
    before = _network_memory_mb()
    found = arena.attacker("flood_sockets", kind=kind, pairs=OPEN_FILES, fill=True)
    after = _network_memory_mb()

    # The first version of cgroups counts their memory for nobody, and the pool is the host's.
    assert found == {"error": "EPERM", "sockets": 0, "mb": 0}
    assert after < before + MEMORY_MB


def _network_memory_mb() -> float:
    """What TCP and UDP hold in memory, over the whole host."""
    words = Path("/proc/net/sockstat").read_text(encoding="ascii").split()
    pages = [int(words[i + 1]) for i, word in enumerate(words) if word == "mem"]
    return sum(pages) / PAGES_PER_MB
