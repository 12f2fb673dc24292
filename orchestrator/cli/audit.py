"""`orchestrator audit`."""

import json
import sys
import time
from collections.abc import Mapping
from typing import Any

import click

from orchestrator.cli.context import client_of, instance_option, json_option
from orchestrator.cli.exits import BY_KIND
from orchestrator.cli.moments import moment
from orchestrator.cli.render import BELOW, all_lines, one_line
from orchestrator.errors import Kind

COLOURS = {"done": "green", "allowed": "green", "refused": "yellow", "failed": "red"}


@click.group(invoke_without_command=True)
@click.option("--plugin", metavar="PLUGIN", help="Only records about this plugin.")
@click.option("--since", metavar="WHEN", help="From then on: 30s, 10m, 2h, 1d or an ISO time.")
@click.option("--type", "action", metavar="TYPE", help="Only this kind: command, quota, …")
@click.option(
    "--count", metavar="N", type=click.IntRange(min=1), default=100, help="At most [100]."
)
@json_option
@instance_option
@click.pass_context
def command(
    context: click.Context,
    *,
    plugin: str | None,
    since: str | None,
    action: str | None,
    count: int,
    as_json: bool,
    instance: str | None,
) -> None:
    """Show who did what, when, why and how it ended: the newest records, newest last."""
    context.obj = instance
    if context.invoked_subcommand is not None:
        return
    records = client_of(instance).audit(
        plugin=plugin, since=moment(since) if since else None, action=action, count=count
    )
    if as_json:
        click.echo(json.dumps(records, indent=2))
    for record in [] if as_json else records:
        click.echo(_line(record))


@command.command(short_help="Walk the whole log, and see whether it was changed.")
@json_option
@click.pass_context
def verify(context: click.Context, *, as_json: bool) -> int:
    """Walk the whole log; fails naming the first record that was changed, removed or moved."""
    verdict = client_of(context.obj).audit_verify()
    if as_json:
        click.echo(json.dumps(verdict, indent=2))
    elif verdict["intact"]:
        click.echo(f"{click.style('✔', fg='green')} {verdict['records']} records, none changed")
    else:
        click.echo(f"{click.style('✖', fg='red')} {one_line(verdict['found'], 300)}")
    return 0 if verdict["intact"] else BY_KIND[Kind.CONFLICT]


@command.command()
@click.pass_context
def export(context: click.Context) -> None:
    """Print every record as a JSON line, with its place in the chain."""
    sys.stdout.buffer.write(client_of(context.obj).audit_export())


def _line(record: Mapping[str, Any]) -> str:
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record["at"]))
    outcome = str(record["outcome"])
    shown = click.style(f"{outcome:<8}", fg=COLOURS.get(outcome, "white"))
    about = f" {record['plugin_id']}" if record["plugin_id"] else ""
    why = all_lines(str(record["why"])).replace("\n", f"\n{BELOW}")
    return (
        f"{click.style(at, dim=True)} {record['sequence']:>6} {shown} {record['action']}{about} "
        f"by {one_line(str(record['actor']))}: {why}"
    )
