"""`orchestrator rollout`."""

import json
import time
from collections.abc import Mapping
from typing import Any

import click

from orchestrator.cli.context import (
    client_of,
    instance_option,
    json_option,
    reason_option,
    user_name,
)
from orchestrator.cli.render import one_line, table, words_lines

COLOURS = {"healthy": "green", "failed": "red", "progressing": "yellow", "pending": "yellow"}
WIDTH = 300


@click.group()
@instance_option
@click.pass_context
def command(context: click.Context, *, instance: str | None) -> None:
    """Show, undo, pause and resume changes of plugins."""
    context.obj = instance


@command.command(short_help="Show the revisions of a plugin, and what became of them.")
@click.argument("plugin")
@json_option
@click.pass_context
def history(context: click.Context, *, plugin: str, as_json: bool) -> None:
    """Show the revisions of a plugin: who wanted each, why, and what became of it."""
    answer = client_of(context.obj).rollout(plugin)
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    rows = [_row(revision, answer["rollout"]) for revision in answer["revisions"]]
    click.echo(table(["REVISION", "VERSION", "STATE", "WHEN", "BY", "WHY"], rows))
    if answer["rollout"]["text"]:
        click.echo("\n" + one_line(answer["rollout"]["text"], WIDTH))
    for revision in answer["revisions"]:
        title = f"last lines of revision {revision['revision']} before it failed"
        for line in words_lines(revision["last_words"], title):
            click.echo(line)


@command.command(short_help="Go back to an earlier revision.")
@click.argument("plugin")
@click.option("--to", metavar="N", type=click.IntRange(min=1), help="This revision [the last].")
@reason_option("the history")
@json_option
@click.pass_context
def undo(
    context: click.Context, *, plugin: str, to: int | None, reason: str, as_json: bool
) -> None:
    """Go back to an earlier revision: the last one that was well, or the one named.

    Your files are not changed: the next `up` of them brings their state back.
    """
    answer = client_of(context.obj).say_to_rollout(
        plugin, "undo", who=user_name(), why=reason, to=to
    )
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    click.echo(
        f"{plugin}: revision {answer['undone']} is undone; revision {answer['revision']} is "
        f"{answer['back_to']} again (version {answer['version']})\n"
        f"the next `orchestrator up` of {answer['origin']} brings back what the files say"
    )


@command.command(short_help="Replace nothing of the plugin until `resume`.")
@click.argument("plugin")
@reason_option("the history")
@json_option
@click.pass_context
def pause(context: click.Context, *, plugin: str, reason: str, as_json: bool) -> None:
    """Replace nothing of the plugin until `resume`; what runs goes on and is kept so."""
    answer = client_of(context.obj).say_to_rollout(plugin, "pause", who=user_name(), why=reason)
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    else:
        words = "is paused" if answer["changed"] else "was paused already"
        click.echo(f"{plugin}: its rollout {words}; `orchestrator rollout resume` lets it go on")


@command.command()
@click.argument("plugin")
@reason_option("the history")
@json_option
@click.pass_context
def resume(context: click.Context, *, plugin: str, reason: str, as_json: bool) -> None:
    """Let a paused rollout go on; try a revision that failed again."""
    answer = client_of(context.obj).say_to_rollout(plugin, "resume", who=user_name(), why=reason)
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    elif answer["retried"]:
        click.echo(f"{plugin}: revision {answer['revision']} is tried again")
    elif answer["changed"]:
        click.echo(f"{plugin}: its rollout goes on")
    else:
        click.echo(f"{plugin}: nothing was paused, and nothing had failed")


def rollout_rows(rollout: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Which revision runs, and how the newest does, for `status`."""
    if rollout is None:
        return []
    plain = f"revision {rollout['serving']} runs"
    return [("rollout", one_line(rollout["text"] or plain, WIDTH))]


def _row(revision: Mapping[str, Any], rollout: Mapping[str, Any]) -> list[str]:
    state = str(revision["state"])
    why = one_line(revision["why"], WIDTH)
    if revision["reason"]:
        why += f"; {one_line(revision['reason'], WIDTH)}"
    serves = " (runs)" if revision["revision"] == rollout["serving"] else ""
    return [
        f"{revision['revision']}{serves}",
        str(revision["version"]),
        click.style(state, fg=COLOURS.get(state, "white")),
        time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(revision["at"])),
        one_line(revision["who"]),
        why,
    ]
