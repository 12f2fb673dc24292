"""The example workflow of the docs: what it calls is understood, and what it trusts is ours."""

import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from orchestrator.cli.main import cli

WORKFLOW = Path(__file__).parents[3] / "docs" / "workflows" / "plan.yml"


@pytest.fixture
def workflow() -> dict[Any, Any]:
    data = yaml.safe_load(WORKFLOW.read_text())
    assert isinstance(data, dict)
    return data


def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    return list(workflow["jobs"]["plan"]["steps"])


def test_its_command_is_understood(workflow: dict[Any, Any]) -> None:
    lines = [
        line.partition(" > ")[0].replace("$STRICT", "--no-widening")
        for step in steps(workflow)
        for line in step.get("run", "").splitlines()
        if line.startswith("orchestrator ")
    ]
    _, name, *words = shlex.split(lines[0])
    command = cli.get_command(click.Context(cli), name)

    assert len(lines) == 1
    assert command is not None
    with command.make_context(name, words) as context:
        assert context.params["no_widening"] is True
        assert (context.params["ref"], context.params["base"]) == ("$HEAD", "$BASE")


def test_what_is_installed_is_named_by_address_and_held_to_its_hash(
    workflow: dict[Any, Any],
) -> None:
    """The name alone would bring in another project's program."""
    [step] = [step for step in steps(workflow) if "pip install" in step.get("run", "")]

    assert step["run"].startswith('pip install "orchestrator @ ${WHEEL')
    assert step["env"] == {"WHEEL": "${{ vars.ORCHESTRATOR_WHEEL }}"}
    assert "#sha256=" in WORKFLOW.read_text()


def test_a_strangers_branch_gets_no_token_that_writes_and_no_word_in_a_script(
    workflow: dict[Any, Any],
) -> None:
    text = WORKFLOW.read_text()

    assert list(workflow[True]) == ["pull_request"]  # `on`, to YAML 1.1
    assert workflow["permissions"] == {"contents": "read", "pull-requests": "write"}
    assert not any("${{" in step.get("run", "") for step in steps(workflow))
    assert "github.head_ref" not in text
