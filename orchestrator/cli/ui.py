"""`orchestrator ui`: where a plugin's pages are, with the key that opens them."""

import json

import click

from orchestrator.cli.context import client_of, instance_option, json_option
from orchestrator.cli.render import printable


@click.command()
@click.argument("plugin")
@json_option
@instance_option
def command(plugin: str, *, as_json: bool, instance: str | None) -> None:
    """Print the address of a plugin's pages, to be opened in a browser of this machine.

    The address holds a key: who has it sees the pages. It fits until the daemon is started anew.
    """
    url = client_of(instance).ui_url(plugin)
    click.echo(json.dumps({"url": url}) if as_json else printable(url))
