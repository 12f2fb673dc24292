"""The faults of docs/reliability.md: every one that was promised, every test that exists."""

import re

from tests.unit.pages import ROOT, table

FOLDER = "tests/chaos"
FAULTS = {
    "the daemon is killed at any step of what it does by itself",
    "the daemon is killed at any step of a deployment, a change or a removal",
    "the daemon is killed at random under load",
    "the daemon is killed at random while events are published",
    "plugins crash, exit, hang, run out of memory",
    "plugins are killed, stopped, paused or removed behind the daemon's back",
    "the engine is killed and started again",
    "the disk of the state folder is full",
    "the clock is set forth or back",
    "the network behind a broker is cut",
}
"""Every fault that must be survived."""


def _rows() -> list[list[str]]:
    return table("docs/reliability.md", "Faults survived", first="fault")


def test_every_fault_has_its_row_and_no_row_is_beside_them() -> None:
    faults = [fault for fault, *_ in _rows()]

    assert len(faults) == len(set(faults))
    assert set(faults) == FAULTS


def test_every_chaos_test_has_a_row_and_every_rows_files_exist() -> None:
    cited = {name for *_, tests in _rows() for name in tests.split(", ")}
    files = {f"{FOLDER}/{path.name}" for path in (ROOT / FOLDER).glob("test_*.py")}

    assert files <= cited
    assert [name for name in sorted(cited) if not (ROOT / name).is_file()] == []


def test_every_row_says_what_is_noticed_and_what_holds_it() -> None:
    assert [row[0] for row in _rows() if min(map(len, row[1:3])) < 8] == []


def test_every_chaos_test_carries_the_marker() -> None:
    marker = re.compile(r"^pytestmark = .*chaos", re.MULTILINE)
    careless = [
        path.name
        for path in (ROOT / FOLDER).glob("test_*.py")
        if not marker.search(path.read_text(encoding="utf-8"))
    ]

    assert careless == []
