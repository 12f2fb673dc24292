"""File descriptors: open until no more can be opened."""

import pytest

from tests.support.arena import OPEN_FILES, Arena, on_gvisor_too

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("bystanders"), on_gvisor_too]


def test_open_files_end_at_their_limit_and_the_plugin_lives(arena: Arena) -> None:
    attacker = arena.attacker
    found = attacker("open_files", count=4 * OPEN_FILES)

    assert found["error"] == "EMFILE"
    assert OPEN_FILES // 2 < found["count"] < OPEN_FILES
    assert attacker("limits")["nofile"] == [OPEN_FILES, OPEN_FILES]
    assert attacker.answers()
