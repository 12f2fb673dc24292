"""`orchestrator permissions`, and what `status` tells of grants, revokes and held updates."""

import json
from typing import Any

import pytest

from tests.unit.cli.conftest import Shell
from tests.unit.cli.fake_daemon import PLUGIN, FakeDaemon

CHANGE = {
    "permission": "external_api",
    "state": "revoked",
    "who": "ada",
    "when": 1_790_000_000.0,
    "why": "it leaks",
    "text": "external_api was revoked by ada (it leaks); the manifest grants it",
}
HELD = {
    "update": "0123456789ab",
    "version": "2.0.0",
    "differences": ["asks for the permission system_info (before: not asked, now: asked)"],
}
RIGHTS: dict[str, Any] = {
    "plugin_id": "notes",
    "version": "1.2.3",
    "permissions": [
        {
            "permission": "external_api",
            "effective": False,
            "parameters": None,
            "required": True,
            "wanted_for": "",
            "why": CHANGE["text"],
            "change": CHANGE,
        }
    ],
    "held": HELD,
}
ONE = "/v1/plugins/notes/permissions/external_api"


def test_list_shows_each_permission_its_reason_and_the_held_update(
    shell: Shell, daemon: FakeDaemon
) -> None:
    daemon.answer("/v1/plugins/notes/permissions", RIGHTS)
    shown = shell("permissions", "list", "notes")

    assert "external_api (required)  revoked" in shown.out
    assert CHANGE["text"] in shown.out
    assert "notes 2.0.0 is held" in shown.out
    assert "permissions grant notes --update 0123456789ab" in shown.out


@pytest.mark.parametrize(("effective", "code"), [(True, 0), (False, 77)])
def test_check_tells_by_its_exit_code(
    shell: Shell, daemon: FakeDaemon, *, effective: bool, code: int
) -> None:
    daemon.answer(ONE, {"effective": effective, "why": "so"})

    assert shell("permissions", "check", "notes", "external_api").code == code


@pytest.mark.parametrize("verb", ["grant", "revoke"])
def test_a_decision_is_sent_with_who_and_why(shell: Shell, daemon: FakeDaemon, verb: str) -> None:
    daemon.answer(f"{ONE}/{verb}", {"changed": True})
    daemon.answer(ONE, {"effective": True, "why": ""})
    shown = shell("permissions", verb, "notes", "external_api", "--reason", "it leaks")
    [asked] = [it for it in daemon.asked if it.method == "POST"]
    body = json.loads(asked.body)

    assert shown.code == 0
    assert body["why"] == "it leaks"
    assert body["who"] != ""


def test_a_grant_of_a_part_is_sent_as_it_was_typed(shell: Shell, daemon: FakeDaemon) -> None:
    daemon.answer(f"{ONE}/grant", {"changed": True})
    daemon.answer(ONE, {"effective": True, "why": ""})
    shown = shell(
        "permissions", "grant", "notes", "external_api", "--parameters", '{"hosts": ["a.test:1"]}'
    )

    assert shown.code == 0
    assert json.loads(daemon.asked[0].body)["parameters"] == {"hosts": ["a.test:1"]}


@pytest.mark.parametrize("words", [["x", "{"], ["x", "[]"], ["x", "3"]])
def test_parameters_that_are_no_object_are_not_sent(
    shell: Shell, daemon: FakeDaemon, words: list[str]
) -> None:
    shown = shell("permissions", "grant", "notes", words[0], "--parameters", words[1])
    both = shell("permissions", "grant", "notes", "--update", "1", "--parameters", "{}")

    assert (shown.code, both.code) == (64, 64)
    assert daemon.asked == []


def test_a_grant_that_gives_nothing_says_that_the_revoke_is_lifted(
    shell: Shell, daemon: FakeDaemon
) -> None:
    daemon.answer(f"{ONE}/grant", {"changed": True})
    daemon.answer(ONE, {"effective": False, "why": "the plugin does not ask for it"})
    shown = shell("permissions", "grant", "notes", "external_api")

    assert "the revoke of external_api is lifted" in shown.out
    assert "the plugin does not ask for it" in shown.out
    assert "granted" not in shown.out


@pytest.mark.parametrize(
    ("which", "path"),
    [(["external_api"], f"{ONE}/reset"), ([], "/v1/plugins/notes/permissions/reset")],
)
def test_a_reset_tells_what_it_forgot(
    shell: Shell, daemon: FakeDaemon, which: list[str], path: str
) -> None:
    daemon.answer(path, {"forgotten": [{"permission": "external_api", "state": "revoked"}]})
    shown = shell("permissions", "reset", "notes", *which, "--reason", "over")

    assert (daemon.asked[-1].method, daemon.asked[-1].path) == ("POST", path)
    assert json.loads(daemon.asked[-1].body)["why"] == "over"
    assert shown.out == "notes: forgot that external_api was revoked\n"


def test_a_reset_of_nothing_says_so(shell: Shell, daemon: FakeDaemon) -> None:
    daemon.answer(f"{ONE}/reset", {"forgotten": []})
    shown = shell("permissions", "reset", "notes", "external_api")

    assert shown.code == 0
    assert "neither granted nor revoked" in shown.out


def test_an_update_is_granted_by_its_id(shell: Shell, daemon: FakeDaemon) -> None:
    path = "/v1/plugins/notes/updates/0123456789ab/grant"
    daemon.answer(path, {"differences": HELD["differences"]})
    shown = shell("permissions", "grant", "notes", "--update", "0123456789ab")

    assert daemon.asked[-1].path == path
    assert HELD["differences"][0] in shown.out


@pytest.mark.parametrize("more", [[], ["external_api", "--update", "0123456789ab"]])
def test_a_grant_is_of_a_permission_or_of_an_update(
    shell: Shell, daemon: FakeDaemon, more: list[str]
) -> None:
    assert shell("permissions", "grant", "notes", *more).code == 64


def test_status_tells_drift_and_what_is_held(shell: Shell, daemon: FakeDaemon) -> None:
    daemon.answer("/v1/plugins/notes", {**PLUGIN, "drift": [CHANGE], "held": HELD})
    shown = shell("status", "notes")

    assert str(CHANGE["text"]) in shown.out
    assert "notes 2.0.0 is held" in shown.out
    assert HELD["differences"][0] in shown.out
