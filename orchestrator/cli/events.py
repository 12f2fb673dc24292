"""`orchestrator events`."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from orchestrator.cli.context import instance_option, json_option, settings_of, user_name
from orchestrator.cli.render import one_line, printable, table
from orchestrator.client.events import EventsClient
from orchestrator.errors import Kind, OrchestratorError

WIDTH = 300
SHOWN = 100


class InvalidEventData(OrchestratorError):
    """What `--data` holds is no JSON object."""

    kind, code = Kind.INVALID, "invalid_event_data"


@click.group()
@instance_option
@click.pass_context
def command(context: click.Context, *, instance: str | None) -> None:
    """Publish, follow, replay and discard events; `dead` lists those that were given up."""
    context.obj = instance


@command.command()
@click.argument("event_type", metavar="TYPE")
@click.option("--subject", metavar="TEXT", default="", help="What it is about: a plugin, say.")
@click.option("--data", metavar="JSON|@FILE|-", default="{}", help="Its data, a JSON object [{}].")
@click.pass_context
def publish(context: click.Context, *, event_type: str, subject: str, data: str) -> None:
    """Publish an event, and print its id once it is on disk.

    It reaches every plugin that subscribes to TYPE, also one that does not run now.
    """
    event_id = _client(context).publish_event(
        event_type, subject=subject, data=_data(data), who=user_name()
    )
    click.echo(event_id)


@command.command()
@click.option(
    "--type", "event_type", metavar="PATTERN", default="", help="Only of this type: a.b.*"
)
@click.option("--plugin", metavar="PLUGIN", default="", help="Only of this plugin, or about it.")
@click.option("--count", metavar="N", type=click.IntRange(min=0), default=20, help="At first [20].")
@click.option("-f", "--follow", is_flag=True, help="Go on as events come, until Ctrl-C.")
@json_option
@click.pass_context
def tail(
    context: click.Context,
    *,
    event_type: str,
    plugin: str,
    count: int,
    follow: bool,
    as_json: bool,
) -> None:
    """Show the latest events, oldest first."""
    events = _client(context).tail_events(
        event_type=event_type, plugin=plugin, count=count, follow=follow
    )
    for event in events:
        click.echo(json.dumps(event) if as_json else _line(event))


@command.command()
@click.option("--plugin", metavar="PLUGIN", default="", help="Only those for this plugin.")
@click.option(
    "--count", metavar="N", type=click.IntRange(min=1), default=100, help="At most [100]."
)
@json_option
@click.pass_context
def dead(context: click.Context, *, plugin: str, count: int, as_json: bool) -> None:
    """List the deliveries that were given up, and why."""
    letters = _client(context).dead_events(plugin=plugin, count=count)
    if as_json:
        click.echo(json.dumps(letters, indent=2))
        return
    rows = [_row(letter) for letter in letters]
    click.echo(table(["WHEN", "PLUGIN", "EVENT", "TYPE", "TRIES", "REASON"], rows))


@command.command(short_help="Deliver dead letters anew.")
@click.argument("event_ids", nargs=-1, metavar="[ID]…")
@click.option("--plugin", metavar="PLUGIN", default="", help="All dead letters of this plugin.")
@click.option("--all", "every", is_flag=True, help="All dead letters there are.")
@click.pass_context
def replay(context: click.Context, *, event_ids: Sequence[str], plugin: str, every: bool) -> None:
    """Deliver dead letters anew, behind what waits already: those of the events ID, or all."""
    _check_one(event_ids, plugin, every=every)
    replayed = _client(context).replay_events(
        list(event_ids), plugin=plugin, every=every, who=user_name()
    )
    for name, count in sorted(replayed.items()):
        click.echo(f"{name}: {count} queued anew")
    if not replayed:
        click.echo("no dead letter there")


@command.command(short_help="Forget dead letters.")
@click.argument("event_ids", nargs=-1, metavar="[ID]…")
@click.option("--plugin", metavar="PLUGIN", default="", help="All dead letters of this plugin.")
@click.option("--all", "every", is_flag=True, help="All dead letters there are.")
@click.pass_context
def discard(context: click.Context, *, event_ids: Sequence[str], plugin: str, every: bool) -> None:
    """Forget dead letters that nobody needs: those of the events ID, or all.

    They cannot be replayed then; the audit log says who did it.
    """
    _check_one(event_ids, plugin, every=every)
    discarded = _client(context).discard_events(
        list(event_ids), plugin=plugin, every=every, who=user_name()
    )
    for name, count in sorted(discarded.items()):
        click.echo(f"{name}: {count} discarded")
    if not discarded:
        click.echo("no dead letter there")


def _check_one(event_ids: Sequence[str], plugin: str, *, every: bool) -> None:
    if bool(event_ids) + bool(plugin) + every != 1:
        raise click.UsageError("expected exactly one of ID…, --plugin PLUGIN and --all")


def _client(context: click.Context) -> EventsClient:
    return EventsClient(settings_of(context.obj).socket)


def _data(text: str) -> dict[str, Any]:
    try:
        if text == "-":
            text = sys.stdin.buffer.read().decode()
        elif text.startswith("@"):
            text = Path(text[1:]).read_text(encoding="utf-8")
        value = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidEventData(
            f"--data: found no JSON ({error}), expected an object, @FILE or -"
        ) from error
    if not isinstance(value, dict):
        raise InvalidEventData(f"--data: found {text[:80]!r}, expected a JSON object")
    return value


def _line(event: Mapping[str, Any]) -> str:
    at = datetime.fromisoformat(event["time"]).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    about = f" {event['subject']}" if event["subject"] else ""
    data = one_line(json.dumps(event["data"], ensure_ascii=False), SHOWN)
    text = f"{event['type']}{about} by {event['source']}: {data}"
    return f"{click.style(at, dim=True)} {printable(text)}"


def _row(letter: Mapping[str, Any]) -> list[str]:
    at = datetime.fromtimestamp(letter["at"]).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return [
        at,
        printable(str(letter["subscriber"])),
        printable(str(letter["event_id"])),
        printable(str(letter["type"])),
        str(letter["tries"]),
        one_line(str(letter["reason"]), WIDTH),
    ]
