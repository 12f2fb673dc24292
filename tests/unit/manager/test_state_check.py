"""What doctor says of the state file."""

from pathlib import Path

import pytest

from orchestrator.manager.finding import Verdict
from orchestrator.manager.state_check import state_file
from orchestrator.store.rebuild import open_or_rebuild


@pytest.fixture
def state(tmp_path: Path) -> Path:
    path = tmp_path / "state.db"
    open_or_rebuild(path, now=0.0, expected=False).close()
    return path


def test_a_sound_file_is_fine(state: Path) -> None:
    assert state_file(state).verdict is Verdict.OK


def test_no_file_is_fine_before_the_first_start(tmp_path: Path) -> None:
    assert state_file(tmp_path / "state.db").found == "not there yet; the daemon makes it"


def test_a_damaged_file_is_a_problem_and_says_what_to_do(state: Path) -> None:
    state.write_bytes(b"")
    found = state_file(state)

    assert found.verdict is Verdict.PROBLEM
    assert "start the daemon anew" in found.advice


def test_a_file_that_was_damaged_before_is_pointed_at(state: Path) -> None:
    state.write_bytes(b"")
    open_or_rebuild(state, now=0.0, expected=True).close()
    found = state_file(state)

    assert found.verdict is Verdict.WARNING
    assert "1 damaged before: state.corrupt-19700101T000000.db" in found.found
