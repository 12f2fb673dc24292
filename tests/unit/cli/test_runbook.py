"""`orchestrator runbook`: every alert's page, on a machine that reaches nothing."""

import re

import pytest

from orchestrator.cli.exits import USAGE
from tests.unit.cli.conftest import Shell
from tests.unit.grafana.test_rules import ALERTS, RUNBOOKS


def test_without_a_name_every_alert_is_listed_with_its_severity(shell: Shell) -> None:
    shown = shell("runbook")

    assert (shown.code, shown.err) == (0, "")
    listed = dict(re.findall(r"^(\w+) +(critical|warning) +\S", shown.out, re.MULTILINE))
    assert listed == {name: rule["labels"]["severity"] for name, rule in ALERTS.items()}


@pytest.mark.parametrize("name", ALERTS)
def test_the_page_of_an_alert_is_printed_whole(shell: Shell, name: str) -> None:
    shown = shell("runbook", name)

    assert (shown.code, shown.err) == (0, "")
    headings = re.findall(r"^#.*", (RUNBOOKS / f"{name}.md").read_text(), re.MULTILINE)
    assert re.findall(r"^#.*", shown.out, re.MULTILINE) == headings
    assert "](" not in shown.out


def test_a_page_names_the_next_as_a_command(shell: Shell) -> None:
    shown = shell("runbook", "SecurityAlert")

    assert "see `orchestrator runbook DriftNotHealed`." in shown.out
    assert "docs/operations.md says what was kept." in shown.out


@pytest.mark.parametrize("name", ["PluginUp", "README", "../runbooks/PluginDown", ""])
def test_no_other_file_is_printed(shell: Shell, name: str) -> None:
    shown = shell("runbook", name)

    assert (shown.code, shown.out) == (USAGE, "")
    assert f"found {name!r}, expected one of PluginDown, " in shown.err
