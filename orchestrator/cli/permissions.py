"""`orchestrator permissions`."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from orchestrator.cli.context import (
    client_of,
    instance_option,
    json_option,
    reason_option,
)
from orchestrator.cli.exits import BY_KIND, OK
from orchestrator.cli.render import one_line, printable, table
from orchestrator.client.client import DaemonClient
from orchestrator.client.user import user_name
from orchestrator.errors import Kind

WIDTH = 300


@click.group()
@instance_option
@click.pass_context
def command(context: click.Context, *, instance: str | None) -> None:
    """List, check, grant, revoke and reset the permissions of plugins while they run."""
    context.obj = instance


@command.command("list", short_help="Show what plugins ask for and what they have.")
@click.argument("plugin", required=False, metavar="[PLUGIN]")
@json_option
@click.pass_context
def show(context: click.Context, *, plugin: str | None, as_json: bool) -> None:
    """Show what plugins ask for and what they have, by whom and why, and updates that wait."""
    client = client_of(context.obj)
    plugins = client.permissions() if plugin is None else [client.permissions_of(plugin)]
    if as_json:
        click.echo(json.dumps(plugins, indent=2))
        return
    rows = [_row(found["plugin_id"], right) for found in plugins for right in found["permissions"]]
    click.echo(table(["PLUGIN", "PERMISSION", "NOW", "WHEN", "WHY"], rows))
    for found in plugins:
        if found["held"] is not None:
            click.echo()
            for line in held_lines(found["plugin_id"], found["held"]):
                click.echo(line)


@command.command(short_help="Say whether a plugin has a permission now.")
@click.argument("plugin")
@click.argument("permission")
@json_option
@click.pass_context
def check(context: click.Context, *, plugin: str, permission: str, as_json: bool) -> int:
    """Say whether a plugin has a permission now; exit code 77 if it has not."""
    answer = client_of(context.obj).check_permission(plugin, permission)
    has = bool(answer["effective"])
    if as_json:
        click.echo(json.dumps(answer))
    else:
        words = "has" if has else "does not have"
        click.echo(f"{plugin} {words} {permission}: {one_line(answer['why'], WIDTH)}")
    return OK if has else BY_KIND[Kind.DENIED]


@command.command(short_help="Lift a revoke, or give what the manifest withholds.")
@click.argument("plugin")
@click.argument("permission", required=False, metavar="[PERMISSION]")
@click.option(
    "--parameters", metavar="JSON", help="This much of it, as a manifest has it [all it asks for]."
)
@click.option("--update", metavar="ID", help="Let this held update through, instead.")
@reason_option("for `status`")
@click.pass_context
def grant(
    context: click.Context,
    *,
    plugin: str,
    permission: str | None,
    parameters: str | None,
    update: str | None,
    reason: str,
) -> None:
    """Lift a revoke, or give what the manifest withholds: at most what the plugin asks for.

    With --update: let through the update that asks for more than before, exactly as it was shown.
    """
    if (permission is None) == (update is None):
        raise click.UsageError("expected exactly one of PERMISSION and --update ID")
    if update is not None and parameters is not None:
        raise click.UsageError("found --parameters with --update, expected them with PERMISSION")
    client = client_of(context.obj)
    if permission is not None:
        changed = client.grant_permission(
            plugin, permission, who=user_name(), why=reason, parameters=_mapping(parameters)
        )
        click.echo(f"{plugin}: {_granted(client, plugin, permission, changed=changed)}")
        return
    differences = client.grant_update(plugin, str(update), who=user_name(), why=reason)
    click.echo(f"{plugin}: the update {update} goes through; it")
    for line in differences:
        click.echo(f"    {printable(one_line(line, WIDTH))}")


def _mapping(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise click.UsageError(f"--parameters: found {text[:80]!r}, expected a JSON object")
    return found


@command.command(short_help="Take a permission from a plugin, at once.")
@click.argument("plugin")
@click.argument("permission")
@reason_option("for `status`")
@click.pass_context
def revoke(context: click.Context, *, plugin: str, permission: str, reason: str) -> None:
    """Take a permission from a plugin, at once, until it is granted again.

    It wins over the manifest. When the command returns the plugin has lost it: sockets are closed,
    the network is gone, and a container that holds it is ended and made anew without.
    """
    client_of(context.obj).revoke_permission(plugin, permission, who=user_name(), why=reason)
    click.echo(f"{plugin}: {permission} is revoked; `permissions grant` lifts that")


@command.command(short_help="Forget what was granted and revoked by command.")
@click.argument("plugin")
@click.argument("permission", required=False, metavar="[PERMISSION]")
@reason_option("for `status`")
@click.pass_context
def reset(context: click.Context, *, plugin: str, permission: str | None, reason: str) -> None:
    """Forget what was granted and revoked by command: the manifest alone holds again.

    Of one permission, or of all that the plugin has been granted or was revoked.
    """
    client = client_of(context.obj)
    forgotten = client.reset_permissions(plugin, permission, who=user_name(), why=reason)
    for found in forgotten:
        click.echo(f"{plugin}: forgot that {found['permission']} was {found['state']}")
    if not forgotten:
        which = permission or "any permission"
        click.echo(f"{plugin}: {which} was neither granted nor revoked by command")


def held_lines(plugin_id: str, held: Mapping[str, Any]) -> Sequence[str]:
    """What an update asks for more, and how to let it through."""
    return [
        click.style(f"! {plugin_id} {held['version']} is held", fg="yellow", bold=True)
        + ": what runs goes on, as the update",
        *(f"    {one_line(line, WIDTH)}" for line in held["differences"]),
        f"  `orchestrator permissions grant {plugin_id} --update {held['update']}` lets it through",
    ]


def drift_rows(drift: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """What runs though the manifest says otherwise: by whom, when and why."""
    return [
        ("drift" if number == 0 else "", f"{one_line(found['text'], WIDTH)}, {_when(found)}")
        for number, found in enumerate(drift)
    ]


def _when(change: Mapping[str, Any]) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(change["when"]))


def _row(plugin_id: str, right: Mapping[str, Any]) -> list[str]:
    change = right["change"]
    state, colour = ("yes", "green") if right["effective"] else ("no", "yellow")
    if change is not None and change["state"] == "revoked":
        state, colour = "revoked", "red"
    when = _when(change) if change else "-"
    name = str(right["permission"]) + (" (required)" if right["required"] else "")
    return [plugin_id, name, click.style(state, fg=colour), when, one_line(right["why"], WIDTH)]


def _granted(client: DaemonClient, plugin: str, permission: str, *, changed: bool) -> str:
    if not changed:
        return f"had already what it asks for of {permission}"
    holds = client.check_permission(plugin, permission)
    if holds["effective"]:
        return f"granted {permission}"
    return f"the revoke of {permission} is lifted; it does not have it: {holds['why']}"
