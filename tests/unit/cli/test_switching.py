"""`orchestrator start`, `stop` and `remove`."""

import json

import pytest

from tests.unit.cli.conftest import Shell
from tests.unit.cli.fake_daemon import FakeDaemon


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
    body = json.loads(daemon.asked[-1].body)

    assert (daemon.asked[-1].method, body["why"]) == ("POST", "it is loud")
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
