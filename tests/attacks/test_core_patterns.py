"""Core dumps: a pattern that begins with a pipe is a program that the host runs as root."""

from pathlib import Path

import pytest

from tests.support.arena import Arena, on_gvisor_too

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("bystanders"), on_gvisor_too]

PATTERN = "/proc/sys/kernel/core_pattern"


@pytest.mark.parametrize("root", ["", "/proc/1/root", "/proc/self/root", "/proc/thread-self/root"])
def test_it_cannot_set_the_program_that_takes_dumps(arena: Arena, root: str) -> None:
    # The file exists and says whose it is; had the write gone through, the host would say so too.
    found = arena.attacker("write", path=f"{root}{PATTERN}", text="|/tmp/agent")

    assert found["error"] in {"EACCES", "EROFS"}
    assert Path(PATTERN).read_text(encoding="utf-8") != "|/tmp/agent\n"


def test_a_crash_leaves_no_dump_anywhere(arena: Arena) -> None:
    found = arena.attacker("crash")

    assert arena.attacker("limits")["core"] == [0, 0]
    assert found == {"signal": 11, "dumped": False}
    assert arena.attacker("list", path="/tmp")["result"] == []


def test_its_dumps_cannot_be_switched_on(arena: Arena) -> None:
    found = arena.attacker("raise_limit", name="core", value=1 << 20)

    assert found["error"] in {"EPERM", "EINVAL"}
    assert arena.attacker("limits")["core"] == [0, 0]
