"""`--help` on a terminal of 80 columns: every command's line is whole."""

import click
import pytest

from orchestrator.cli.main import COMMANDS, cli

COLUMNS = 80


def _group(name: str) -> click.Group | None:
    command = cli.get_command(click.Context(cli), name)
    return command if isinstance(command, click.Group) else None


GROUPS = {name: group for name in COMMANDS if (group := _group(name))} | {"": cli}


@pytest.mark.parametrize("name", GROUPS)
def test_what_a_command_does_is_not_cut_off(name: str) -> None:
    context = click.Context(GROUPS[name], info_name="orchestrator", terminal_width=COLUMNS)

    lines = GROUPS[name].get_help(context).partition("Commands:")[2].strip().splitlines()
    assert len(lines) == len(GROUPS[name].list_commands(context))
    assert [line for line in lines if line.endswith("...") or len(line) > COLUMNS] == []


def test_there_are_groups_to_look_at() -> None:
    assert {"gitops", "rollout", "permissions", "audit", "daemon", "events"} <= set(GROUPS)
