"""`orchestrator run-code`: what it sends, what it shows, how it exits."""

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.exits import BY_KIND, OK
from orchestrator.sandbox.code_result import END_KIND, CodeEnd
from tests.unit.cli.conftest import Shell
from tests.unit.cli.fake_daemon import FakeDaemon
from tests.unit.pages import table

ANSWER = {
    "reason": "ok",
    "result": 3,
    "stdout": "",
    "stderr": "",
    "stdout_truncated": False,
    "stderr_truncated": False,
    "detail": "",
    "duration_seconds": 0.1,
}


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "script.py"
    path.write_text("1 + 2")
    return str(path)


def asked(daemon: FakeDaemon) -> Any:
    return json.loads(daemon.asked[-1].body)


def test_a_permission_that_comes_again_adds_to_the_first(
    shell: Shell, daemon: FakeDaemon, script: str
) -> None:
    daemon.answer("/v1/code", ANSWER)
    words = [
        "file_system_write",
        "file_system_read=a,b",
        "file_system_read=c",
        "external_api=x.test:443",
        "plugin_communication=notes",
    ]
    shell("run-code", *(word for w in words for word in ("--permission", w)), script)

    assert asked(daemon)["permissions"] == [
        {"file_system_write": {}},
        {"file_system_read": {"shares": ["a", "b", "c"]}},
        {"external_api": {"hosts": ["x.test:443"]}},
        {"plugin_communication": {"plugins": ["notes"]}},
    ]


def test_output_that_was_cut_is_marked_on_standard_error(
    shell: Shell, daemon: FakeDaemon, script: str
) -> None:
    daemon.answer("/v1/code", {**ANSWER, "stdout": "much", "stdout_truncated": True})
    shown = shell("run-code", script)

    assert (shown.out, shown.err) == ("much", "[stdout was longer and is cut off here]\n")


@pytest.mark.parametrize("reason", CodeEnd)
def test_the_exit_code_of_each_end_is_as_documented(
    shell: Shell, daemon: FakeDaemon, script: str, reason: CodeEnd
) -> None:
    daemon.answer("/v1/code", {**ANSWER, "reason": reason})
    rows = table("docs/code.md", "How a run ends", first="reason")
    documented = {row[0]: int(row[1]) for row in rows}

    assert shell("run-code", script).code == documented[reason]
    assert set(documented) == set(CodeEnd)


def test_only_one_end_is_a_success() -> None:
    assert [reason for reason in CodeEnd if reason not in END_KIND] == [CodeEnd.OK]
    assert OK not in {BY_KIND[kind] for kind in END_KIND.values()}


def test_what_would_drive_a_terminal_is_not_in_an_error(
    shell: Shell, daemon: FakeDaemon, script: str
) -> None:
    daemon.answer("/v1/code", {**ANSWER, "reason": "exception", "detail": "\x1b[2Jgone"})
    shown = shell("run-code", script)

    assert "\x1b[2J" not in shown.err
    assert "gone" in shown.err
