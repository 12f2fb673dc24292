"""A plugin's words reach the operator's terminal as words: nothing in them acts on it."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.cli.conftest import Shell, Shown
from tests.unit.cli.fake_daemon import PLUGIN, PLUGIN_ROW, FakeDaemon

EVIL = "ha\x1b[2J\x1b]0;owned\x07ha\x9b31m\u202eha\rha\x08ha\x7fha"


def _acts(shown: Shown) -> list[str]:
    """Characters that a terminal would act on; our own colours are off, as nobody watches."""
    return [c for c in shown.out + shown.err if not c.isprintable() and c != "\n"]


@pytest.mark.parametrize(
    "field",
    [
        "name",
        "detail",
        "may",
        "last_failure",
        "events",
    ],
)
def test_status_shows_a_plugins_words_and_no_more(
    shell: Shell, daemon: FakeDaemon, field: str
) -> None:
    value: Any = {
        "may": [EVIL],
        "last_failure": {"reason": "stuck", "detail": EVIL},
        "events": [
            {
                "type": "orchestrator.plugin.died",
                "time": "2026-01-01T00:00:00+00:00",
                "data": {"detail": EVIL},
            }
        ],
    }.get(field, EVIL)
    daemon.answer("/v1/plugins/notes", {**PLUGIN, field: value})

    shown = shell("status", "notes")
    assert shown.code == 0
    assert "ha" in shown.out
    assert _acts(shown) == []


def test_ps_shows_a_plugins_words_and_no_more(shell: Shell, daemon: FakeDaemon) -> None:
    daemon.answer("/v1/plugins", [{**PLUGIN_ROW, "detail": EVIL, "status": "error"}])

    shown = shell("ps")
    assert "ha" in shown.out
    assert _acts(shown) == []


def test_logs_show_a_plugins_words_and_no_more(shell: Shell, daemon: FakeDaemon) -> None:
    line = {"stream": "stdout", "at": 1.0, "text": EVIL}
    daemon.answer_bytes(
        "/v1/plugins/notes/logs", json.dumps(line).encode() + b"\n", "application/x-ndjson"
    )

    shown = shell("logs", "notes")
    assert "ha" in shown.out
    assert _acts(shown) == []


@pytest.mark.parametrize("field", ["code", "detail", "title", "errors"])
def test_call_shows_a_plugins_problem_and_no_more(
    shell: Shell, daemon: FakeDaemon, field: str
) -> None:
    value = [EVIL] if field == "errors" else EVIL
    daemon.answer("/v1/plugins/notes/execute", {field: value}, status=500)

    shown = shell("call", "notes")
    assert shown.code == 76
    assert "ha" in shown.err
    assert _acts(shown) == []


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "text/html; charset=utf-8", "application/json", "application/octet-stream", ""],
)
def test_call_shows_an_answer_of_any_type_on_a_terminal_and_no_more(
    shell: Shell, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, content_type: str
) -> None:
    daemon.answer_bytes("/v1/plugins/notes/execute", EVIL.encode() + b"\x9b\xff", content_type)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    shown = shell("call", "notes")
    assert shown.code == 0
    assert "ha" in shown.out
    assert _acts(shown) == []


@pytest.mark.parametrize("levels", [300, 900, 980, 100_000])
def test_call_shows_a_problem_of_any_depth(shell: Shell, daemon: FakeDaemon, levels: int) -> None:
    deep = b'{"detail": ' + b"[" * levels + b"]" * levels + b"}"
    daemon.answer_bytes("/v1/plugins/notes/execute", deep, "application/json", status=500)

    shown = shell("call", "notes")
    assert shown.code == 76
    assert shown.err.startswith("error [")


def test_up_shows_why_a_plugin_failed_and_no_more(
    shell: Shell, daemon: FakeDaemon, tmp_path: Path
) -> None:
    manifest = {
        "apiVersion": "orchestrator/v1",
        "kind": "Plugin",
        "metadata": {"name": "notes"},
        "spec": {"source": {"image": "notes"}},
    }
    (tmp_path / "notes.yaml").write_text(yaml.safe_dump(manifest))
    daemon.answer("/v1/desired", {"plugins": ["notes"]})
    daemon.answer("/v1/plugins", [{**PLUGIN_ROW, "status": "error", "detail": EVIL}])

    shown = shell("up", "--detach", "--wait", "notes.yaml")
    assert shown.code == 76
    assert "ha" in shown.err
    assert _acts(shown) == []


def test_a_daemons_problem_that_quotes_a_plugin_is_shown_and_no_more(
    shell: Shell, daemon: FakeDaemon
) -> None:
    problem = {"kind": "denied", "code": "permission_refused", "detail": f"wanted: {EVIL}\nline"}
    daemon.answer("/v1/plugins", problem, status=403)

    shown = shell("ps")
    assert shown.code == 77
    assert shown.err.endswith("line\n")
    assert _acts(shown) == []


@pytest.mark.parametrize("field", ["plugin_id", "version", "category", "entry_point", EVIL])
def test_validate_quotes_a_hostile_file_and_no_more(
    shell: Shell, tmp_path: Path, field: str
) -> None:
    folder = tmp_path / "evil"
    folder.mkdir()
    (folder / "plugin.yaml").write_text(yaml.safe_dump({field: EVIL}))

    shown = shell("validate", "evil")
    assert shown.code == 65
    assert _acts(shown) == []
