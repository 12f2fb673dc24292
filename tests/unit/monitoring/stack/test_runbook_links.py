"""Links to runbooks: to where they can be read, or none; never a path that leads nowhere."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from orchestrator.model.monitoring import MonitoringConfig
from orchestrator.monitoring.stack.files import assets, put_files, read_files
from orchestrator.monitoring.stack.runbook_links import WHAT_TO_DO

BASE = "https://example.org/docs/runbooks"


def _files(base: str) -> dict[str, str]:
    return read_files(assets(), instance="mine", runbooks=base)


def _alerts(base: str) -> list[dict[str, Any]]:
    return [
        rule
        for name, text in _files(base).items()
        if name.startswith("prometheus/rules/")
        for group in yaml.safe_load(text)["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]


def _column(base: str) -> dict[str, Any]:
    """The properties of the column that says what to do."""
    board = json.loads(_files(base)["dashboards/overview.json"])
    [override] = [
        override
        for panel in board["panels"]
        for override in panel.get("fieldConfig", {}).get("overrides", ())
        if override["matcher"]["options"] == WHAT_TO_DO
    ]
    return {it["id"]: it["value"] for it in override["properties"]}


@pytest.mark.parametrize("base", [BASE, f"{BASE}/"])
def test_with_an_address_every_alert_links_to_its_page(base: str) -> None:
    links = {rule["alert"]: rule["annotations"]["runbook_url"] for rule in _alerts(base)}

    assert links == {name: f"{BASE}/{name}.md" for name in links}
    assert len(links) > 20


def test_without_one_no_alert_has_a_link_that_leads_nowhere() -> None:
    assert [rule["alert"] for rule in _alerts("") if "runbook_url" in rule["annotations"]] == []


@pytest.mark.parametrize("base", ["", BASE])
def test_every_alert_names_the_command_all_the_same(base: str) -> None:
    for rule in _alerts(base):
        told = rule["annotations"]["description"]
        assert told.endswith(f"What to do: orchestrator runbook {rule['alert']}")


def test_the_table_of_alerts_links_there_too() -> None:
    assert "links" not in _column("")
    [link] = _column(BASE)["links"]
    assert link["url"] == BASE + "/${__data.fields.Alert}.md"


@pytest.mark.parametrize("base", ["", BASE])
def test_promtool_takes_the_rules_that_are_written(tmp_path: Path, base: str) -> None:
    placed = put_files(_files(base), tmp_path)
    done = subprocess.run(
        ["promtool", "check", "rules", *map(str, placed.glob("prometheus/rules/*.yaml"))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "text",
    [
        "docs/runbooks",
        "javascript:alert(1)",
        "https://x/{{ $externalLabels }}",
        'https://x/"\nlabels: {severity: none}',
        "https://x/#a b",
        "https://x/${__from}",
    ],
)
def test_what_would_be_a_template_or_another_line_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match=r"as https://example\.org/docs/runbooks"):
        MonitoringConfig(runbooks=text)
