"""`orchestrator rollout`, and what `status`, `ps` and `up` tell of rollouts."""

import json
from typing import Any

import pytest

from orchestrator.client.settled import is_failed, settled
from tests.unit.cli.conftest import Shell
from tests.unit.cli.fake_daemon import PLUGIN, PLUGIN_ROW, FakeDaemon

PATH = "/v1/plugins/notes/rollout"
TEXT = "ROLLED BACK to revision 1: revision 2 failed 3 times in a row"
ROLLED_BACK: dict[str, Any] = {
    "revision": 2,
    "serving": 1,
    "state": "rolled_back",
    "reason": "failed 3 times in a row",
    "text": TEXT,
    "moving": False,
}


def _revision(number: int, state: str, **fields: Any) -> dict[str, Any]:
    return {
        "revision": number,
        "version": f"{number}.0.0",
        "state": state,
        "reason": "",
        "digest": "d" * 64,
        "image": "sha256:1",
        "at": 1_790_000_000.0,
        "who": "ada",
        "why": "up manifests",
        "last_words": {"lines": [], "hints": [], "repairs": []},
        **fields,
    }


WORDS = {
    "lines": ["ImportError: no numpy\x1b[2J"],
    "hints": ["it says: ImportError: no numpy"],
    "repairs": ["read its last lines: `orchestrator rollout history notes`"],
}
FAILED = _revision(2, "failed", reason="it broke\x1b[2J", last_words=WORDS)
HISTORY = {
    "plugin_id": "notes",
    "rollout": ROLLED_BACK,
    "revisions": [
        _revision(1, "healthy"),
        FAILED,
    ],
}


def test_the_history_shows_each_revision_and_which_one_runs(
    shell: Shell, daemon: FakeDaemon
) -> None:
    daemon.answer(PATH, HISTORY)
    lines = shell("rollout", "history", "notes").out.splitlines()

    assert lines[1].split()[:5] == ["1", "(runs)", "1.0.0", "healthy", "2026-09-21"]
    assert "it broke?[2J" in lines[2]
    assert lines[4] == TEXT


def test_the_history_shows_what_a_failed_revision_said_and_drives_no_terminal(
    shell: Shell, daemon: FakeDaemon
) -> None:
    daemon.answer(PATH, HISTORY)
    lines = shell("rollout", "history", "notes").out.splitlines()

    assert lines[5:] == [
        "",
        "last lines of revision 2 before it failed",
        "  ImportError: no numpy?[2J",
        "",
        "what may mend it",
        "  → it says: ImportError: no numpy",
        "  → read its last lines: `orchestrator rollout history notes`",
    ]


@pytest.mark.parametrize("verb", ["history", "undo", "pause", "resume"])
def test_json_is_what_the_daemon_says(shell: Shell, daemon: FakeDaemon, verb: str) -> None:
    daemon.answer(PATH if verb == "history" else f"{PATH}/{verb}", HISTORY)

    assert json.loads(shell("rollout", verb, "notes", "--json").out) == HISTORY


def test_undo_sends_who_why_and_where_to_and_tells_of_the_files(
    shell: Shell, daemon: FakeDaemon
) -> None:
    answer = {"revision": 3, "undone": 2, "back_to": 1, "version": "1.0.0", "origin": "/m/n.yaml"}
    daemon.answer(f"{PATH}/undo", answer)
    shown = shell("rollout", "undo", "notes", "--to", "1", "--reason", "slow")
    body = json.loads(daemon.asked[-1].body)

    assert (body["to"], body["why"]) == (1, "slow")
    assert body["who"] != ""
    assert "revision 2 is undone; revision 3 is 1 again (version 1.0.0)" in shown.out
    assert "the next `orchestrator up` of /m/n.yaml brings back" in shown.out


@pytest.mark.parametrize(
    ("verb", "answer", "words"),
    [
        ("pause", {"changed": True}, "its rollout is paused"),
        ("pause", {"changed": False}, "its rollout was paused already"),
        ("resume", {"changed": True, "retried": True, "revision": 2}, "revision 2 is tried again"),
        ("resume", {"changed": True, "retried": False, "revision": 2}, "its rollout goes on"),
        ("resume", {"changed": False, "retried": False, "revision": 2}, "nothing was paused"),
    ],
)
def test_pause_and_resume_say_what_they_changed(
    shell: Shell, daemon: FakeDaemon, verb: str, answer: Any, words: str
) -> None:
    daemon.answer(f"{PATH}/{verb}", answer)

    assert words in shell("rollout", verb, "notes").out


def test_a_refusal_has_its_exit_code(shell: Shell, daemon: FakeDaemon) -> None:
    problem = {"code": "revision_not_found", "kind": "not_found", "detail": "found revision 9"}
    daemon.answer(f"{PATH}/undo", problem, status=404)
    shown = shell("rollout", "undo", "notes", "--to", "9")

    assert shown.code == 66
    assert "found revision 9" in shown.err


def test_status_tells_of_the_rollout(shell: Shell, daemon: FakeDaemon) -> None:
    plugin = {**PLUGIN, "rollout": ROLLED_BACK, "failed_revision": FAILED}
    daemon.answer("/v1/plugins/notes", plugin)
    shown = shell("status", "notes").out

    assert TEXT in shown
    assert "\nlast lines of revision 2 (version 2.0.0) before it failed\n  ImportError" in shown
    assert "  → it says: ImportError: no numpy\n" in shown


def test_status_says_nothing_of_a_failed_revision_that_is_tried_on(
    shell: Shell, daemon: FakeDaemon
) -> None:
    rollout = {**ROLLED_BACK, "state": "failed"}
    daemon.answer("/v1/plugins/notes", {**PLUGIN, "rollout": rollout, "failed_revision": FAILED})

    assert "last lines of revision" not in shell("status", "notes").out


@pytest.mark.parametrize(
    ("status", "rollout", "is_settled", "has_failed"),
    [
        ("active", None, True, False),
        ("active", {"moving": True, "state": "progressing"}, False, False),
        ("error", {"moving": True, "state": "progressing"}, False, True),
        ("active", ROLLED_BACK, True, True),
        ("active", {"moving": False, "state": "paused"}, True, False),
        ("active", {"moving": False, "state": "completed"}, True, False),
    ],
)
def test_an_update_is_waited_for_until_it_took_over_or_went_back(
    status: str, rollout: Any, *, is_settled: bool, has_failed: bool
) -> None:
    row = {**PLUGIN_ROW, "status": status, "rollout": rollout}

    assert (settled(row), is_failed(row)) == (is_settled, has_failed)


def test_up_ends_with_an_error_where_an_update_was_rolled_back(
    shell: Shell, daemon: FakeDaemon, tmp_path: Any
) -> None:
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "notes.yaml").write_text(
        "apiVersion: orchestrator/v1\nkind: Plugin\nmetadata: {name: notes}\n"
        "spec: {source: {image: notes}}\n"
    )
    daemon.answer("/v1/desired", {"plugins": ["notes"]})
    daemon.answer("/v1/plugins", [{**PLUGIN_ROW, "detail": TEXT, "rollout": ROLLED_BACK}])
    shown = shell("up", "--detach", "--wait")

    assert shown.code == 76
    assert f"notes: {TEXT}" in shown.err
