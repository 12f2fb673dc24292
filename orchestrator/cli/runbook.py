"""`orchestrator runbook`."""

import click

from orchestrator.cli.render import table
from orchestrator.monitoring.runbooks import find_runbooks, index, read


@click.command()
@click.argument("alert", required=False, metavar="[ALERT]")
def command(alert: str | None) -> None:
    """Say what to do when an alert fires: all alerts in a word, or the page of one."""
    folder = find_runbooks()
    known = index(folder)
    if alert is None:
        rows = [(name, it.severity, it.summary) for name, it in known.items()]
        click.echo(table(("ALERT", "SEVERITY", "IN A WORD"), rows))
    elif alert in known:
        click.echo(read(folder, alert), nl=False)
    else:
        raise click.BadParameter(
            f"found {alert!r}, expected one of {', '.join(known)}", param_hint="ALERT"
        )
