"""`orchestrator gitops`."""

import json
import time
from collections.abc import Mapping
from typing import Any, Final

import click

from orchestrator.cli.context import (
    instance_option,
    json_option,
    reason_option,
    settings_of,
)
from orchestrator.cli.exits import BY_KIND, OK
from orchestrator.cli.gitops_pin import command as pin
from orchestrator.cli.render import BELOW, all_lines, fields, one_line, table
from orchestrator.client.gitops import GitOpsClient
from orchestrator.client.user import user_name
from orchestrator.errors import Kind

COLOURS: Final = {
    "synced": "green",
    "partly": "yellow",
    "progressing": "yellow",
    "out_of_sync": "yellow",
    "suspended": "yellow",
    "degraded": "red",
    "failed": "red",
    "refused": "red",
}
WIDTH: Final = 300
POLL_SECONDS: Final = 0.2
WAIT_SECONDS: Final = 1_800.0
SHORT: Final = 12


@click.group()
@instance_option
@click.pass_context
def command(context: click.Context, *, instance: str | None) -> None:
    """Show and steer the following of a git repository."""
    context.obj = instance


command.add_command(pin, "pin")


@command.command(short_help="Show how plugins stand to what git says.")
@json_option
@click.pass_context
def status(context: click.Context, *, as_json: bool) -> int:
    """Show how what is wanted stands to what git says, for each plugin and the whole."""
    answer = gitops_client(context.obj).gitops()
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    else:
        show(answer)
    return exit_code(answer)


@command.command()
@click.option("--prune", is_flag=True, help="Remove the plugins that git no longer has.")
@click.option("--wait", is_flag=True, help="Return when it is done.")
@reason_option("the history")
@json_option
@click.pass_context
def sync(context: click.Context, *, prune: bool, wait: bool, reason: str, as_json: bool) -> int:
    """Look at the repository and take up what it has now.

    Also a revision that failed or was rolled back, and outside of sync windows.
    """
    client = gitops_client(context.obj)
    answer = client.say_to_gitops("sync", who=user_name(), why=reason, prune=prune)
    if not wait:
        click.echo(
            json.dumps(answer, indent=2) if as_json else "asked for; `gitops status` shows it"
        )
        return OK
    return _waited(client, as_json=as_json)


@command.command(short_help="Show, field by field, git, what is wanted and what runs.")
@json_option
@click.pass_context
def diff(context: click.Context, *, as_json: bool) -> int:
    """Show, field by field, what git says, what is wanted and what runs."""
    answer = gitops_client(context.obj).gitops_diff()
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return OK
    if not answer:
        click.echo("git, what is wanted and what runs are one")
        return OK
    for plugin in answer:
        first, *more = all_lines(plugin["words"], WIDTH).split("\n")
        click.echo(click.style(plugin["plugin_id"], bold=True) + (f": {first}" if first else ""))
        for line in more:
            click.echo(BELOW + line)
        if plugin["fields"]:
            sides = ("field", "git", "desired", "live")
            rows = [[_value(row[side]) for side in sides] for row in plugin["fields"]]
            click.echo(
                table(["  FIELD", "GIT", "DESIRED", "LIVE"], [[f"  {r[0]}", *r[1:]] for r in rows])
            )
    return OK


@command.command(short_help="Show the revisions: who, when, what became of them.")
@json_option
@click.pass_context
def history(context: click.Context, *, as_json: bool) -> None:
    """Show the revisions that were taken up or refused: who, when, what changed."""
    answer = gitops_client(context.obj).gitops_history()
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    head = ["REVISION", "WHEN", "OUTCOME", "AUTHOR", "BY", "SUBJECT", "CHANGED"]
    click.echo(table(head, [_entry(entry) for entry in answer]))


@command.command()
@click.option("--to", metavar="REVISION", default="", help="This one [the last good one before].")
@click.option("--wait", is_flag=True, help="Return when it is done.")
@reason_option("the history")
@json_option
@click.pass_context
def rollback(context: click.Context, *, to: str, wait: bool, reason: str, as_json: bool) -> int:
    """Go back to an earlier revision, until there is a new commit.

    The repository is not changed.
    """
    client = gitops_client(context.obj)
    answer = client.say_to_gitops("rollback", who=user_name(), why=reason, to=to)
    if wait:
        return _waited(client, as_json=as_json)
    words = f"going back to {answer['to'][:SHORT]} ({one_line(answer['subject'])})"
    click.echo(json.dumps(answer, indent=2) if as_json else words)
    return OK


@command.command(short_help="Take nothing up and set nothing back, until `resume`.")
@reason_option("the status")
@json_option
@click.pass_context
def suspend(context: click.Context, *, reason: str, as_json: bool) -> None:
    """Take nothing up and set nothing back, until `resume`; plugins run on."""
    answer = gitops_client(context.obj).say_to_gitops("suspend", who=user_name(), why=reason)
    words = "suspended" if answer["changed"] else "it was suspended already"
    click.echo(json.dumps(answer, indent=2) if as_json else words)


@command.command()
@reason_option("the audit log")
@json_option
@click.pass_context
def resume(context: click.Context, *, reason: str, as_json: bool) -> None:
    """Follow the repository again."""
    answer = gitops_client(context.obj).say_to_gitops("resume", who=user_name(), why=reason)
    words = "goes on" if answer["changed"] else "it was not suspended"
    click.echo(json.dumps(answer, indent=2) if as_json else words)


# -- shared with `up --git` ----------------------------------------------------------------------


def gitops_client(instance: str | None) -> GitOpsClient:
    """A client of the instance's daemon, running or not."""
    return GitOpsClient(settings_of(instance).socket)


def until_settled(client: GitOpsClient) -> dict[str, Any]:
    """How it stands once nothing more is under way."""
    until = time.monotonic() + WAIT_SECONDS
    while True:
        answer = client.gitops()
        if not answer.get("moving") or time.monotonic() > until:
            return answer
        time.sleep(POLL_SECONDS)


def show(answer: Mapping[str, Any]) -> None:
    """All of it for people."""
    if not answer["followed"]:
        click.echo("no repository is followed; `orchestrator up --git URL` follows one")
        return
    click.echo(fields([*_head(answer)]))
    if answer["plugins"]:
        head = ["PLUGIN", "STATE", "REVISION", "WAVE", "FILE", "REASON"]
        click.echo("\n" + table(head, [_plugin(row) for row in answer["plugins"]]))


def exit_code(answer: Mapping[str, Any]) -> int:
    """76 while something is degraded."""
    return BY_KIND[Kind.PLUGIN] if answer.get("state") == "degraded" else OK


def _waited(client: GitOpsClient, *, as_json: bool) -> int:
    answer = until_settled(client)
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    else:
        show(answer)
    return exit_code(answer)


def _head(answer: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [
        (
            "repository",
            f"{one_line(answer['url'])} {one_line(answer['ref'])} {one_line(answer['path'])}",
        ),
        *_environment(answer),
        ("state", _coloured(answer["state"])),
        ("head", answer["head"][:SHORT] or "none yet"),
        ("synced", f"{answer['synced'][:SHORT]} {_when(answer['synced_at'])}".strip() or "never"),
    ]
    if answer["webhook_port"]:
        rows.append(("webhook", f"http://127.0.0.1:{answer['webhook_port']}/v1/gitops/webhook"))
    if answer["prune_waiting"]:
        gone = ", ".join(answer["prune_waiting"])
        rows.append(("gone", f"{gone}; `orchestrator gitops sync --prune` removes them"))
    rows += [("", all_lines(reason, WIDTH)) for reason in answer["reasons"]]
    return rows


def _environment(answer: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Whose patches are in force, if any are; a daemon of an earlier version does not tell."""
    name = answer.get("environment")
    return [("environment", one_line(name))] if name else []


def _plugin(row: Mapping[str, Any]) -> list[str]:
    return [
        str(row["plugin_id"]),
        _coloured(row["state"]),
        str(row["revision"])[:SHORT],
        str(row["wave"]),
        one_line(row["file"]),
        all_lines(row["reason"], WIDTH),
    ]


def _entry(entry: Mapping[str, Any]) -> list[str]:
    changes = (("+", "added"), ("~", "changed"), ("-", "removed"))
    changed = " ".join(f"{sign}{name}" for sign, kind in changes for name in entry[kind])
    reason = f"; {all_lines(entry['reason'], WIDTH)}" if entry["reason"] else ""
    return [
        str(entry["revision"])[:SHORT],
        _when(entry["at"]),
        _coloured(entry["outcome"]),
        one_line(entry["author"]),
        one_line(entry["who"]),
        one_line(entry["subject"]),
        (changed or "nothing") + reason,
    ]


def _value(value: object) -> str:
    return one_line(value if isinstance(value, str) else json.dumps(value), 60)


def _coloured(word: str) -> str:
    return click.style(word, fg=COLOURS.get(word, "white"))


def _when(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at)) if at else ""
