"""`orchestrator gitops` and `up --git`: what is sent, what is shown, and with which exit code."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Shell
from tests.unit.cli.fake_daemon import FakeDaemon

SHA = "0123456789abcdef" * 2 + "01234567"
STATUS: dict[str, Any] = {
    "followed": True,
    "state": "degraded",
    "reasons": ["notes: stays as it was: bad\x1b[2J"],
    "url": "https://git.example.com/x.git",
    "ref": "main",
    "path": "manifests",
    "environment": "prod\x1b[2J",
    "head": SHA,
    "wanted": SHA,
    "synced": "",
    "synced_at": 0.0,
    "looked_at": 1_790_000_000.0,
    "syncs_total": 0,
    "failures_total": 1,
    "heals_total": 0,
    "plugins": [
        {
            "plugin_id": "notes",
            "state": "degraded",
            "reason": "stays as it was",
            "file": "manifests/notes.yaml",
            "revision": SHA,
            "wave": 2,
        }
    ],
    "prune_waiting": ["gone"],
    "moving": False,
    "webhook_port": 8481,
}
ENTRY: dict[str, Any] = {
    "revision": SHA,
    "author": "Eve \x1b[31m<eve@example.com>",
    "committed_at": 1_790_000_000.0,
    "subject": "Subject\x1b]0;owned\x07",
    "at": 1_790_000_000.0,
    "who": "gitops",
    "why": "",
    "outcome": "failed",
    "reason": "it broke",
    "added": ["one"],
    "changed": ["two"],
    "removed": ["three"],
}


def test_status_shows_all_of_it_and_says_with_its_exit_code_that_something_is_wrong(
    shell: Shell, daemon: FakeDaemon
) -> None:
    daemon.answer("/v1/gitops", STATUS)
    shown = shell("gitops", "status")

    assert shown.code == 76
    assert "bad?[2J" in shown.out
    assert "gone; `orchestrator gitops sync --prune` removes them" in shown.out
    assert "http://127.0.0.1:8481/v1/gitops/webhook" in shown.out
    assert shown.out.splitlines()[-1].split()[:5] == [
        "notes",
        "degraded",
        SHA[:12],
        "2",
        "manifests/notes.yaml",
    ]


def test_status_names_the_environment_whose_patches_are_in_force(
    shell: Shell, daemon: FakeDaemon
) -> None:
    daemon.answer("/v1/gitops", STATUS)
    assert ["environment", "prod?[2J"] in _words(shell("gitops", "status").out)
    for without in ({**STATUS, "environment": ""}, _without(STATUS, "environment")):
        daemon.answer("/v1/gitops", without)

        assert "environment" not in shell("gitops", "status").out


def _words(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def _without(answer: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != key}


def test_status_says_that_no_repository_is_followed(shell: Shell, daemon: FakeDaemon) -> None:
    daemon.answer("/v1/gitops", {"followed": False})
    shown = shell("gitops", "status")

    assert (shown.code, shown.out[:26]) == (0, "no repository is followed;")


def test_a_strangers_words_in_the_history_steer_no_terminal(
    shell: Shell, daemon: FakeDaemon
) -> None:
    daemon.answer("/v1/gitops/history", [ENTRY])
    line = shell("gitops", "history").out.splitlines()[1]

    assert "\x1b" not in line
    assert "\x07" not in line
    assert line.endswith("+one ~two -three; it broke")


def test_the_difference_is_a_table_of_three_sides(shell: Shell, daemon: FakeDaemon) -> None:
    row = {"field": "limits.max_memory_mb", "git": 32, "desired": 64, "live": None}
    plugin = {"plugin_id": "notes", "words": "", "fields": [row]}
    daemon.answer("/v1/gitops/diff", [plugin])
    assert shell("gitops", "diff").out.splitlines()[-1].split() == [
        "limits.max_memory_mb",
        "32",
        "64",
        "null",
    ]
    daemon.answer("/v1/gitops/diff", [])

    assert "are one" in shell("gitops", "diff").out


@pytest.mark.parametrize(
    ("words", "sent"),
    [
        (["sync", "--prune"], {"prune": True}),
        (["sync"], {"prune": False}),
        (["rollback", "--to", "abc"], {"to": "abc"}),
        (["suspend"], {}),
        (["resume"], {}),
    ],
)
def test_commands_say_who_and_why(
    shell: Shell, daemon: FakeDaemon, words: list[str], sent: dict[str, Any]
) -> None:
    answer = {"to": SHA, "subject": "x", "changed": True}
    daemon.answer(f"/v1/gitops/{words[0]}", answer)
    shown = shell("gitops", *words, "--reason", "slow", "--json")
    body = json.loads(daemon.asked[-1].body)

    assert json.loads(shown.out) == answer
    assert body.pop("who")
    assert body == {"why": "slow", **sent}


def test_waiting_for_a_sync_ends_with_what_came_of_it(shell: Shell, daemon: FakeDaemon) -> None:
    daemon.answer("/v1/gitops/sync", {"prune": False})
    daemon.answer("/v1/gitops", STATUS)

    assert shell("gitops", "sync", "--wait").code == 76


def test_up_follows_a_repository(shell: Shell, daemon: FakeDaemon, tmp_path: Path) -> None:
    (tmp_path / "repo").mkdir()
    followed = {"url": "x", "ref": "prod", "path": "p"}
    daemon.answer("/v1/gitops", {**STATUS, **followed, "state": "synced"})
    shown = shell("up", "--git", "./repo", "--ref", "prod", "--path", "p", "--detach", "--wait")
    put = next(asked for asked in daemon.asked if asked.method == "PUT")
    body = json.loads(put.body)

    assert shown.code == 0
    assert (body["url"], body["ref"], body["path"]) == (str(tmp_path / "repo"), "prod", "p")


def test_up_without_paths_follows_what_the_policys_file_says(
    shell: Shell, daemon: FakeDaemon, tmp_path: Path
) -> None:
    (tmp_path / "orchestrator.yaml").write_text("git:\n  url: ./repo\n")
    daemon.answer("/v1/gitops", {**STATUS, "state": "synced"})
    shell("up", "--detach")
    put = next(asked for asked in daemon.asked if asked.method == "PUT")

    assert json.loads(put.body)["config"] == str(tmp_path / "orchestrator.yaml")


def test_paths_and_a_repository_do_not_go_together(shell: Shell, tmp_path: Path) -> None:
    assert shell("up", "--git", "/x", "manifests").code == 64


@pytest.mark.parametrize(
    "arguments",
    [
        ("--git", "ext::sh -c touch"),
        ("--git", "--upload-pack=x"),
        ("--git", "https://a:b@example.com/x"),
        ("--git", "/x", "--ref", "-d"),
        ("--git", "/x", "--path", "../x"),
    ],
)
def test_what_git_could_misread_does_not_even_start_a_daemon(
    shell: Shell, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    assert shell("up", *arguments).code == 65
    assert not (tmp_path / "home").exists()


def test_up_of_paths_says_what_git_will_set_back(
    shell: Shell, daemon: FakeDaemon, tmp_path: Path
) -> None:
    (tmp_path / "notes.yaml").write_text(
        "apiVersion: orchestrator/v1\nkind: Plugin\nmetadata: {name: notes}\n"
        "spec: {source: {image: notes}}\n"
    )
    daemon.answer("/v1/desired", {"plugins": ["notes"]})
    daemon.answer("/v1/plugins", [])
    daemon.answer("/v1/gitops", STATUS)

    assert "notes: comes from git" in shell("up", "notes.yaml", "--detach").err
    daemon.answer("/v1/gitops", {"followed": False})
    assert "git" not in shell("up", "notes.yaml", "--detach").err
