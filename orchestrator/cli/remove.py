"""`orchestrator remove`."""

import click

from orchestrator.cli.context import instance_option, reason_option
from orchestrator.cli.switching import say


@click.command()
@click.argument("plugin")
@reason_option("the history")
@instance_option
def command(plugin: str, *, reason: str, instance: str | None) -> None:
    """Take one plugin away; its data stays.

    Your files are not changed: the next `up` of them brings back what they say.
    """
    say("remove", plugin, reason=reason, instance=instance)
