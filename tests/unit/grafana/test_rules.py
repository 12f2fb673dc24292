"""Alert rules: right for promtool, each tried, each with a page that says what to do."""

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import yaml

from grafana.boards.promql import FAILED, JUDGED
from orchestrator.model.policy import SecurityPolicy
from tests.unit.grafana.boards import BOARDS, RULES, exposed_names, expressions, load, named_metrics
from tests.unit.pages import ROOT, links, page, section

RUNBOOKS = ROOT / "docs" / "runbooks"
TESTS = sorted((ROOT / "grafana" / "prometheus" / "tests").glob("*.test.yaml"))
SEVERITIES = {"critical", "warning"}


def rules() -> Iterator[dict[str, Any]]:
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from group["rules"]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}


@cache
def tried() -> dict[str, set[bool]]:
    """Alert → whether a test expects it to fire, and not to."""
    found: dict[str, set[bool]] = {}
    for path in TESTS:
        for case in yaml.safe_load(path.read_text())["tests"]:
            for test in case["alert_rule_test"]:
                found.setdefault(test["alertname"], set()).add(bool(test["exp_alerts"]))
    return found


def _promtool(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["promtool", *words], capture_output=True, text=True, timeout=60, check=False
    )


def test_promtool_finds_no_mistake_in_the_rules() -> None:
    done = _promtool("check", "rules", "--lint=all", "--lint-fatal", *map(str, RULES))

    assert (done.returncode, done.stderr) == (0, "")


def test_every_alert_fires_when_it_should_and_only_then() -> None:
    done = _promtool("test", "rules", *map(str, TESTS))

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_tried_where_it_fires_and_where_it_must_not(name: str) -> None:
    assert tried().get(name) == {True, False}


def test_no_test_speaks_of_an_alert_that_is_gone() -> None:
    assert tried().keys() == ALERTS.keys()


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_has_a_severity_words_and_a_page(name: str) -> None:
    rule = ALERTS[name]

    assert rule["labels"]["severity"] in SEVERITIES
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"].endswith(f"What to do: orchestrator runbook {name}")
    assert (ROOT / rule["annotations"]["runbook_url"]) == RUNBOOKS / f"{name}.md"


@pytest.mark.parametrize("name", ALERTS)
def test_a_runbook_says_what_it_means_what_to_look_at_and_what_to_do(name: str) -> None:
    file = f"docs/runbooks/{name}.md"

    assert page(file).startswith(f"# {name}\n")
    assert section(file, "What it means").strip()
    assert "$ orchestrator " in section(file, "What to look at")
    assert "\n- " in section(file, "What to do")


def test_no_runbook_is_of_an_alert_that_is_gone() -> None:
    pages = {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"}

    assert pages == ALERTS.keys()
    assert {link.removesuffix(".md") for link in links(RUNBOOKS / "README.md")} == pages


def test_the_index_of_runbooks_has_the_severities() -> None:
    index = dict(
        re.findall(r"^\| \[(\w+)\]\S+ \| (\w+) \|", page("docs/runbooks/README.md"), re.MULTILINE)
    )

    assert index == {name: rule["labels"]["severity"] for name, rule in ALERTS.items()}


def test_every_metric_of_a_rule_exists() -> None:
    known = exposed_names()
    unknown = {
        rule.get("alert", rule.get("record")): missing
        for rule in rules()
        if (missing := named_metrics(rule["expr"]) - known)
    }

    assert unknown == {}


def test_rules_and_boards_have_one_notion_of_calls_that_fail() -> None:
    """A denominator with what callers did wrong would let a flood of it hide a broken plugin."""
    asked = [(rule.get("alert", rule.get("record")), rule["expr"]) for rule in rules()]
    asked += [one for path in BOARDS for one in expressions(load(path.name))]
    judging = [(where, expression) for where, expression in asked if "outcome!~" in expression]
    odd = {
        (where, labels)
        for where, expression in judging
        for labels in re.findall(r"plugin_calls_total\{(.*?)\}", expression)
        if not {FAILED, JUDGED} & {*re.findall(r'\w+!~"[^"]*"', labels)}
    }

    assert odd == set()
    assert [where for where, expression in judging if JUDGED not in expression] == []
    assert len(judging) > 10


def test_nobody_but_the_policy_says_what_is_promised() -> None:
    budget = "orchestrator:error_budget:ratio"
    users = {
        rule["alert"]: set(re.findall(r"[\d.]+ \* (\S+)|group_left \(\) (orch\S+)", rule["expr"]))
        for name, rule in ALERTS.items()
        if name.startswith("SuccessBudget")
    }

    assert {name for pairs in users.values() for pair in pairs for name in pair if name} == {budget}
    assert len(users) == 2


def test_the_runbooks_name_settings_of_the_policy_that_exist() -> None:
    policy = SecurityPolicy().model_dump()
    for path in RUNBOOKS.glob("*.md"):
        for room, field in re.findall(r"`policy\.(\w+)\.(\w+)`", path.read_text()):
            assert field in policy[room]
