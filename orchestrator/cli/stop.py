"""`orchestrator stop`."""

import click

from orchestrator.cli.context import instance_option, reason_option
from orchestrator.cli.switching import say


@click.command()
@click.argument("plugin")
@reason_option("the history")
@instance_option
def command(plugin: str, *, reason: str, instance: str | None) -> None:
    """Stop a plugin until `start`; its data and its updates stay.

    Your files are not changed: the next `up` of them brings back what they say.
    """
    say("stop", plugin, reason=reason, instance=instance)
