"""`orchestrator ui`: where a plugin's pages are, with the key that opens them."""

import json

import click

from orchestrator.cli.context import instance_option, json_option, settings_of, tell_version
from orchestrator.cli.render import printable
from orchestrator.client.pages import PagesClient


@click.command()
@click.argument("plugin")
@json_option
@instance_option
def command(plugin: str, *, as_json: bool, instance: str | None) -> None:
    """Print the address of a plugin's pages, to be opened in a browser of this machine.

    The address holds a key: who has it sees the pages. It fits until the daemon is started anew.
    """
    client = PagesClient(settings_of(instance).socket, on_other_version=tell_version)
    url = client.ui_url(plugin)
    click.echo(json.dumps({"url": url}) if as_json else printable(url))
