"""`orchestrator logs`."""

import re
import time
from datetime import datetime
from typing import Final

import click

from orchestrator.cli.context import client_of, instance_option
from orchestrator.cli.render import printable
from orchestrator.clock import SystemClock

_AGO: Final = re.compile(r"([0-9]+)([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


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
    lines = client_of(instance).logs(plugin, follow=follow, since=_since(since), tail=tail or 0)
    for line in lines:
        at = time.strftime("%H:%M:%S", time.localtime(line["at"]))
        click.echo(f"{click.style(at, dim=True)} {printable(line['text'])}")


def _since(text: str | None) -> float:
    if text is None:
        return 0.0
    ago = _AGO.fullmatch(text)
    if ago:
        return SystemClock().now() - int(ago[1]) * _SECONDS[ago[2]]
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise click.BadParameter(
            f"found {text!r}, expected 30s, 10m, 2h, 1d or an ISO time", param_hint="--since"
        ) from error
