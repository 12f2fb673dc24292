"""A refusal of several rules is shown whole, by every command that people read it with."""

from typing import Any

import pytest

from orchestrator.policy.grant import PermissionRefused, Refusal
from tests.unit.cli.conftest import Shell
from tests.unit.cli.fake_daemon import FakeDaemon
from tests.unit.cli.test_gitops import ENTRY, STATUS

RULES = tuple(
    Refusal(rule=rule, field=f"spec.{rule}", found="1", expected="0")
    for rule in ("permission_forbidden", "limit_above_policy")
)
WORDS = str(PermissionRefused("scanner", RULES))
HOSTILE = f"{WORDS}\n\x1b[2Jnotes  synced  0123  0  x.yaml\u2028forged\rline"
PLUGIN: dict[str, Any] = {**STATUS["plugins"][0], "reason": HOSTILE}
RECORD = {
    "at": 1_790_000_000.0,
    "sequence": 7,
    "outcome": "refused",
    "action": "command",
    "plugin_id": "scanner",
    "actor": "ada",
    "why": HOSTILE,
}


@pytest.mark.parametrize(
    ("words", "path", "answer"),
    [
        (["gitops", "status"], "/v1/gitops", {**STATUS, "reasons": [HOSTILE], "plugins": []}),
        (["gitops", "status"], "/v1/gitops", {**STATUS, "reasons": [], "plugins": [PLUGIN]}),
        (["gitops", "status"], "/v1/gitops", {**STATUS, "reasons": [HOSTILE]}),
        (
            ["gitops", "diff"],
            "/v1/gitops/diff",
            [{"plugin_id": "scanner", "words": HOSTILE, "fields": []}],
        ),
        (["gitops", "history"], "/v1/gitops/history", [{**ENTRY, "reason": HOSTILE}]),
        (["audit"], "/v1/audit", [RECORD]),
    ],
    ids=["head", "table", "both", "diff", "history", "audit"],
)
def test_every_rule_has_an_indented_line(
    shell: Shell, daemon: FakeDaemon, words: list[str], path: str, answer: object
) -> None:
    daemon.answer(path, answer)
    shown = shell(*words)
    lines = shown.out.splitlines()

    for rule in RULES:
        [line] = [line for line in lines if line.strip() == str(rule)]
        assert line.startswith("    ")
    assert sum("refused by policy:" in line for line in lines) == 1
    ours = [line for line in lines if not line.startswith("    ")]
    assert not any("0123  0" in line or "forged" in line for line in ours)
    assert shown.out.replace("\n", "").isprintable()
