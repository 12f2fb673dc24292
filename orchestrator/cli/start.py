"""`orchestrator start`."""

import click

from orchestrator.cli.context import instance_option, reason_option
from orchestrator.cli.switching import say


@click.command()
@click.argument("plugin")
@reason_option("the history")
@instance_option
def command(plugin: str, *, reason: str, instance: str | None) -> None:
    """Want a plugin running that is stopped, or try one again that was given up.

    Your files are not changed: the next `up` of them brings back what they say.
    """
    say("start", plugin, reason=reason, instance=instance)
