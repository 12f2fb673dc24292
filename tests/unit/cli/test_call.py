import io
import sys
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Shell
from tests.unit.cli.fake_daemon import FakeDaemon

EXECUTE = "/v1/plugins/notes/execute"


@pytest.fixture(autouse=True)
def _an_answer(daemon: FakeDaemon) -> None:
    daemon.answer(EXECUTE, {"answer": 42})


def _sent(daemon: FakeDaemon) -> tuple[bytes, str]:
    [asked] = daemon.asked
    assert (asked.method, asked.path) == ("POST", EXECUTE)
    return asked.body, asked.headers["content-type"]


def _stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_an_answer_is_printed_as_it_came(shell: Shell) -> None:
    shown = shell("call", "notes", "{}")

    assert (shown.code, shown.out, shown.err) == (0, '{"answer": 42}\n', "")


def test_without_input_an_empty_object_is_sent(shell: Shell, daemon: FakeDaemon) -> None:
    shell("call", "notes")

    assert _sent(daemon) == (b"{}", "application/json")


@pytest.mark.parametrize("text", ['{"a": 1}', "[1, 2]", '"words"', "null", "-1", '{"a": "ä"}'])
def test_json_of_any_kind_is_sent_as_it_was_written(
    shell: Shell, daemon: FakeDaemon, text: str
) -> None:
    shell("call", "notes", "--", text)

    assert _sent(daemon) == (text.encode(), "application/json")


def test_what_is_no_json_is_refused_before_anything_is_sent(
    shell: Shell, daemon: FakeDaemon
) -> None:
    shown = shell("call", "notes", "{'a': 1}")

    assert shown.code == 65
    assert shown.err.startswith("error [invalid_call_input] INPUT: found no JSON (")
    assert daemon.asked == []


@pytest.mark.parametrize(
    ("data", "content_type"),
    [(b'{"a": 1}', "application/json"), (b"\xff\xfe\x00", "application/octet-stream")],
)
def test_a_file_may_hold_anything(
    shell: Shell, daemon: FakeDaemon, tmp_path: Path, data: bytes, content_type: str
) -> None:
    (tmp_path / "input").write_bytes(data)
    shell("call", "notes", "@input")

    assert _sent(daemon) == (data, content_type)


@pytest.mark.parametrize(
    ("data", "content_type"),
    [(b"[1]", "application/json"), (b"words", "application/octet-stream")],
)
def test_standard_input_may_hold_anything(
    shell: Shell,
    daemon: FakeDaemon,
    monkeypatch: pytest.MonkeyPatch,
    data: bytes,
    content_type: str,
) -> None:
    _stdin(monkeypatch, data)
    shell("call", "notes", "-")

    assert _sent(daemon) == (data, content_type)


def test_a_missing_file_is_told_by_name(shell: Shell, daemon: FakeDaemon) -> None:
    shown = shell("call", "notes", "@missing")

    assert (shown.code, daemon.asked) == (65, [])
    assert "'@missing' (No such file or directory)" in shown.err


def test_a_tool_and_a_deadline_travel_as_headers(shell: Shell, daemon: FakeDaemon) -> None:
    shell("call", "notes", "--tool", "add", "--timeout", "1.5")

    [asked] = daemon.asked
    assert (asked.headers["x-tool"], asked.headers["x-deadline-ms"]) == ("add", "1500")


def test_without_them_no_such_header_is_sent(shell: Shell, daemon: FakeDaemon) -> None:
    shell("call", "notes")

    [asked] = daemon.asked
    assert {"x-tool", "x-deadline-ms"} & set(asked.headers) == set()


@pytest.mark.parametrize(
    ("content_type", "end"), [("text/plain; charset=utf-8", "\n"), ("image/png", "")]
)
def test_an_answer_that_is_no_text_gets_no_newline_of_ours(
    shell: Shell, daemon: FakeDaemon, content_type: str, end: str
) -> None:
    daemon.answer_bytes(EXECUTE, b"bytes", content_type)

    assert shell("call", "notes").out == f"bytes{end}"


def test_a_failure_of_ours_ends_with_the_code_of_its_kind(shell: Shell, daemon: FakeDaemon) -> None:
    problem = {
        "type": "urn:orchestrator:error:invalid_input",
        "code": "invalid_input",
        "kind": "invalid",
        "detail": "the input does not fit",
        "errors": ["a: found nothing, expected a value"],
    }
    daemon.answer(EXECUTE, problem, status=422)

    shown = shell("call", "notes")
    assert (shown.code, shown.out) == (65, "")
    assert shown.err == (
        "error [invalid_input] the input does not fit\n  a: found nothing, expected a value\n"
    )


@pytest.mark.parametrize(
    ("status", "code"), [(422, 65), (404, 65), (499, 65), (500, 76), (507, 76)]
)
def test_a_plugins_own_problem_blames_the_caller_or_the_plugin(
    shell: Shell, daemon: FakeDaemon, status: int, code: int
) -> None:
    # A plugin cannot choose the exit code by naming a kind of ours.
    problem = {"code": "index_full", "detail": "no room", "kind": "denied"}
    daemon.answer(EXECUTE, problem, status=status)

    shown = shell("call", "notes")
    assert (shown.code, shown.err) == (code, "error [index_full] no room\n")


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b'"text"'])
def test_a_failure_without_a_problem_document_is_told_by_its_status(
    shell: Shell, daemon: FakeDaemon, body: bytes
) -> None:
    daemon.answers[EXECUTE] = (500, "text/plain", body)

    shown = shell("call", "notes")
    assert (shown.code, shown.err) == (76, "error [plugin_status_500] status 500\n")


def test_a_plugin_that_speaks_like_an_ending_daemon_is_not_called_again(
    shell: Shell, daemon: FakeDaemon
) -> None:
    daemon.answer(EXECUTE, {"code": "daemon_stopping"}, status=503)
    shell("call", "notes")

    assert len(daemon.asked) == 1
