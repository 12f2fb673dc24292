"""`orchestrator start`, `stop` and `remove`."""

import json

import pytest

from tests.unit.cli.conftest import Shell
from tests.unit.cli.fake_daemon import FakeDaemon
from tests.unit.cli.test_gitops import STATUS


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("start", "notes: is wanted running"),
        ("stop", "notes: is being stopped"),
        ("remove", "notes: is being taken away; its data stays"),
    ],
)
def test_it_tells_the_daemon_who_and_why_and_the_user_what_comes_of_it(
    shell: Shell, daemon: FakeDaemon, verb: str, words: str
) -> None:
    daemon.answer(f"/v1/plugins/notes/{verb}", {"changed": True})
    shown = shell(verb, "notes", "--reason", "it is loud")
    asked = next(asked for asked in daemon.asked if asked.method == "POST")
    body = json.loads(asked.body)

    assert (asked.method, body["why"]) == ("POST", "it is loud")
    assert body["who"] != ""
    assert words in shown.out


@pytest.mark.parametrize("verb", ["start", "stop"])
def test_what_changes_nothing_says_so(shell: Shell, daemon: FakeDaemon, verb: str) -> None:
    daemon.answer(f"/v1/plugins/notes/{verb}", {"changed": False})

    assert "already" in shell(verb, "notes").out


def test_a_refusal_has_its_exit_code(shell: Shell, daemon: FakeDaemon) -> None:
    problem = {"code": "dependencies_unresolved", "kind": "invalid", "detail": "reader needs it"}
    daemon.answer("/v1/plugins/notes/remove", problem, status=422)
    shown = shell("remove", "notes")

    assert shown.code == 65
    assert "[dependencies_unresolved] reader needs it" in shown.err


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("stop", "notes: is being stopped\n"),
        ("remove", "notes: is being taken away; its data stays\n"),
    ],
)
def test_what_git_sets_back_at_once_is_said_to_be_so(
    shell: Shell, daemon: FakeDaemon, verb: str, words: str
) -> None:
    daemon.answer(f"/v1/plugins/notes/{verb}", {"changed": True})
    daemon.answer("/v1/gitops", {**STATUS, "ref": "main\x1b[2J"})
    shown = shell(verb, "notes")

    assert shown.out == words
    assert "notes: comes from git (https://git.example.com/x.git main?[2J)" in shown.err
    assert "orchestrator gitops suspend" in shown.err


@pytest.mark.parametrize(
    "status",
    [{"followed": False}, {**STATUS, "plugins": []}, {**STATUS, "state": "suspended"}],
    ids=["nothing followed", "another plugin", "suspended"],
)
def test_what_git_does_not_set_back_is_said_as_ever(
    shell: Shell, daemon: FakeDaemon, status: object
) -> None:
    daemon.answer("/v1/plugins/notes/stop", {"changed": True})
    daemon.answer("/v1/gitops", status)
    shown = shell("stop", "notes")

    assert (shown.out, shown.err) == (
        "notes: is being stopped; `orchestrator start` brings it back\n",
        "",
    )
