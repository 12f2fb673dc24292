"""What doctor says of secrets."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.manager.deployment import Inputs
from orchestrator.manager.finding import Finding, Verdict
from orchestrator.manager.secret_check import secrets_finding
from orchestrator.manager.secrets import SecretReader


@pytest.fixture
def inputs(make: Any, tmp_path: Path) -> Inputs:
    (tmp_path / "token.txt").write_text("s3cret")
    (tmp_path / "token.txt").chmod(0o600)
    found: Inputs = make.inputs(
        info={"secrets": ("token",)},
        spec={"secrets": {"token": {"file": "token.txt"}}},
        origin=str(tmp_path / "m.yaml"),
        secret_files={"token": str(tmp_path / "token.txt")},
    )
    return found


def finding(*inputs: Inputs) -> Finding:
    return secrets_finding(inputs, SecretReader())


def test_secrets_that_can_be_read_by_who_must_are_fine(inputs: Inputs) -> None:
    assert (finding().verdict, finding().found) == (Verdict.OK, "none in use")
    assert (finding(inputs).verdict, finding(inputs).found) == (Verdict.OK, "1 in use")


def test_a_file_that_everybody_can_read_is_a_warning(inputs: Inputs, tmp_path: Path) -> None:
    (tmp_path / "token.txt").chmod(0o604)
    found = finding(inputs)

    assert found.verdict is Verdict.WARNING
    assert found.found == f"everybody on this machine can read {tmp_path / 'token.txt'}"


def test_one_that_cannot_be_read_is_a_problem_that_shows_no_value(
    inputs: Inputs, tmp_path: Path
) -> None:
    (tmp_path / "token.txt").write_text("s3cret" * 20_000)
    too_large = finding(inputs)
    (tmp_path / "token.txt").unlink()
    gone = finding(inputs)

    assert too_large.verdict is gone.verdict is Verdict.PROBLEM
    assert "No such file" in gone.found
    assert "s3cret" not in too_large.found


def test_variables_of_the_daemon_are_not_looked_for_here(make: Any) -> None:
    inputs = make.inputs(
        info={"secrets": ("token",)}, spec={"secrets": {"token": {"environment": "TOKEN"}}}
    )

    assert finding(inputs).verdict is Verdict.OK
