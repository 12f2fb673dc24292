"""`orchestrator logs`: the lines of one call, and lines for a machine."""

import json

import pytest

from tests.unit.cli.conftest import Shell
from tests.unit.cli.fake_daemon import FakeDaemon

TRACE = "0af7651916cd43dd8448eb211c80319c"
TEXTS = [
    json.dumps({"message": "one", "request_id": "r1", "trace_id": TRACE}),
    json.dumps({"message": "two", "request_id": "r2", "trace_id": TRACE}),
    json.dumps({"message": "r1 is no id of mine", "request_id": "r12"}),
    "plain words about r1",
    "plain words",
    "{not json",
    "[1]",
]


@pytest.fixture
def told(daemon: FakeDaemon) -> None:
    lines = [{"stream": "stderr", "at": 1.5, "text": text} for text in TEXTS]
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    daemon.answer_bytes("/v1/plugins/notes/logs", body, "application/x-ndjson")


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize(
    ("call", "expected"), [("r1", [0, 3]), ("r2", [1]), (TRACE, [0, 1]), ("x9", [])]
)
def test_only_the_lines_of_a_call_are_shown(shell: Shell, call: str, expected: list[int]) -> None:
    shown = shell("logs", "notes", "--call", call)

    lines = [line.partition(" ")[2] for line in shown.out.splitlines()]
    assert lines == [TEXTS[number] for number in expected]


@pytest.mark.usefixtures("told")
def test_json_lines_hold_what_the_plugin_said(shell: Shell) -> None:
    shown = [json.loads(line) for line in shell("logs", "notes", "--json").out.splitlines()]

    assert len(shown) == len(TEXTS)
    assert shown[0] == {"at": 1.5, "stream": "stderr", "line": json.loads(TEXTS[0])}
    assert [line["text"] for line in shown[3:]] == TEXTS[3:]
