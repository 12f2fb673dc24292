"""Live progress of `up`: one line a plugin on a terminal, one line a change elsewhere."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from orchestrator.cli.render import mark, one_line
from orchestrator.client.settled import settled


class Progress:
    """Keeps what was shown last; on a terminal it is drawn over."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._shown: dict[str, str] = {}
        self._lines = 0

    def show(self, plugins: Sequence[Mapping[str, Any]]) -> None:
        """The plugins as they are now."""
        now = {
            str(row["plugin_id"]): f"{mark(str(row['status']))}  {one_line(str(row['detail']), 80)}"
            for row in plugins
        }
        if now == self._shown:
            return
        if not self._shown and all(settled(row) for row in plugins):
            return  # nothing is under way: the table that follows says it all
        width = max((len(name) for name in now), default=0)
        if self._live:
            if self._lines:
                click.echo(f"\x1b[{self._lines}A\x1b[J", nl=False, err=True)
            for name, text in now.items():
                click.echo(f"  {name.ljust(width)}  {text}", err=True)
            self._lines = len(now)
        else:
            for name, text in now.items():
                if self._shown.get(name) != text:
                    click.echo(f"  {name.ljust(width)}  {click.unstyle(text)}", err=True)
        self._shown = now

    def end(self) -> None:
        """Wipe what is live: the table that follows says the same."""
        if self._live and self._lines:
            click.echo(f"\x1b[{self._lines}A\x1b[J", nl=False, err=True)
            self._lines = 0
