"""Logs: output without end, which the engine writes to the host's disk."""

import time
from pathlib import Path

import pytest

from tests.support.arena import LOG_MB, MIB, Arena, on_gvisor_too

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("bystanders"), on_gvisor_too]


def test_a_flood_of_output_fills_no_more_than_two_log_files(arena: Arena) -> None:
    attacker = arena.attacker
    folder = Path(attacker.inspect()["LogPath"]).parent
    attacker("shout", mb=20)
    time.sleep(0.5)  # what lies in the pipe is still on its way
    sizes = [path.stat().st_size for path in folder.glob("*-json.log*")]

    assert len(sizes) == 2
    # A file is changed when it is past its size: by one line at most, of 16 KiB and its frame.
    assert MIB < sum(sizes) <= 2 * (LOG_MB * MIB + 32_768)
    assert attacker.answers()
