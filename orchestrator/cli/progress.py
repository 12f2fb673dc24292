"""Live progress of `up`: one line a plugin on a terminal, one line a change elsewhere."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from orchestrator.cli.render import mark, one_line

WAITING: Final = "waiting for "
"""How the detail of a plugin begins whose dependencies are not there."""


def settled(row: Mapping[str, Any]) -> bool:
    """Whether nothing more is to be waited for: it runs, is stopped, or failed.

    An update is over when the new revision has taken over, or the old one is back.
    """
    rollout = row.get("rollout") or {}
    if rollout.get("moving"):
        return False
    if row["status"] == "active" and rollout.get("state") not in {"rolled_back", "paused"}:
        return bool(row.get("settled", True))
    return bool(row["status"] != "inactive" or is_stopped(row))


def is_failed(row: Mapping[str, Any]) -> bool:
    """Whether what was asked for does not run through its own fault, whatever runs instead."""
    return row["status"] == "error" or (row.get("rollout") or {}).get("state") == "rolled_back"


def is_stopped(row: Mapping[str, Any]) -> bool:
    """Whether it does not run, and is not to: as the manifest wants, or for a revoke."""
    return row["status"] == "inactive" and str(row["detail"]).partition(":")[0] == "stopped"


def held(row: Mapping[str, Any], plugins: Sequence[Mapping[str, Any]]) -> bool:
    """Whether it waits, perhaps by way of others, for a plugin that failed or is stopped."""
    needs = str(row["detail"]).removeprefix(WAITING).split(", ")
    return str(row["detail"]).startswith(WAITING) and any(
        other["status"] == "error" or is_stopped(other) or held(other, plugins)
        for other in plugins
        if other["plugin_id"] in needs
    )


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
