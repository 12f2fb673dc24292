"""`orchestrator logs`."""

import time

import click

from orchestrator.cli.context import client_of, instance_option
from orchestrator.cli.moments import moment
from orchestrator.cli.render import printable


@click.command()
@click.argument("plugin")
@click.option("-f", "--follow", is_flag=True, help="Go on as new lines come, until Ctrl-C.")
@click.option("--since", metavar="WHEN", help="From then on: 30s, 10m, 2h, 1d or an ISO time.")
@click.option("--tail", metavar="N", type=click.IntRange(min=1), help="Only the last N lines.")
@instance_option
def command(
    plugin: str, *, follow: bool, since: str | None, tail: int | None, instance: str | None
) -> None:
    """Show what a plugin logged, also before its last restart."""
    lines = client_of(instance).logs(
        plugin, follow=follow, since=moment(since) if since else 0.0, tail=tail or 0
    )
    for line in lines:
        at = time.strftime("%H:%M:%S", time.localtime(line["at"]))
        click.echo(f"{click.style(at, dim=True)} {printable(line['text'])}")
