"""`orchestrator ps`."""

import json

import click

from orchestrator.cli.context import client_of, instance_option, json_option
from orchestrator.cli.render import plugin_rows


@click.command()
@json_option
@instance_option
def command(*, as_json: bool, instance: str | None) -> None:
    """List the plugins and how they do: active, inactive or error, and why."""
    plugins = client_of(instance).plugins()
    if as_json:
        click.echo(json.dumps(plugins, indent=2))
    elif plugins:
        click.echo(plugin_rows(plugins))
    else:
        click.echo("no plugins; `orchestrator up PATHS` brings some up")
