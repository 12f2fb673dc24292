"""`orchestrator audit`."""

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from orchestrator.cli.context import client_of, instance_option, json_option, settings_of
from orchestrator.cli.exits import BY_KIND
from orchestrator.cli.moments import moment
from orchestrator.cli.render import BELOW, all_lines, one_line
from orchestrator.client.audit import AuditClient
from orchestrator.errors import Kind
from orchestrator.store.audit_pieces import first_break, verify_pieces

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


@command.command(short_help="Walk the whole log, or pieces of it, and see whether it was changed.")
@click.argument("pieces", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE|FOLDER]...")
@json_option
@click.pass_context
def verify(context: click.Context, *, pieces: tuple[Path, ...], as_json: bool) -> int:
    """Walk the whole log; fails naming the first record that was changed, removed or moved.

    With FILE or FOLDER it needs no daemon, and walks archived segments and exports: each by
    itself, and whether they follow one another.
    """
    if pieces:
        return _verify_pieces(pieces, as_json=as_json)
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
    for piece in AuditClient(settings_of(context.obj).socket).audit_export():
        sys.stdout.buffer.write(piece)


@command.command(short_help="Move old records to another folder.")
@click.argument("folder", metavar="FOLDER")
@click.option(
    "--before", metavar="WHEN", required=True, help="Older ones: 30s, 10m, 2h, 90d or an ISO time."
)
@click.option("--reason", metavar="TEXT", default="", help="Why; it goes into the audit log.")
@json_option
@click.pass_context
def archive(
    context: click.Context, *, folder: str, before: str, reason: str, as_json: bool
) -> None:
    """Move segments whose records are all older to FOLDER, so that the log gets shorter.

    What is left stays verifiable, and so does what was moved: `audit verify FOLDER`.
    """
    target = Path(os.path.abspath(folder))  # noqa: PTH100 - `..` goes, links stay
    made = AuditClient(settings_of(context.obj).socket).audit_archive(
        target, moment(before, "--before"), why=reason
    )
    if as_json:
        click.echo(json.dumps(made, indent=2))
    elif made["segments"]:
        last = made["archived"]["sequence"]
        click.echo(
            f"records {made['first']} to {last} are in {target}: "
            f"{made['segments']} segments, {made['bytes']:,} bytes"
        )
    else:
        click.echo("no segment is wholly older: nothing was moved")


def _verify_pieces(paths: tuple[Path, ...], *, as_json: bool) -> int:
    chained = verify_pieces(paths)
    broken = first_break(chained)
    if as_json:
        rows = [
            {
                "file": str(it.piece.path),
                "first": it.piece.start.sequence + 1,
                "records": it.piece.records,
                "last": asdict(it.piece.last),
                "joint": it.joint,
                "found": str(it.first_break) if it.first_break is not None else "",
            }
            for it in chained
        ]
        click.echo(json.dumps({"intact": broken is None, "pieces": rows}, indent=2))
        return 0 if broken is None else BY_KIND[Kind.CONFLICT]
    for it in chained:
        mark = "✔" if it.first_break is None else "✖"
        span = f"records {it.piece.start.sequence + 1} to {it.piece.last.sequence}"
        text = f"{mark} {it.piece.path.name}: {span}; {it.joint}"
        click.echo(one_line(text, 300))
    if broken is not None:
        found = f"{broken.piece.path.name}: {broken.first_break}"
        click.echo(f"{click.style('✖', fg='red')} {one_line(found, 400)}")
        return BY_KIND[Kind.CONFLICT]
    total = sum(it.piece.records for it in chained)
    click.echo(f"{click.style('✔', fg='green')} {total} records, none changed")
    return 0


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
